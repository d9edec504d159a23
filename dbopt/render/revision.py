"""A migration as an Alembic revision: what a careful engineer would write by hand, and can review.

Everything runs in Alembic's autocommit block, as CREATE INDEX CONCURRENTLY has to. What has run there is not taken
back when a later statement fails, so each part looks first what is there, and the revision can be run again.
https://alembic.sqlalchemy.org/en/latest/api/runtime.html#alembic.runtime.migration.MigrationContext.autocommit_block
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from dbopt.optimize import resuming
from dbopt.optimize.kinds import Kind, kind
from dbopt.optimize.migration import patient
from dbopt.optimize.resuming import Built
from dbopt.render.alembic_calls import INDENT, create_index, drop_index, execute, has_parameters, is_simple, literal
from dbopt.render.escape import visible
from dbopt.render.migration import hazards, lock_timeout, remarks, sql_literal, step_remarks
from dbopt.render.plan_text import common_hazards
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from dbopt.optimize.migration import Migration
    from dbopt.optimize.resuming import Chunk, Name, Sign
    from dbopt.optimize.steps import Step

_HEAD = '''\
"""{message}

Revision ID: {revision}
Revises:{revises}
Create Date: {created}

{remarks}
"""

from __future__ import annotations

{imports}from alembic import op

revision = {revision_literal}
down_revision = {down_revision_literal}
branch_labels = None
depends_on = None
'''

_SEEN = '''
STANDING = """
    SELECT i.indisvalid OR c.relkind = 'I' AS built, obj_description(c.oid, 'pg_class') AS comment
      FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname = :schema AND c.relname = :name
"""


def standing(schema: str, name: str) -> sa.Row | None:
    if op.get_context().as_sql:  # alembic upgrade --sql: nobody to ask
        return None
    return op.get_bind().execute(sa.text(STANDING).bindparams(schema=schema, name=name)).first()
'''

_BUILT = '''

def built(schema: str, name: str) -> bool:
    """Whether an index is there, and not what a build that failed has left: that one is INVALID."""
    index = standing(schema, name)
    return index is not None and index.built
'''

_MARKED = '''

def marked(schema: str, name: str, sha: str | None) -> bool:
    """Whether an index is of that definition: dbopt's mark in its comment has a digest of it. None: it has no mark."""
    index = standing(schema, name)
    if index is None:
        return False
    mark = re.search(r"\\[dbopt:1 .* sha=([0-9a-f]{12})( kept)?]\\s*$", index.comment or "", re.DOTALL)
    return (mark[1] if mark else None) == sha
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """`down_revision` None: it is the first one."""

    revision: str
    down_revision: str | None
    message: str
    created: datetime
    remarks: tuple[str, ...]


def revision_text(migration: Migration, header: Header) -> str:
    """The whole file."""
    functions = [
        *("", "", "def upgrade() -> None:", *_body(migration.up, migration.timeouts)),
        *("", "", "def downgrade() -> None:", *(f"{INDENT}# {visible(said)}." for said in migration.lasting)),
        *_body(migration.down, migration.timeouts),
    ]
    code = "\n".join(functions)
    helpers = [text for call, text in (("not built(", _BUILT), ("not marked(", _MARKED)) if call in code]
    imports = ["import re\n\n"] if _MARKED in helpers else []
    imports += ["import sqlalchemy as sa\n\n"] if helpers or "sa.text(" in code or "sa.DDL(" in code else []
    costs = hazards(common_hazards(migration.up))
    said = [line for remark in (*header.remarks, *costs) for line in remarks(_docstring(remark), "")]
    head = _HEAD.format(
        message=_docstring(header.message),
        revision=header.revision,
        revises=f" {header.down_revision}" if header.down_revision is not None else "",
        created=header.created.strftime("%Y-%m-%d %H:%M:%S.%f"),
        remarks="\n".join(said),
        imports="".join(imports),
        revision_literal=literal(header.revision),
        down_revision_literal="None" if header.down_revision is None else literal(header.down_revision),
    )
    return "".join([head, _SEEN if helpers else "", *helpers, code, "\n"])


def _body(steps: Sequence[Step], timeouts: Sequence[str]) -> Iterator[str]:
    if not steps:
        yield f"{INDENT}pass"
        return
    yield f"{INDENT}with op.get_context().autocommit_block():"
    inner = _Block(2)
    inner.add("# A timeout would end a build half-way and leave an INVALID index.")
    for name in timeouts:
        inner.execute(f"SET {name} = 0")
    inner.waits = True
    common = common_hazards(steps)
    for number, (step, chunks) in enumerate(zip(steps, resuming.chunks(steps), strict=True), 1):
        inner.add("")
        for line in step_remarks(number, step, common, "# "):
            inner.add(line)
        _write_step(inner, step, chunks)
    inner.add("")
    for name in timeouts:
        inner.execute(f"RESET {name}")
    yield from inner.lines


class _Block:
    """Lines of code. `waits`: what lock_timeout is where they have come to; None: it depends."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.lines: list[str] = []
        self.waits: bool | None = None
        self._before: list[bool | None] = []

    def add(self, line: str) -> None:
        self.lines.append(INDENT * self.depth + line if line else "")

    def add_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.add(line)

    def execute(self, statement: str) -> None:
        self.add_all(execute(statement))

    def wait(self, wish: bool | None) -> None:
        if wish is not None and wish is not self.waits:
            self.waits = wish
            self.execute(f"SET lock_timeout = {lock_timeout(wish)}")

    def unless(self, signs: Iterable[Sign]) -> None:
        self.add(f"if {' and '.join(f'not {_sign(sign)}' for sign in signs)}:")
        self.depth += 1
        self._before.append(self.waits)

    def end(self) -> None:
        self.depth -= 1
        if self._before.pop() is not self.waits:
            self.waits = None


def _sign(sign: Sign) -> str:
    place = ", ".join(map(literal, sign.name))
    if isinstance(sign, Built):
        return f"built({place})"
    return f"marked({place}, {'None' if sign.sha is None else literal(sign.sha)})"


def _write_step(block: _Block, step: Step, chunks: Sequence[Chunk]) -> None:
    for name, value in step.settings.items():
        block.execute(f"SET {name} = {sql_literal(value)}")
    anew = {resuming.created(statement) for statement in step.statements}
    for signs, together in groupby(chunks, key=lambda chunk: chunk.signs):
        some = list(together)
        block.wait(patient(some[0].statements[0], step))
        if signs:
            block.unless(signs)
        for chunk in some:
            _write(block, chunk, step, anew)
        if signs:
            block.end()
    for name in step.settings:
        block.execute(f"RESET {name}")


def _write(block: _Block, chunk: Chunk, step: Step, anew: Collection[Name | None]) -> None:
    """`anew`: what the step builds."""
    if len(chunk.statements) > 1 and any(resuming.renamed(statement) is not None for statement in chunk.statements):
        block.wait(False)
        _write_swap(block, chunk.statements)
        return
    for statement in chunk.statements:
        gone = resuming.dropped(statement)
        if gone is not None and gone in anew:
            continue  # it goes where it is built anew
        block.wait(patient(statement, step))
        if gone is not None:
            block.add_all(drop_index(gone, concurrently=kind(statement) is Kind.DROP))
        elif (index := resuming.created(statement)) is not None:
            block.unless([Built(index)])
            if kind(statement) is Kind.BUILD:
                block.add_all(drop_index(index, concurrently=True))
            block.add_all(create_index(statement))
            block.end()
        else:
            block.execute(statement)


def _write_swap(block: _Block, statements: Sequence[str]) -> None:
    """The block has no transactions; a DO statement is one."""
    tag = "$$"
    while any(tag in statement for statement in statements):
        tag = f"{tag[:-1]}x$"
    lines = [f"DO {tag} BEGIN", *(f"{INDENT}{statement};" for statement in statements), f"END {tag}"]
    if any(has_parameters(line) or not is_simple(line) for line in lines):
        block.execute(" ".join(lines))
        return
    block.add("op.execute(")
    for line in ('"""', *lines, '"""'):
        block.add(INDENT + line)
    block.add(")")


def _docstring(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace('"""', "'''").rstrip('"')
