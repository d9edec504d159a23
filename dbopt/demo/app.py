"""What a sample application is made of: its schema, its data and the access paths that its users wait for."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING

from dbopt.demo import schema
from dbopt.demo.recipe import Book, Recipe
from dbopt.errors import UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.demo.paths import AccessPath

DEFAULT_ROWS = 120_000
MIN_ROWS, MAX_ROWS = 100, 20_000_000  # below, nothing is left to measure; above, a demo fills the disk

# The present of the data. Fixed, so that two runs a year apart see the same rows and the same plans.
NOW = datetime(2026, 1, 15, 12)


@dataclass(frozen=True, slots=True)
class App:
    """`shares` says how large each table is against the largest; tables that it does not name stay empty."""

    name: str
    title: str
    schema: schema.Schema
    recipes: Mapping[str, Mapping[str, Recipe]]
    shares: Mapping[str, float]
    paths: tuple[AccessPath, ...]

    def book(self, rows: int = DEFAULT_ROWS) -> Book:
        """The data at a scale: `rows` is what the largest tables get."""
        if not MIN_ROWS <= rows <= MAX_ROWS:
            raise UsageError(f"rows must be from {MIN_ROWS} to {MAX_ROWS}", detail=f"Found: {rows}")
        sizes = {table: max(1, round(rows * share)) for table, share in self.shares.items()}
        return Book(self.schema, {table: self.recipes.get(table, {}) for table in sizes}, sizes, NOW)


def get(name: str) -> App:
    """A sample application by its name: `neonhub`, `thrive-send` or `thrive_send`."""
    known = name.replace("-", "_")
    if known not in schema.APPS:
        raise UsageError(f'unknown sample application "{name}"', hint=f"Valid names: {', '.join(schema.APPS)}.")
    module = import_module(f"dbopt.demo.{known}")
    return App(known, module.TITLE, schema.load(known), module.RECIPES, module.SHARES, module.PATHS)
