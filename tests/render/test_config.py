from __future__ import annotations

import json

from dbopt.render.config import write_config
from dbopt.render.output import Format

from .values import Memory

SETTINGS = [("specs", "indexes/", "default"), ("store", None, "default"), ("optimize.jobs", 2, "./dbopt.yaml")]


def shown(format: Format) -> str:
    memory = Memory(format, width=60)
    write_config(memory.output, iter(SETTINGS))
    return memory.out


def test_table() -> None:
    assert shown(Format.TABLE) == (
        "name            value      origin\n"
        "───────────────────────────────────────\n"
        "specs           indexes/   default\n"
        "store                      default\n"
        "optimize.jobs   2          ./dbopt.yaml\n"
    )


def test_lines() -> None:
    assert shown(Format.LINES) == "specs\tindexes/\tdefault\nstore\t\tdefault\noptimize.jobs\t2\t./dbopt.yaml\n"


def test_json() -> None:
    assert json.loads(shown(Format.JSON))["settings"][1:] == [
        {"name": "store", "value": None, "origin": "default"},
        {"name": "optimize.jobs", "value": 2, "origin": "./dbopt.yaml"},
    ]
