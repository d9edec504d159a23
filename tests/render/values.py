"""Values to render, and an Output that writes into memory."""

from __future__ import annotations

import io
from typing import Any

from dbopt.optimize.steps import Action, Blocker, Item, ItemStatus, Plan, Step, Target
from dbopt.render.output import UNLIMITED, Format, Output, Stream
from dbopt.spec.finding import Finding, Severity

# Names that break what trusts them: rich markup, terminal escapes, separators, writing direction, width, length.
HOSTILE = [
    "we[red]ird[/]",
    "[/]",
    "[link=file:///]x",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "tab\there",
    "line\nbreak\r",
    "\u202egnirts",
    "\u05d0\u05d1\u05d2",
    ":smile: \U0001f600 \U0001f469\u200d\U0001f4bb",
    "日本語の索引",
    "n" * 63,
    "back\\slash \\n",
    "quo\"te's, comma; semi",
    " ",
    "\u2028\u2029\x85\xa0",
]

TARGET = Target(dbname="app", server_version="18.6", system_identifier="7430000000000000001")
BLOCKER = Blocker(
    phase="waiting for writers before build",
    pid=4711,
    usename="web",
    application_name="checkout",
    state="idle in transaction",
    xact_age_seconds=182.0,
)
CREATE = Step(
    action=Action.CREATE,
    index="orders_open",
    schema="app",
    table="orders",
    statements=(
        """CREATE INDEX CONCURRENTLY "orders_open" ON "app"."orders" ("customer_id") WHERE (status = 'open'::text)""",
        """COMMENT ON INDEX "app"."orders_open" IS 'Open orders\n[dbopt:1 billing/orders_open sha=1f]'""",
    ),
    reason="no index of app.orders is equal to it",
    hazards=("transactions that are older than the build delay it until they end",),
    domain="billing",
    estimate={"build_seconds": 125.0, "size_bytes": 52428800.0},
    waits_for=(BLOCKER,),
    settings={"maintenance_work_mem": "2GB"},
)
ANALYZE = Step(
    action=Action.ANALYZE,
    index=None,
    schema="app",
    table="orders",
    statements=('ANALYZE "app"."orders"',),
    reason="the table has never been analyzed",
)
FINDINGS = (
    Finding(
        severity=Severity.WARNING,
        code="prefix-redundant",
        message="orders_a is a prefix of orders_ab",
        index="orders_a",
        file="indexes/billing.yaml",
        line=12,
        column=5,
        source="  - name: orders_a",
        hint="Remove orders_a.",
    ),
    Finding(
        severity=Severity.ERROR,
        code="unknown-key",
        message='unknown key "tabel"',
        index="orders_b",
        file="indexes/billing.yaml",
        line=30,
        column=5,
        source="    tabel: orders\n",
        hint='Did you mean "table"?',
    ),
    Finding(severity=Severity.INFO, code="invalid-index", message="an INVALID index of nobody", index="left_over"),
)


def item(index: str, status: ItemStatus, **more: Any) -> Item:
    return Item(index=index, schema="app", table="orders", status=status, **more)


UNCHANGED = tuple(item(f"unchanged_{number}", ItemStatus.UNCHANGED) for number in range(31))
REFUSED = item("orders_old", ItemStatus.REFUSED, error="the constraint orders_pkey needs it")
PLAN = Plan(target=TARGET, steps=(CREATE, ANALYZE), findings=FINDINGS, unchanged=UNCHANGED, refused=(REFUSED,))


class Memory:
    """An Output on two StringIOs."""

    def __init__(
        self,
        format: Format = Format.TABLE,
        *,
        width: int | None = UNLIMITED,
        terminal: bool = False,
        color: bool = False,
        quiet: bool = False,
    ) -> None:
        self._out, self._err = io.StringIO(newline=""), io.StringIO(newline="")
        out, err = (
            Stream(file=file, terminal=terminal, live=terminal, color=color, width=width)
            for file in (self._out, self._err)
        )
        self.output = Output(format=format, out=out, err=err, quiet=quiet)

    @property
    def out(self) -> str:
        return self._out.getvalue()

    @property
    def err(self) -> str:
        return self._err.getvalue()
