"""Which revision of the store's tables this dbopt works with. Apart from `migrate`, which needs SQLAlchemy."""

from __future__ import annotations

from dbopt.errors import StoreUnusable

HEAD = "0006"  # a test holds it against alembic/versions


def newer(found: str | None) -> StoreUnusable:
    return StoreUnusable(
        "the store was made by a newer dbopt, or by another program",
        detail=f"its tables have revision {found}, the newest that this dbopt knows is {HEAD}",
        hint="Upgrade dbopt here with `pip install --upgrade dbopt`, or name another store with DBOPT_STORE_URL.",
    )
