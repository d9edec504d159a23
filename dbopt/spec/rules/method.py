"""What an access method can do with keys, and which storage parameters it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dbopt.spec.finding import Finding, Severity, about
from dbopt.spec.methods import KEYS_MAX, METHODS, Method
from dbopt.spec.model import IndexSpec
from dbopt.spec.words import did_you_mean, quoted


def check(entry: IndexSpec) -> Iterator[Finding]:
    yield from _columns(entry)
    method = METHODS.get(entry.method)
    if method is not None:
        yield from _abilities(entry, method)
        yield from _parameters(entry, method)
        return
    # A name that differs from one of ours in case alone cannot be an extension's: nobody would name it so.
    severity = Severity.ERROR if entry.method.lower() in METHODS else Severity.INFO
    message = f"the access method {quoted(entry.method)} is none of PostgreSQL's own"
    yield about(entry, "method", severity, "unknown-method", message, hint=did_you_mean(entry.method, METHODS))


def _columns(entry: IndexSpec) -> Iterator[Finding]:
    columns = len(entry.keys) + len(entry.include)
    if columns > KEYS_MAX:
        message = f"{columns} columns, and an index holds at most {KEYS_MAX}"
        yield about(entry, "keys", Severity.ERROR, "too-many-columns", message)
    # A column with two operator classes or collations is two different keys.
    keys = Counter((key.column, key.opclass, key.collation) for key in entry.keys if key.column is not None)
    twice = {column for (column, _, _), times in keys.items() if times > 1}
    twice |= {column for column, times in Counter(entry.include).items() if times > 1}
    twice |= {column for column, _, _ in keys} & set(entry.include)
    for column in sorted(twice):
        message = f"the column {quoted(column)} comes twice"
        yield about(entry, "keys", Severity.WARNING, "repeated-column", message, hint="Once is enough.")


def _abilities(entry: IndexSpec, method: Method) -> Iterator[Finding]:
    def refused(path: str, what: str) -> Finding:
        message = f"the access method {entry.method} does not support {what}"
        return about(entry, path, Severity.ERROR, "method-cannot", message)

    if entry.is_unique and not method.unique:
        yield refused("unique", "unique indexes")
    if entry.include and not method.include:
        yield refused("include", "included columns")
    if len(entry.keys) > 1 and not method.several_keys:
        yield refused("keys.1", "several keys")
    if method.order:
        return
    for n, key in enumerate(entry.keys):
        if key.order is not None:
            yield refused(f"keys.{n}.order", "`order`")
        if key.nulls is not None:
            yield refused(f"keys.{n}.nulls", "`nulls`")


def _parameters(entry: IndexSpec, method: Method) -> Iterator[Finding]:
    for name, value in entry.with_.items():
        path = f"with.{name}"
        parameter = method.parameters.get(name.lower())
        if parameter is None:
            message = f"the access method {entry.method} has no storage parameter {quoted(name)}"
            hint = did_you_mean(name, method.parameters)
            yield about(entry, path, Severity.ERROR, "unknown-parameter", message, hint=hint)
        elif (problem := parameter.problem(value)) is not None:
            message = f"`{path}`: {problem}, found {quoted(value)}"
            yield about(entry, path, Severity.ERROR, "parameter-value", message)
