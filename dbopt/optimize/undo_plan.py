"""A plan that makes again what a run has dropped, from its undo file.

What is there again already is left alone, so an undo that was broken off is resumed; an index of the name that is
something else is nobody's to touch.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from dbopt import grammar
from dbopt.errors import PlanMismatch
from dbopt.optimize import canonical, decide, kinds, order, refusals, twin
from dbopt.optimize.canonical import Definition
from dbopt.optimize.collect import collect, require_primary
from dbopt.optimize.draft import Draft, PlanOptions
from dbopt.optimize.plan import target
from dbopt.optimize.refusals import RefusedError, error
from dbopt.optimize.steps import Action, Plan, Proof, Step
from dbopt.optimize.undo import require_match
from dbopt.postgres.identifiers import display
from dbopt.spec import mark
from dbopt.spec.model import IndexSpec, Source, TableRef
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.optimize.undo import Undo
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server
    from dbopt.spec.finding import Finding

Name = tuple[str, str]  # schema, index


@dataclass(slots=True)
class _Piece:
    """An index of the file with all that the file says of it. `parent`: what it is attached to."""

    entry: IndexSpec
    create: str
    is_tree: bool
    comment: str | None = None  # this and the next ones as statements
    targets: list[str] = field(default_factory=list)  # of statistics
    cluster: str | None = None
    parent: Name | None = None
    attach: str | None = None

    @property
    def name(self) -> Name:
        return self.entry.schema_name, self.entry.name


def make_plan(conn: Connection, server: Server, undo: Undo) -> Plan:
    """Changes nothing. Raises PlanMismatch for the file of another database and for one that dbopt did not write;
    ServerUnfit and NotPermitted as any plan does.
    """
    require_primary(conn, server)
    require_match(server, undo)
    pieces = _pieces(undo)
    entries = [piece.entry for piece in pieces.values()]
    draft = Draft(conn, server, collect(conn, server, entries), entries, PlanOptions(), [])
    _Undoing(draft, pieces).decide()
    steps = order.ordered(draft.steps, draft.actual, draft.analyze)
    return Plan(
        target=target(server),
        steps=order.with_waits(conn, server, draft.actual, steps),
        findings=tuple(draft.findings),
        unchanged=tuple(draft.unchanged),
        refused=tuple(draft.refused),
        concerns=tuple(sorted({(entry.schema_name, entry.table.name) for entry in entries})),
        state=draft.actual.digest(),
    )


@dataclass(slots=True)
class _Undoing:
    draft: Draft
    pieces: dict[Name, _Piece]
    forms: dict[Name, Definition | Finding] = field(default_factory=dict)  # what each is, or why it cannot be

    def decide(self) -> None:
        """Each index with its parts, one after the other."""
        self.forms = self._ask()
        for top in [piece for piece in self.pieces.values() if piece.parent is None]:
            try:
                table, form = self._possible(top)
                steps = self._tree(top, table) if top.is_tree else self._made(top, table, form)
            except RefusedError as exc:
                self.draft.refuse(top.entry, exc.finding)
                continue
            self.draft.steps += [replace(step, group=display(table.schema, table.table)) for step in steps]
            if not steps:
                self.draft.settle(top.entry)
            if any(step.builds for step in steps):
                self.draft.note_analyze(table, form)

    def _ask(self) -> dict[Name, Definition | Finding]:
        """In the server's words of today."""
        draft = self.draft
        pairs = [(piece, table) for piece in self.pieces.values() if (table := self._table(piece)) is not None]
        asked = [
            twin.Asked(entry=piece.entry, table=table, columns=draft.actual.columns.get(table.oid, ()))
            for piece, table in pairs
        ]
        answers = twin.definitions(draft.conn, draft.server, asked)
        return {
            piece.name: answer
            if isinstance(answer, Definition)
            else refusals.refused(draft.conn, draft.server, piece.entry, table, answer)
            for (piece, table), answer in zip(pairs, answers, strict=True)
        }

    def _table(self, piece: _Piece) -> Table | None:
        return self.draft.actual.tables.get((piece.entry.schema_name, piece.entry.table.name))

    def _possible(self, piece: _Piece) -> tuple[Table, Definition]:
        """Raises RefusedError where the index cannot be made."""
        table = self._table(piece)
        if table is None:
            raise RefusedError(refusals.missing_table(self.draft.conn, self.draft.server, piece.entry))
        form = self.forms[piece.name]
        if not isinstance(form, Definition):
            raise RefusedError(form)
        if table.oid in self.draft.actual.locked:
            message = (
                f"{display(table.schema, table.table)} is locked exclusively, so that its indexes cannot be compared"
            )
            raise RefusedError(error(piece.entry, "table-locked", message, hint="Undo again when the lock is gone."))
        for problem in (refusals.not_owner, refusals.not_creator):
            if (why := problem(self.draft.server, piece.entry, table)) is not None:
                raise RefusedError(why)
        return table, form

    def _tree(self, top: _Piece, table: Table) -> list[Step]:
        """The index of a partitioned table, its parts, and what puts them together from the leaves up."""
        family = [piece for piece in self._family(top) if self._table(piece) is not None]  # or that partition is gone
        self._require_all(top, table, family)
        steps = [step for piece in family for step in self._made(piece, *self._possible(piece))]
        for piece in reversed(family):
            if piece.attach is not None and piece.parent is not None and not self._is_attached(piece):
                parent = self.pieces[piece.parent].entry
                steps.append(
                    Step(
                        action=Action.ATTACH,
                        index=parent.name,
                        schema=parent.schema_name,
                        table=parent.table.name,
                        statements=(piece.attach,),
                        reason=f"makes {piece.entry.name} a part of it again",
                        domain=top.entry.domain or None,
                    )
                )
        if steps:
            proof = self._proof(top, table)
            steps[-1] = replace(steps[-1], proofs=(*steps[-1].proofs, proof))
        return steps

    def _family(self, top: _Piece) -> Iterator[_Piece]:
        """It and its parts, each behind what it is attached to."""
        yield top
        for piece in self.pieces.values():
            if piece.parent == top.name:
                yield from self._family(piece)

    def _require_all(self, top: _Piece, table: Table, family: Sequence[_Piece]) -> None:
        """Raises RefusedError where a partition came since: without a part of that the index would stay INVALID."""
        known = {(piece.entry.schema_name, piece.entry.table.name) for piece in family}
        for member in self.draft.actual.trees.get(table.oid, ()):
            if (member.schema, member.table) not in known:
                message = f"{display(table.schema, table.table)} has got a partition since: {member.table}"
                hint = f"Name {top.entry.name} in a spec, with its definition: dbopt plan makes it for all partitions."
                raise RefusedError(error(top.entry, "invalid-part", message, hint=hint))

    def _is_attached(self, piece: _Piece) -> bool:
        here, above = self._here(piece), self._here(self.pieces[piece.parent]) if piece.parent else None
        return here is not None and above is not None and here.parent_oid == above.oid

    def _here(self, piece: _Piece) -> Index | None:
        table = self._table(piece)
        return self.draft.actual.find(table, piece.entry.name) if table is not None else None

    def _proof(self, piece: _Piece, table: Table) -> Proof:
        form = self.forms[piece.name]
        assert isinstance(form, Definition)
        return Proof(schema=table.schema, index=piece.entry.name, table=table.table, definition=form)

    def _made(self, piece: _Piece, table: Table, form: Definition) -> list[Step]:
        """What makes one index, or what it lacks. Raises RefusedError where the name belongs to something else."""
        here = self._here(piece)
        if here is None:
            self._require_free(piece)
            return [self._create(piece, table, here)]
        if not self.draft.same(piece.entry, table, form, here):
            what = canonical.difference(form, self.draft.actual.definition(here))
            message = f"{piece.entry.name} is there, and is something else: {what}"
            hint = "Rename that index, then undo again."
            raise RefusedError(error(piece.entry, "name-taken", message, hint=hint))
        if not piece.is_tree and not (here.indisvalid and here.indisready and here.indislive):
            return [self._create(piece, table, here)]
        lacking = self._lacking(piece, table, here)
        if not lacking:
            return []
        return [self._step(piece, table, Action.COMMENT, lacking, "an undo was broken off before it had all it had")]

    def _require_free(self, piece: _Piece) -> None:
        holder = self.draft.actual.relations.get(piece.name)
        if holder is not None:
            of = f"an index of {holder.table}" if holder.table else "another relation"
            message = f"the name {piece.entry.name} belongs to {of} in schema {piece.entry.schema_name}"
            raise RefusedError(error(piece.entry, "name-taken", message, hint="Rename that one, then undo again."))

    def _create(self, piece: _Piece, table: Table, broken: Index | None) -> Step:
        """`broken`: an INVALID one under its name, or one that is still being built."""
        statements = [piece.create, *self._lacking(piece, table, None)]
        if broken is not None and broken.build_pid is None:
            drop = decide.drop_index(table.schema, broken.index)
            reason = "an earlier build left it INVALID: it slows writes and serves no query"
            step = self._step(piece, table, Action.REPAIR, [drop, *statements], reason)
        else:
            action = Action.CREATE if broken is None else Action.ADOPT
            step = self._step(piece, table, action, statements, piece.entry.why or "")
        if piece.is_tree:
            return step
        return replace(step, hazards=decide.build_hazards(piece.entry), proofs=(self._proof(piece, table),))

    def _lacking(self, piece: _Piece, table: Table, here: Index | None) -> list[str]:
        """What an index has besides its definition. What somebody gave it since stays."""
        lacking = []
        if piece.comment is not None and (here is None or here.comment is None):
            lacking.append(piece.comment)
        if here is None or not any(target is not None for target in here.statistics_targets):
            lacking += piece.targets
        if piece.cluster is not None and not any(
            index.indisclustered for index in self.draft.actual.indexes.get(table.oid, ())
        ):
            lacking.append(piece.cluster)
        return lacking

    def _step(self, piece: _Piece, table: Table, action: Action, statements: list[str], reason: str) -> Step:
        return Step(
            action=action,
            index=piece.entry.name,
            schema=table.schema,
            table=table.table,
            statements=tuple(statements),
            reason=reason,
            domain=piece.entry.domain or None,
        )


# The file's statements


def _pieces(undo: Undo) -> dict[Name, _Piece]:
    """Raises PlanMismatch for what an undo file does not hold."""
    pieces: dict[Name, _Piece] = {}
    for statement in undo.statements:
        node = grammar.parse_one(statement)
        if node.HasField("index_stmt"):
            piece = _created(undo, statement, node.index_stmt)
            known = pieces.setdefault(piece.name, piece)
            if known is not piece:
                raise _foreign(undo, statement, "it is in the file twice")
        elif node.HasField("comment_stmt"):
            schema, index = (item.string.sval for item in node.comment_stmt.object.list.items)
            piece = _of(pieces, undo, statement, (schema, index))
            piece.comment = statement
            owner = mark.read(node.comment_stmt.comment)[1]
            if owner is not None:
                piece.entry = piece.entry.model_copy(update={"domain": owner.domain})
        elif node.HasField("alter_table_stmt"):
            _altered(pieces, undo, statement, node.alter_table_stmt)
        else:
            raise _foreign(undo, statement, "it makes no index")
    return pieces


def _created(undo: Undo, statement: str, node: Any) -> _Piece:
    table = TableRef(name=node.relation.relname, schema_=node.relation.schemaname)
    entry = IndexSpec(
        name=node.idxname,
        table=table,
        sql=statement,
        unique=bool(node.unique),
        why=f"{undo.path.name} has it: a run dropped it",
        source=Source(str(undo.path), 1),
    )
    return _Piece(entry=entry, create=statement, is_tree=not node.relation.inh)


def _altered(pieces: dict[Name, _Piece], undo: Undo, statement: str, node: Any) -> None:
    from postgast.pg_query_pb2 import AlterTableType

    command = node.cmds[0].alter_table_cmd
    if command.subtype == AlterTableType.AT_AttachPartition:
        piece = _of(pieces, undo, statement, kinds.attached(statement))
        piece.parent = _of(pieces, undo, statement, (node.relation.schemaname, node.relation.relname)).name
        piece.attach = statement
    elif command.subtype == AlterTableType.AT_ClusterOn:
        _of(pieces, undo, statement, (node.relation.schemaname, command.name)).cluster = statement
    elif command.subtype == AlterTableType.AT_SetStatistics:
        name = (node.relation.schemaname, node.relation.relname)
        _of(pieces, undo, statement, name).targets.append(statement)
    else:
        raise _foreign(undo, statement, "it makes no index")


def _of(pieces: dict[Name, _Piece], undo: Undo, statement: str, name: Name) -> _Piece:
    if name not in pieces:
        raise _foreign(undo, statement, "it is about an index that the file does not make")
    return pieces[name]


def _foreign(undo: Undo, statement: str, why: str) -> PlanMismatch:
    return PlanMismatch(
        f"{undo.path.name} holds a statement that dbopt did not write there",
        detail=f"{why}: {statement[:200]}",
        hint="Take it out, or run it yourself.",
    )
