"""Definitions that the server refuses: all of them in one plan, before anything is built; the good ones are built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers import index_names, invalid_indexes

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli_runner import Result
    from server import Database

    from tests.optimize.runs import Project

SCHEMA = (
    "CREATE TABLE posts (id int PRIMARY KEY, author int, title text, doc json);"
    f"CREATE TABLE wide ({', '.join(f'c{number} int' for number in range(33))});"
    "CREATE UNLOGGED TABLE scratch (id int); INSERT INTO posts VALUES (1, 1); ANALYZE"
)
REFUSED = {
    "method: hash, keys: [id], unique: true": "0A000",
    "method: hash, keys: [id, author]": "0A000",
    "method: hash, keys: [id], include: [author]": "0A000",
    "method: hash, keys: [{column: id, order: desc}]": "0A000",
    "method: brin, keys: [id], unique: true": "0A000",
    "keys: [{expr: (SELECT 1)}]": "0A000",
    "keys: [{expr: sum(id)}]": "42803",
    "keys: [{expr: random()}]": "42P17",
    "keys: [id], where: now() > '2026-01-01'": "42P17",
    "keys: [{expr: lower(nothing)}]": "42703",
    "keys: [doc]": "42704",
    "method: gin, keys: [id]": "42704",
    "keys: [id], with: {fillfactor: 5}": "22023",
    "keys: [id], with: {nonsense: 5}": "22023",
}
COLUMNS_33 = ", ".join(f"c{number}" for number in range(33))


def test_refused_in_the_servers_words(project: Project, database: Database, run_cli: Callable[..., Result]) -> None:
    database.sql(SCHEMA)
    bad = [f"name: bad_{number}, table: posts, {entry}" for number, entry in enumerate(REFUSED)]
    good = ("name: good, table: posts, keys: [author]", "name: quick, table: scratch, keys: [id]")
    project.wants(*bad, f"name: too_wide, table: wide, keys: [{COLUMNS_33}]", *good)
    result = run_cli("optimize", str(project.folder), "--yes", "-d", project.conninfo, "--format", "json")
    assert result.code == 1
    items = {item["index"]: item for item in result.json_lines[-1]["items"]}
    said = {name: item["error"][-7:-1] for name, item in items.items() if item["status"] == "refused"}
    assert said == {
        **{f"bad_{number}": f" {state}" for number, state in enumerate(REFUSED.values())},
        "too_wide": " 54011",
    }
    assert index_names(database, "posts") == ["good", "posts_pkey"]
    assert index_names(database, "scratch") == ["quick"]
    assert invalid_indexes(database) == []
    project.wants(*good).assert_settled()
