"""What a database's catalogs say of who reads and writes what: how far a write reaches, and what a read hangs on.

Views hang on their tables; a partition, or a table that inherits, is a part of another one; a foreign key with CASCADE,
SET NULL or SET DEFAULT writes to the table it is on. What triggers write nobody can tell.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, LiteralString

from dbopt.client.cache.effects import ANY, Touch, bare
from dbopt.client.cache.store import EVERYTHING, SCHEMA, table, tag
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# What makes answers another's, or of another database. One row.
SESSION: LiteralString = """
/* dbopt client: whose answers these are */
SELECT CASE WHEN pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
            THEN (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() AS c) END AS system_identifier,
       pg_catalog.current_database()::text AS dbname,
       session_user::text AS session_user,
       current_user::text AS current_user,
       pg_catalog.current_setting('search_path') AS search_path,
       pg_catalog.current_setting('default_transaction_isolation') AS isolation
"""
# One row for each fact. `details` of a key: its two actions, the columns that it refers to, and as many that refer.
FACTS: LiteralString = """
/* dbopt client: what a write reaches */
WITH own AS (
    SELECT n.oid FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
)
SELECT DISTINCT 'rule' AS what, r.relname::text AS subject, t.relname::text AS object, ARRAY[]::text[] AS details
FROM pg_catalog.pg_rewrite AS w
JOIN pg_catalog.pg_class AS r ON r.oid = w.ev_class AND r.relkind <> 'm'
JOIN own ON own.oid = r.relnamespace
JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid
     AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> w.ev_class
JOIN pg_catalog.pg_class AS t ON t.oid = d.refobjid
UNION ALL
SELECT 'part', c.relname::text, p.relname::text, ARRAY[]::text[]
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f')
JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
UNION ALL
SELECT 'key', p.relname::text, c.relname::text,
       ARRAY[k.confdeltype::text, k.confupdtype::text]
       || ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS u (num, at)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.at)
       || ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS u (num, at)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.at)
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS p ON p.oid = k.confrelid
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
WHERE k.contype = 'f' AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
UNION ALL
SELECT 'reader', f.proname::text, '', ARRAY[]::text[]
FROM pg_catalog.pg_proc AS f
JOIN own ON own.oid = f.pronamespace
WHERE f.prokind <> 'p'
GROUP BY f.proname
HAVING pg_catalog.bool_and(f.provolatile <> 'v' OR f.prokind = 'a')
ORDER BY what, subject, object, details
"""
_PASSED_ON = ("c", "n", "d")  # cascade, set null, set default
_NAMES_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key, by what a write to the table that it refers to does to the one it is on."""

    table: str
    on_delete: str
    on_update: str
    referred: frozenset[str]
    referring: frozenset[str]

    def passes(self, touch: Touch) -> Touch | None:
        found = None
        if touch.deletes and self.on_delete in _PASSED_ON:
            is_cascade = self.on_delete == "c"
            found = Touch(is_cascade, frozenset() if is_cascade else self.referring)
        is_set = touch.columns is None or not self.referred.isdisjoint(touch.columns)
        if is_set and self.on_update in _PASSED_ON:
            updated = Touch(False, self.referring)
            found = updated if found is None else found.with_(updated)
        return found


@dataclass(frozen=True, slots=True)
class Scope:
    """`server`: the database, whatever it is called; generations are the same for all who look at it. `view`: what
    this application's role sees of it, by the way it goes, be that to a replica or to a copy: answers are for these.
    `isolation`: what a transaction is that says nothing of it.
    """

    server: str
    view: str
    isolation: str


def scope(row: Sequence[Any], host: str, port: int) -> Scope:
    """Of a row of SESSION. Where the server does not say who it is, the way to it has to do."""
    system, dbname, *seen, isolation = row
    return Scope(
        server=repr((system or (host, port), dbname)),
        view=blake2b(repr((system, dbname, host, port, seen)).encode(), digest_size=8).hexdigest(),
        isolation=isolation,
    )


class Reach:
    """Of rows of FACTS. `generation`: of the schema, as it was before they were read."""

    def __init__(self, scope: Scope, rows: Iterable[Sequence[Any]], generation: Any) -> None:
        self.scope = scope
        self.generation = generation
        self.readers: set[str] = set()  # functions of which each one that is called so only reads
        self._rules: dict[str, set[str]] = {}
        self._related: dict[str, set[str]] = {}
        self._keys: dict[str, list[Key]] = {}
        self._names: dict[tuple[frozenset[str], tuple[str, ...]], tuple[str, ...]] = {}
        parents: dict[str, set[str]] = {}
        children: dict[str, set[str]] = {}
        for what, subject, other, details in rows:
            if what == "rule":
                self._rules.setdefault(subject, set()).add(other)
            elif what == "part":
                parents.setdefault(subject, set()).add(other)
                children.setdefault(other, set()).add(subject)
            elif what == "key":
                deletes, updates, *columns = details
                half = len(columns) // 2
                referred, referring = frozenset(columns[:half]), frozenset(columns[half:])
                self._keys.setdefault(subject, []).append(Key(other, deletes, updates, referred, referring))
            else:
                self.readers.add(subject)
        for name in {*parents, *children}:
            self._related[name] = _closure(name, parents) | _closure(name, children)

    def names(self, tables: Iterable[str], tags: tuple[str, ...]) -> tuple[str, ...]:
        """The generations that an answer hangs on; that of the schema is the second one."""
        asked = (frozenset(tables), tags)
        found = self._names.get(asked)
        if found is None:
            if len(self._names) >= _NAMES_REMEMBERED:
                self._names.clear()
            read = {other for name in asked[0] for other in _closure(bare(name), self._rules)}
            found = (EVERYTHING, SCHEMA, *sorted(map(table, read)), *sorted(map(tag, set(tags))))
            self._names[asked] = found
        return found

    def written(self, touches: Mapping[str, Touch]) -> set[str]:
        """All tables whose rows may be others after this."""
        # What was reached as a part or a whole of another table does not lead to the other parts of that.
        done: dict[tuple[str, bool], Touch] = {}
        waiting = [(name, touch, False) for name, touch in touches.items()]
        while waiting:
            name, touch, is_related = waiting.pop()
            before = done.get((name, is_related))
            together = touch if before is None else before.with_(touch)
            if together == before:
                continue
            done[name, is_related] = together
            if not is_related:
                waiting.extend((other, touch, True) for other in self._related.get(name, ()))
            waiting.extend((other, ANY, False) for other in self._rules.get(name, ()))  # through a view, or by a rule
            for key in self._keys.get(name, ()):
                passed = key.passes(together)
                if passed is not None:
                    waiting.append((key.table, passed, False))
        return {name for name, _ in done}


def _closure(start: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        for other in edges.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
