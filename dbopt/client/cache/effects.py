"""What a statement means for answers that are cached: which rows it may change, and how far that may reach.

How the tables of a statement are found is meter/statements.py; here is what besides counts for foreign keys: a row that
is inserted changes no other table, one that is updated only where a column that others refer to is set.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbopt import grammar
from dbopt.client.meter.statements import with_source
from dbopt.grammar import GrammarError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dbopt.client.meter.statements import Statement

_REMEMBERED = 2_000  # as statements.py
# Of longer ones it is not looked for columns: any may be set.
_LONGEST_CHARACTERS = 10_000
_PLACEHOLDER = re.compile(r"%\(\w+\)[sbt]|%[sbt]")
_TEMPORARY = re.compile(r"\s*create\s+(?:(?:local|global)\s+)?temp(?:orary)?\s", re.IGNORECASE)
_SET_CONFIG = "set_config"
# Settings that change no answer; every other one may, as those that policies of row security ask for.
_HARMLESS = re.compile(
    r"""\s*set\s+(?:local\s+|session\s+)?(?:statement_timeout|lock_timeout|transaction_timeout|application_name|jit
        |idle_in_transaction_session_timeout|work_mem|maintenance_work_mem|synchronous_commit|enable_\w+)\b""",
    re.IGNORECASE | re.VERBOSE,
)
# What ends with the transaction.
_PASSING = re.compile(
    r"\s*(?:set\s+(?:local|transaction|constraints)\b|create\s.*\bon\s+commit\s+drop\b)", re.IGNORECASE | re.DOTALL
)
_LOCAL_SET_CONFIG = re.compile(r"set_config\s*\((?:(?!set_config).)*?,\s*true\s*\)", re.IGNORECASE | re.DOTALL)
# The whole of GRANT, CREATE POLICY and their like, which change what a role sees, is a change of the schema.
_KNOWN_TREES = ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "select_stmt")


@dataclass(frozen=True, slots=True)
class Touch:
    """What happens to rows of a table besides that there are more. `columns`: those that are set; None: any."""

    deletes: bool = True
    columns: frozenset[str] | None = None

    def with_(self, other: Touch) -> Touch:
        columns = None if self.columns is None or other.columns is None else self.columns | other.columns
        return Touch(self.deletes or other.deletes, columns)


ADDED = Touch(False, frozenset())
ANY = Touch()


@dataclass(frozen=True, slots=True)
class Effect:
    """`touches`: by table. `anything`: nobody can tell what else it has written; `unless`: it only called these
    functions, and has written nothing where none of them does.
    """

    touches: Mapping[str, Touch]
    anything: bool = False
    unless: frozenset[str] = frozenset()
    is_ddl: bool = False
    # The session sees other things than others do from now on, to the end of its transaction, or for good.
    own_view: bool = False
    own_view_stays: bool = False

    @property
    def is_none(self) -> bool:
        return not (self.touches or self.anything or self.is_ddl or self.own_view)


NONE = Effect({})


# By text. Not locked: each step is whole by itself, and at worst one is read twice.
_known: dict[str, Effect] = {}


def effect(context: Any, text: str) -> Effect:
    """Of what SQLAlchemy executes."""
    known, source = with_source(context, text)
    if len(source) > _LONGEST_CHARACTERS:
        return _effect("", known)
    found = _known.get(source)
    if found is None:
        if len(_known) >= _REMEMBERED:
            _known.clear()
        found = _known[source] = _effect(source, known)
    return found


def _effect(text: str, known: Statement) -> Effect:
    written = _written(text, known)
    configs = text.lower().count(_SET_CONFIG)
    is_set = configs or (known.operation == "set" and not _HARMLESS.match(text))
    if not is_set and not _TEMPORARY.match(text):
        return written
    passes = len(_LOCAL_SET_CONFIG.findall(text)) == configs if configs else _PASSING.match(text)
    return replace(written, own_view=True, own_view_stays=not passes)


def _written(text: str, known: Statement) -> Effect:
    only_calls = known.functions and known.operation in ("select", "create")
    if _TEMPORARY.match(text):  # what belongs to a session is no part of the schema
        return Effect({}, anything=True, unless=known.functions) if only_calls else NONE
    if known.is_ddl:
        return Effect({}, is_ddl=True)
    if known.writes is None:
        return Effect({}, anything=True, unless=known.functions if only_calls else frozenset())
    if not known.writes:
        # COMMIT PREPARED: what it makes visible was written in another session.
        is_second_phase = known.operation == "transaction" and "prepared" in text.lower()
        return Effect({}, anything=True) if is_second_phase else NONE
    if known.operation in ("insert", "update", "delete", "merge") and text:
        return Effect(_touches(text, known.writes))
    return Effect(dict.fromkeys(map(bare, known.writes), ADDED if known.operation == "copy" else ANY))


def bare(name: str) -> str:
    return name.rpartition(".")[2]


def _touches(text: str, writes: Iterable[str]) -> Mapping[str, Touch]:
    import postgast
    from postgast import pg_query_pb2 as pb

    anything = dict.fromkeys(map(bare, writes), ANY)
    try:
        node = grammar.parse_one(_PLACEHOLDER.sub("$1", text))
    except GrammarError:
        return anything
    if node.WhichOneof("node") not in _KNOWN_TREES:
        return anything
    found: dict[str, Touch] = {}

    def add(relation: Any, touch: Touch) -> None:
        before = found.get(relation.relname)
        found[relation.relname] = touch if before is None else before.with_(touch)

    for insert in postgast.find_nodes(node, pb.InsertStmt):
        add(insert.relation, Touch(False, _assigned(insert.on_conflict_clause.target_list)))
    for update in postgast.find_nodes(node, pb.UpdateStmt):
        add(update.relation, Touch(False, _assigned(update.target_list)))
    for delete in postgast.find_nodes(node, pb.DeleteStmt):
        add(delete.relation, Touch(True, frozenset()))
    for merge in postgast.find_nodes(node, pb.MergeStmt):
        add(merge.relation, ANY)
    return {**anything, **found}


def _assigned(targets: Any) -> frozenset[str]:
    return frozenset(target.res_target.name for target in targets)
