"""An index of the catalogs as an entry of a spec: the shortest that means the same to the server. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.postgres.identifiers import derived
from dbopt.spec import mark
from dbopt.spec.methods import METHODS
from dbopt.spec.write import Parameter
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from postgast.pg_query_pb2 import IndexElem

    from dbopt.optimize.canonical import Definition, KeyForm
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.index_export import KeyWords

# Quoted text of SQL, by which parentheses are not counted. Backslashes escape in E'' alone.
_QUOTED = re.compile(r"""[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|"(?:[^"]|"")*\"""", re.DOTALL)

# Keys of an entry that say what the index is, in the order of the file.
DEFINITION_KEYS = ("method", "keys", "include", "unique", "where", "with", "tablespace", "sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is known of an index besides its row and definition. `text`: the server's CREATE INDEX, for one that has an
    expression or a predicate.
    """

    words: Mapping[int, KeyWords]  # by the number of the key
    text: str | None
    leaves: Sequence[tuple[str, str]]  # of a partition tree: each leaf table with the name of its index


class NoForm(Exception):
    """No entry can say this index; the message says why."""


def fields(index: Index, form: Definition, said: Said) -> dict[str, object]:
    """The entry without its name and table. Raises NoForm."""
    entry: dict[str, object] = {}
    if form.method != "btree":
        entry["method"] = form.method
    entry["keys"] = [_key(n, key, said) for n, key in enumerate(form.keys, start=1)]
    if form.include:
        entry["include"] = list(form.include)
    if form.unique:
        entry["unique"] = {"nulls": "not_distinct"} if form.nulls_not_distinct else True
    if form.predicate is not None:
        entry["where"] = bare(form.predicate)
    if parameters := _parameters(index, form):
        entry["with"] = parameters
    if form.tablespace is not None:
        entry["tablespace"] = form.tablespace
    entry = entry if _is_readable(entry) else {"sql": _statement(said.text)}
    if (template := _template(index.index, said.leaves)) is not None:
        entry["partitions"] = {"name": template}
    if human := mark.read(index.comment)[0]:
        entry["why"] = human
    return entry


def domain_of(index: Index) -> str | None:
    """Whose mark it carries."""
    owner = mark.read(index.comment)[1]
    return owner.domain if owner is not None else None


def bare(text: str) -> str:
    """An expression without parentheses around the whole of it, and without the line break that CASE begins with."""
    text = text.strip()
    while text.startswith("(") and _closes(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closes(text: str) -> int | None:
    """Where the parenthesis is closed that a text begins with."""
    depth = 0
    for place, character in enumerate(_QUOTED.sub(lambda found: "x" * len(found[0]), text)):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return place
    return None


def _key(number: int, key: KeyForm, said: Said) -> object:
    words = said.words.get(number)
    entry: dict[str, object] = (
        {"column": key.column} if key.column is not None else {"expr": bare(key.expression or "")}
    )
    if key.descending:
        entry["order"] = "desc"
    if key.nulls_first != key.descending:
        entry["nulls"] = "first" if key.nulls_first else "last"
    if words is not None:
        element = _element(said.text, number) if key.column is None else None
        # Of an expression the server leaves out what goes without saying.
        if words.collation is not None and (element is None or element.collation):
            entry["collation"] = _name(words.collation_schema, words.collation)
        if words.opclass is not None and (element is None or element.opclass or words.options):
            entry["opclass"] = _name(words.opclass_schema, words.opclass)
        if words.options:
            entry["opclass_options"] = _pairs(words.options)
    return entry["column"] if list(entry) == ["column"] else entry


def _element(text: str | None, number: int) -> IndexElem | None:
    try:
        return grammar.parse_create_index(text or "").index_params[number - 1].index_elem
    except grammar.GrammarError:
        return None


def _name(schema: str | None, name: str) -> str:
    """An operator class or collation as `statement.create_index` reads it."""
    if schema is None and not name.startswith('"') and not ("." in name and name.endswith("_ops")):
        return name
    if schema is not None and name.endswith("_ops") and not any(c in '."' for c in schema + name):
        return f"{schema}.{name}"
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name) if part is not None)


def _pairs(options: Iterable[str]) -> dict[str, str]:
    return {name: Parameter(value) for name, _, value in (option.partition("=") for option in options)}


def _parameters(index: Index, form: Definition) -> dict[str, str]:
    """Those that are no defaults; of a method that is none of PostgreSQL's own in the letters that somebody typed."""
    typed = _pairs(index.reloptions)
    spelled = dict(form.parameters)
    own = form.method in METHODS
    return {name: Parameter(spelled[name]) if own else typed[name] for name in typed if name in spelled}


def _is_readable(entry: Mapping[str, object]) -> bool:
    """Whether every SQL text in it is one that the loader takes."""
    keys = entry["keys"]
    assert isinstance(keys, list)
    texts = [key["expr"] for key in keys if isinstance(key, dict) and "expr" in key]
    try:
        for text in [*texts, entry["where"]] if "where" in entry else texts:
            grammar.parse_expression(str(text))
    except grammar.GrammarError:
        return False
    return True


def _statement(text: str | None) -> str:
    """The escape hatch: the server's own statement. It writes ONLY for every partitioned table."""
    try:
        node = grammar.parse_one(text or "")
    except grammar.GrammarError as exc:
        raise NoForm(exc.message) from exc
    if node.index_stmt.relation.inh:
        return text or ""
    node.index_stmt.relation.inh = True
    return grammar.deparse(node)


def _template(name: str, leaves: Sequence[tuple[str, str]]) -> str | None:
    """The `partitions: {name: ...}` by which every leaf's index has the name that it has; None where none is needed, or
    none fits: the plan finds the leaves' indexes by what they are attached to.
    """

    def fits(template: str) -> bool:
        return all(derived(template.replace("{leaf}", leaf), "") == index for leaf, index in leaves)

    if not leaves or fits("{leaf}_" + name):
        return None
    leaf, index = leaves[0]
    places = (place for place in range(len(index)) if index.startswith(leaf, place))
    guesses = (index[:place] + "{leaf}" + index[place + len(leaf) :] for place in places)
    return next((guess for guess in guesses if guess.count("{leaf}") == 1 and fits(guess)), None)
