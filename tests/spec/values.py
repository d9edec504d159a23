"""Spec texts and helpers for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.spec.load import load_collecting

if TYPE_CHECKING:
    from pathlib import Path

    from dbopt.spec.finding import Finding
    from dbopt.spec.model import SpecSet

# Every key of the format, each at least once, with nothing that lint finds fault with but what is not supported yet.
ALL_FIELDS = """\
# yaml-language-server: $schema=./index-spec.v1.json
spec: 1
domain: billing
owner: team-billing
defaults: {schema: app, extras: report}
budget: {total: 60GB, per_table_indexes: 10}

indexes:
  - name: invoices_open_by_customer
    table: invoices
    keys:
      - customer_id
      - {column: due_at, order: desc, nulls: last}
    include: [amount_cents]
    where: status IN ('open', 'overdue')
    why: Customer page lists open invoices, newest due first
    serves:
      - query: >-
          SELECT * FROM invoices WHERE customer_id = $1 AND status IN ('open', 'overdue')
          ORDER BY due_at DESC NULLS LAST LIMIT 20
        expect: {uses: true, no_sort: yes}
    priority: 1
    owner: team-customers
    budget: {size: 4GB, build: 45m}
    with: {fillfactor: "70", deduplicate_items: no}
    tablespace: fast
    comment: Read by the customer page
    expires: 2199-12-31

  - name: users_email_ci
    table: {schema: crm, name: users}
    keys: [{expr: lower(email), collation: C, opclass: text_pattern_ops}]
    unique: {nulls: not_distinct}
    was: [idx_users_lower_email]
    why: Login is case-insensitive; one account per address

  - name: docs_body_trgm
    table: docs
    schema: library
    method: gist
    keys: [{column: body, opclass: gist_trgm_ops, opclass_options: {siglen: 32}}]
    needs: {extension: pg_trgm}
    build: {maintenance_work_mem: 2GB, parallel_workers: 4}
    why: Search by parts of words

  - name: events_by_account
    table: events
    keys: [account_id, occurred_at]
    partitions: {name: "{leaf}_by_account"}
    why: Timeline of an account

  - name: orders_tenant_status
    table: {schema: "tenant_*", except: [tenant_demo], name: orders}
    keys: [status, created_at]
    why: Each tenant's list of orders

  - name: orders_legacy_note
    table: orders
    state: absent
    why: replaced by orders_note_trgm, unused since August
    guard: {unused_for: 60d}

  - name: places_geom
    table: places
    sql: CREATE INDEX places_geom ON app.places USING gist (geom gist_geometry_ops_nd (siglen = 128))
    why: Map of places
"""

HEAD = "spec: 1\ndomain: test\n"


def entry(body: str) -> str:
    """A file with one index; `body` holds the lines behind its name and table."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{HEAD}indexes:\n  - name: i\n    table: t\n{lines}"


def collect(folder: Path, text: str, name: str = "test.yaml") -> tuple[SpecSet, list[Finding]]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_collecting([path])
