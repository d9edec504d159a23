"""Statements on indexes as calls of Alembic's operations, in lines of Python.

`op.create_index` where it says just the same as the statement, else `op.execute` with the statement itself.
https://docs.sqlalchemy.org/en/20/dialects/postgresql.html#postgresql-specific-index-options
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dbopt import grammar
from dbopt.render.migration import WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.optimize.resuming import Name

INDENT = "    "

# Reserved by PostgreSQL and not quoted by SQLAlchemy 2 (RESERVED_WORDS in sqlalchemy/dialects/postgresql/base.py).
_UNQUOTED = frozenset({"collation", "concurrently", "lateral", "system_user", "tablesample"})
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
# What sqlalchemy.text() takes for a parameter, or for one that was escaped (BIND_PARAMS in sqlalchemy/sql/compiler.py).
_PARAMETER = re.compile(r"(?<![:\w]):\w|\\:")


def drop_index(name: Name, *, concurrently: bool) -> list[str]:
    if set(name) & _UNQUOTED:
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in name)
        return execute(f"DROP INDEX {'CONCURRENTLY ' if concurrently else ''}IF EXISTS {quoted}")
    words = [f"op.f({literal(name[1])})", f"schema={literal(name[0])}", "if_exists=True"]
    return _call("op.drop_index", [*words, *(["postgresql_concurrently=True"] if concurrently else [])])


def create_index(statement: str) -> list[str]:
    made = grammar.parse_one(statement).index_stmt
    columns = [_column(element.index_elem) for element in made.index_params]
    # SQLAlchemy makes a column of each name, and a table has it once.
    plain = [name for name, _, is_plain in columns if is_plain]
    include = [element.index_elem.name for element in made.index_including_params]
    where = grammar.expression_text(made.where_clause) if made.HasField("where_clause") else None
    parameters = {option.def_elem.defname: _value(option.def_elem) for option in made.options}
    names = {made.idxname, made.relation.schemaname, made.relation.relname, made.table_space, *plain, *include}
    texts = [text for name, text, is_plain in columns if not is_plain] + [where or ""]
    if (
        made.relation.inh is False
        or names & _UNQUOTED
        or len(set(plain)) < len(plain)
        or any(map(_PARAMETER.search, texts))
        or any("%" in text for _, text, is_plain in columns if is_plain)  # no one doubles it
        or not _PLAIN.fullmatch(made.access_method)
        or any(value is None or not _PLAIN.fullmatch(name) for name, value in parameters.items())
    ):
        return execute(statement)
    keys = [literal(name) if is_plain else f"sa.text({literal(text)})" for name, text, is_plain in columns]
    ops = {name: text for name, text, is_plain in columns if is_plain and text}
    words = [
        f"op.f({literal(made.idxname)})",
        literal(made.relation.relname),
        f"[{', '.join(keys)}]",
        f"schema={literal(made.relation.schemaname)}",
    ]
    if made.unique:
        words.append("unique=True")
    if made.access_method != "btree":
        words.append(f"postgresql_using={literal(made.access_method)}")
    if ops:
        words.append(f"postgresql_ops={_dict(ops)}")
    if include:
        words.append(f"postgresql_include=[{', '.join(map(literal, include))}]")
    if made.nulls_not_distinct:
        words.append("postgresql_nulls_not_distinct=True")
    if parameters:
        words.append(f"postgresql_with={_dict({name: str(value) for name, value in parameters.items()})}")
    if made.table_space:
        words.append(f"postgresql_tablespace={literal(made.table_space)}")
    if where is not None:
        words.append(f"postgresql_where=sa.text({literal(where)})")
    words.append("postgresql_concurrently=True")
    return _call("op.create_index", words)


def _column(element: Any) -> tuple[str, str, bool]:
    """A key: its column, its text (of a plain column: the operator class, if one is named), and whether it is plain."""
    from postgast.pg_query_pb2 import SortByDir, SortByNulls

    sorted_otherwise = (
        element.ordering not in (SortByDir.SORTBY_DEFAULT, SortByDir.SORTBY_ASC)
        or element.nulls_ordering != SortByNulls.SORTBY_NULLS_DEFAULT
    )
    is_plain = bool(element.name) and not (element.collation or element.opclassopts or sorted_otherwise)
    if not is_plain:
        return element.name, _element(element), False
    if not element.opclass:
        return element.name, "", True
    bare = type(element)()
    bare.CopyFrom(element)
    bare.ClearField("opclass")
    return element.name, _element(element).removeprefix(_element(bare)).strip(), True


def _element(element: Any) -> str:
    """A key as it stands in the statement, in SQL."""
    from postgast.pg_query_pb2 import Node

    node = Node()
    statement = node.index_stmt
    statement.relation.relname, statement.relation.inh, statement.access_method = "t", True, "gist"
    statement.index_params.add().index_elem.CopyFrom(element)
    return grammar.deparse(node).removeprefix("CREATE INDEX ON t USING gist (").removesuffix(")")


def _value(option: Any) -> str | None:
    """A storage parameter's value, as it stands behind the `=`; None: of no known form."""
    match option.arg.WhichOneof("node"):
        case "integer":
            return str(option.arg.integer.ival)
        case "float":
            return str(option.arg.float.fval)
        case "type_name" if len(option.arg.type_name.names) == 1:
            word = option.arg.type_name.names[0].string.sval
            return str(word) if _PLAIN.fullmatch(word) else None
        case "string":
            word = option.arg.string.sval
            return str(word) if _PLAIN.fullmatch(word) else None
    return None


def execute(statement: str) -> list[str]:
    """As it stands: nothing in it is taken for a parameter."""
    if _PARAMETER.search(statement):  # DDL has no parameters; what it has is formatted with %
        return _call("op.execute", [f"sa.DDL({literal(statement.replace('%', '%%'))})"])
    return _call("op.execute", [literal(statement)])


def _call(function: str, words: Sequence[str]) -> list[str]:
    """On one line where it fits, else one argument a line, as formatters have it."""
    line = f"{function}({', '.join(words)})"
    if len(words) == 1 or len(line) <= WIDTH - 3 * len(INDENT):
        return [line]
    return [f"{function}(", *(f"{INDENT}{word}," for word in words), ")"]


def _dict(values: dict[str, str]) -> str:
    return "{" + ", ".join(f"{literal(name)}: {literal(value)}" for name, value in values.items()) + "}"


def literal(text: str) -> str:
    """A Python literal that is easy on the eye: SQL has quotes of its own."""
    if is_simple(text):
        if '"' not in text:
            return f'"{text}"'
        if "'" not in text:
            return f"'{text}'"
        if not text.endswith('"'):
            return f'"""{text}"""'
    return repr(text)


def is_simple(text: str) -> bool:
    """Whether it stands in Python's triple quotes as it is."""
    return text.isprintable() and "\\" not in text and '"""' not in text


def has_parameters(statement: str) -> bool:
    """Whether sqlalchemy.text() would find some in it."""
    return _PARAMETER.search(statement) is not None
