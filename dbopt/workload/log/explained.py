"""auto_explain's plans: the statement that one belongs to, and the document.

https://www.postgresql.org/docs/current/auto-explain.html
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from dbopt.workload.log import text_plan

# How each format begins; `Query Text` is the first that is said. The text of a JSON plan ends in the quote that no
# backslash stands before, that of an XML plan where its element does.
_JSON = re.compile(r'\s*\{\s*"Query Text": ("(?:[^"\\]|\\.)*+")', re.DOTALL)
_YAML = re.compile(
    r'\s*Query Text: ("(?:[^"\\\n]|\\.)*+") *\n(?:Query Parameters: .*\n|Query Identifier: .*\n)*Plan: *\n'
)
_XML = re.compile(r"\s*<explain [^>]*>\s*<Query-Text>(.*?)</Query-Text>", re.DOTALL)


def query_text(said: str) -> str | None:
    """The statement, with its values. None: not in any form that auto_explain writes."""
    if match := _JSON.match(said) or _YAML.match(said):
        return _string(match[1])
    if match := _XML.match(said):
        return html.unescape(match[1])
    return text_plan.query_text(said)


def document(said: str) -> Mapping[str, Any] | None:
    """The plan as EXPLAIN (FORMAT JSON) has it, with its values. None: XML, cut off, or of an unknown form."""
    if said.lstrip().startswith("{"):
        found = _object(said)
    elif _YAML.match(said):
        found = _yaml(said)
    else:
        found = text_plan.document(said)
    plan = None if found is None else found.get("Plan")
    return found if isinstance(plan, dict) and "Node Type" in plan else None


def _string(text: str) -> str | None:
    try:
        # Escapes only what must be: a plain line break is none of JSON's.
        return str(json.loads(text, strict=False))
    except ValueError:
        return None


def _object(said: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(said, strict=False)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _yaml(said: str) -> Mapping[str, Any] | None:
    import yaml

    try:
        found = yaml.load(said, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # both are the safe one
    except (yaml.YAMLError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
