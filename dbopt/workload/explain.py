"""Plans of statements of which only a text with parameters is known: how they would be run for any values.

A text of pg_stat_statements says neither what types its parameters had nor in which schemas its names were found. The
first is the server's to infer, and where it cannot, guessed (parameters.py); the second are the settings of the role
that ran it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import psycopg

from dbopt import grammar
from dbopt.errors import Error, UsageError
from dbopt.postgres.explain import Explaining, explaining
from dbopt.postgres.named_relations import COLUMN_TYPES, EXTENSION_SCHEMAS, RIGHTS, SIGNATURES
from dbopt.postgres.search_paths import HOMES, SEARCH_PATH, joined
from dbopt.workload import unplanned
from dbopt.workload.model import Planned, Unplanned
from dbopt.workload.parameters import Fault, Guesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.named_relations import ColumnType
    from dbopt.postgres.search_paths import Home, SearchPath
    from dbopt.postgres.server import Server
    from dbopt.workload.parameter_tree import Tree

STATEMENT_TIMEOUT_MS = 5_000  # twenty tables joined take the planner a tenth of that
LOCK_TIMEOUT_MS = 200  # twenty statements may stand behind the same lock, one after the other
TRIES_MAX = 24  # of types, each of them a parse analysis of the server's, some tenths of a millisecond
_PLANNED = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
_NO_SUCH_NAME = (psycopg.errors.UndefinedFunction, psycopg.errors.UndefinedObject)

Path = tuple[str, ...]
_Deed = TypeVar("_Deed")


class Planner:
    """Of one session, for any number of statements. It changes nothing and leaves nothing behind."""

    def __init__(
        self,
        conn: Connection,
        server: Server,
        *,
        statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
        lock_timeout_ms: int = LOCK_TIMEOUT_MS,
    ) -> None:
        self._conn = conn
        self._server = server
        self._statement_timeout_ms = statement_timeout_ms
        self._lock_timeout_ms = lock_timeout_ms
        self._paths: dict[int | None, SearchPath] = {}

    def plan(self, query: str, userid: int | None) -> Planned | Unplanned:
        """For any values of its parameters. `userid`: who ran it. Raises psycopg errors if the connection is lost."""
        answer = self._plans(query, userid, ())
        return answer if isinstance(answer, Unplanned) else answer[0]

    def plan_both(
        self, query: str, userid: int | None, settings: Mapping[str, str]
    ) -> tuple[Planned, Planned | None] | Unplanned:
        """As `plan`, and as it would be with other settings; None: with those it is not planned in time."""
        answer = self._plans(query, userid, (settings,))
        return answer if isinstance(answer, Unplanned) else (answer[0], answer[1] if len(answer) > 1 else None)

    def _plans(
        self, query: str, userid: int | None, others: Sequence[Mapping[str, str]]
    ) -> tuple[Planned, ...] | Unplanned:
        """With the server's settings, then with each of the others as long as the server goes along."""
        tree = _tree(query)
        if isinstance(tree, Unplanned):
            return tree

        def planned(asked: Explaining, guesses: Guesses, path: Path) -> tuple[Planned, ...]:
            count = max(tree.numbers(guesses.places), default=0)
            first = Planned(
                query=guesses.text,
                parameter_types=_types(asked, guesses) if count else (),
                documents=tuple(asked.explain(guesses.text, parameters=count)),
                planned_at=datetime.now(UTC),
                search_path=path,
            )
            found = [first]
            for other in others:
                try:
                    asked.set(other)
                    documents = tuple(asked.explain(guesses.text, parameters=count))
                except psycopg.Error:
                    if self._conn.closed:
                        raise
                    break
                found.append(replace(first, documents=documents))
            return tuple(found)

        settings = {"statement_timeout": str(self._statement_timeout_ms)}
        return self._answer(tree, userid, settings, planned)

    def analyze(self, query: str, values: Mapping[int, str | None], userid: int | None, *, timeout_ms: int) -> Planned:
        """Run it, in a transaction that cannot write and is rolled back, and say what it did. `values`: of each
        parameter; None: NULL. Raises Error, UsageError.
        """
        tree = _tree(query)
        if isinstance(tree, Unplanned):
            raise Error("the statement cannot be run", detail=tree.reason, hint=tree.hint)
        if tree.writes:
            raise Error(
                "the statement is not run: it writes, or locks rows",
                hint="Leave out --analyze: the plan alone runs nothing.",
            )

        def analyzed(asked: Explaining, guesses: Guesses, path: Path) -> Planned:
            types = _types(asked, guesses) if tree.references else ()
            used = _complete(values, tree, guesses, types)
            # One that another stands for has no place in the text any more; it has to be of some type nevertheless.
            given = [values[number] if number in used else 0 for number in range(1, max(used, default=0) + 1)]
            try:
                documents = asked.analyze(guesses.text, given)
            except psycopg.Error as exc:
                if self._conn.closed or isinstance(exc, psycopg.errors.InsufficientPrivilege):
                    raise
                raise _failed(exc, timeout_ms) from exc
            return Planned(
                query=guesses.text,
                documents=tuple(documents),
                planned_at=datetime.now(UTC),
                parameter_types=types,
                search_path=path,
                is_analyzed=True,
            )

        settings = {"statement_timeout": str(timeout_ms)}
        answer = self._answer(tree, userid, settings, analyzed)
        if isinstance(answer, Unplanned):
            raise Error("the statement could not be run", detail=answer.reason, hint=answer.hint)
        return answer

    def _answer(
        self,
        tree: Tree,
        userid: int | None,
        settings: Mapping[str, str],
        deed: Callable[[Explaining, Guesses, Path], _Deed],
    ) -> _Deed | Unplanned:
        """What the deed gives, in the first of the search paths in which the statement's names are found."""
        role = self._role(userid)
        path = role.schemas()
        settings = {"lock_timeout": str(self._lock_timeout_ms), **settings}
        while True:
            try:
                with explaining(self._conn, self._server, {**settings, "search_path": joined(path)}) as asked:
                    return deed(asked, self._typed(asked, tree, path), path)
            except UnicodeEncodeError:
                return unplanned.ENCODING
            except psycopg.Error as exc:
                if self._conn.closed:
                    raise
                named = [name for schema, name in tree.relations() if schema is None]
                wider = self._wider(exc, named, path)
                if wider is None:
                    return self._why(exc, tree, named, path, role, int(settings["statement_timeout"]))
                path = wider

    def _typed(self, asked: Explaining, tree: Tree, path: Path) -> Guesses:
        """The text with casts where the server cannot infer types, prepared; one without parameters is not."""
        guesses = Guesses(tree, _Catalogs(self._conn, self._server, tree, path))
        first: psycopg.Error | None = None
        for _ in range(TRIES_MAX if tree.references else 0):
            try:
                asked.prepare(guesses.text, guesses.declared)
            except psycopg.Error as exc:
                if self._conn.closed or not (exc.sqlstate or "").startswith(("42", "22")):
                    raise
                first = first or exc
                if not guesses.refused(Fault(exc.sqlstate, asked.position(exc), exc.diag.message_primary or "")):
                    break
            else:
                return guesses
        if first is not None:
            raise first
        return guesses

    def _role(self, userid: int | None) -> SearchPath:
        if userid not in self._paths:
            rows = SEARCH_PATH.rows(self._conn, self._server.version, {"userid": userid})
            self._paths[userid] = rows[0]
        return self._paths[userid]

    def _wider(self, exc: psycopg.Error, names: Sequence[str], path: Path) -> Path | None:
        """Another search path, where this one may be why."""
        if isinstance(exc, psycopg.errors.UndefinedTable):
            return _home(self._homes(names), set(names), path)
        if isinstance(exc, _NO_SUCH_NAME):
            rows = EXTENSION_SCHEMAS.rows(self._conn, self._server.version)
            further = tuple(row.nspname for row in rows if row.nspname not in path)
            return (*path, *further) if further else None
        return None

    def _homes(self, names: Sequence[str]) -> list[Home]:
        return HOMES.rows(self._conn, self._server.version, {"names": list(names)})

    def _why(
        self, exc: psycopg.Error, tree: Tree, names: Sequence[str], path: Path, role: SearchPath, timeout_ms: int
    ) -> Unplanned:
        if isinstance(exc, psycopg.errors.UndefinedTable):
            return unplanned.homeless(exc, self._homes(names), set(names), path, role, self._server)
        if isinstance(exc, psycopg.errors.InsufficientPrivilege):
            wanted = tree.relations()
            rights = RIGHTS.rows(self._conn, self._server.version, _asked(wanted, path))
            return unplanned.forbidden(exc, rights, list(wanted.values()), self._server)
        return unplanned.refused(exc, timeout_ms=timeout_ms)


class _Catalogs:
    """What the catalogs know of a statement's names; asked when a guess needs it, once."""

    def __init__(self, conn: Connection, server: Server, tree: Tree, path: Path) -> None:
        self._conn = conn
        self._version = server.version
        self._tree = tree
        self._path = path
        self._columns: list[ColumnType] | None = None

    def columns(self) -> Sequence[ColumnType]:
        if self._columns is None:
            self._columns = COLUMN_TYPES.rows(self._conn, self._version, _asked(self._tree.relations(), self._path))
        return self._columns

    def signatures(self, name: str, arguments: int) -> Sequence[Sequence[str]]:
        rows = SIGNATURES.rows(self._conn, self._version, {"name": name, "arguments": arguments})
        return [row.types for row in rows]


def _tree(query: str) -> Tree | Unplanned:
    """The text, repaired and read."""
    from dbopt.postgres.normalized import repaired
    from dbopt.workload.parameter_tree import Tree, type_text

    try:
        text = repaired(query)
        node = grammar.parse_one(text)
        types: Sequence[str] = ()
        if node.HasField("prepare_stmt"):
            # What is run by EXECUTE, pg_stat_statements knows by the text that prepared it.
            types = [type_text(name.type_name) for name in node.prepare_stmt.argtypes]
            text = grammar.deparse(node.prepare_stmt.query)
            node = grammar.parse_one(text)
    except grammar.GrammarError as exc:
        return unplanned.unread(exc)
    return Tree(text, node, types) if node.WhichOneof("node") in _PLANNED else unplanned.UTILITY


def _types(asked: Explaining, guesses: Guesses) -> tuple[str, ...]:
    """Of a parameter that another stands for, that one's."""
    types = list(asked.parameter_types())
    for number, other in guesses.joined.items():
        if number <= len(types):
            types[number - 1] = types[other - 1]
    return tuple(types)


def _complete(values: Mapping[int, str | None], tree: Tree, guesses: Guesses, types: Sequence[str]) -> set[int]:
    """The parameters that need a value. Raises UsageError unless each has one, and nothing else has."""
    wanted = tree.numbers(guesses.places)
    known = {reference.number for reference in tree.references}
    odd = [number for number in values if number not in known]
    if odd:
        raise UsageError(
            f"the statement has no parameter {', '.join(f'${number}' for number in odd)}",
            detail=f"It has {', '.join(f'${number}' for number in sorted(known)) or 'none'}.",
        )
    missing = sorted(wanted - values.keys())
    if missing:
        raise UsageError(
            f"{len(missing)} parameter{'s' * (len(missing) > 1)} of the statement "
            f"{'have' if len(missing) > 1 else 'has'} no value",
            detail=", ".join(f"${number} {types[number - 1]}" for number in missing),
            hint="Give each its value: " + " ".join(f"--value {number}=..." for number in missing),
        )
    return wanted


def _failed(exc: psycopg.Error, timeout_ms: int) -> Error:
    """Of a statement that was run."""
    if isinstance(exc, psycopg.errors.QueryCanceled):
        return Error(
            f"the statement did not end within {timeout_ms / 1000:g} s",
            hint="It was stopped. Give it more time with --timeout, or leave out --analyze.",
        )
    if isinstance(exc, psycopg.errors.ReadOnlySqlTransaction):
        return Error(
            "the statement is not run: it writes",
            detail=exc.diag.message_primary,
            hint="Leave out --analyze: the plan alone runs nothing.",
        )
    return Error("the statement failed", detail=f"SQLSTATE {exc.sqlstate}: {exc.diag.message_primary}")


def _home(homes: Sequence[Home], names: set[str], path: Path) -> Path | None:
    """With the one schema that has all of these tables, else with the one that has all that the path does not find."""
    usable = [home for home in homes if home.may_use and not home.is_temporary]
    whole = [home.nspname for home in usable if names <= set(home.names)]
    if len(whole) == 1:
        return (whole[0], *path) if whole[0] not in path else None
    missing = names - {name for home in usable if home.nspname in path for name in home.names}
    owners = [home.nspname for home in usable if missing and missing <= set(home.names)]
    return (*path, owners[0]) if len(owners) == 1 and not whole else None


def _asked(relations: Iterable[tuple[str | None, str]], path: Path) -> dict[str, object]:
    pairs = list(relations)
    return {
        "schemas": [schema for schema, _ in pairs],
        "names": [name for _, name in pairs],
        "path": [*path, "pg_catalog"],
    }
