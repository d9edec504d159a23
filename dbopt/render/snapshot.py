"""What `dbopt snapshot` has kept: a record a target and family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.render.escape import visible
from dbopt.render.output import Format
from dbopt.render.records import Column, write_records
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.render.output import Output
    from dbopt.store.receipt import Item, Receipt

_NUMBER = "{:,}".format
_FOR_PEOPLE = [
    Column(name="family"),
    Column(name="subjects", title="counted", show=_NUMBER, align="right"),
    Column(name="changed", show=_NUMBER, align="right"),
    Column(name="seconds", title="since last", show=format_duration, align="right"),
    Column(name="reading_bytes", title="reading", show=format_bytes, align="right"),
    Column(name="interval_bytes", title="interval", show=format_bytes, align="right"),
    Column(name="note"),
]
_FOR_PROGRAMS = [
    Column(name=name)
    for name in (
        *("target", "taken_at", "family", "kept", "subjects", "changed", "seconds", "reading_bytes"),
        *("interval_bytes", "breaks", "missing", "hint"),
    )
]


def write_receipts(output: Output, receipts: Sequence[Receipt], store: str) -> None:
    if output.format is Format.TABLE:
        for receipt in receipts:
            _write_for_people(output, receipt, store)
        return
    rows = [
        [_fields(receipt, item, as_list=output.format is Format.JSON)[column.name] for column in _FOR_PROGRAMS]
        for receipt in receipts
        for item in receipt.items
    ]
    targets = [
        {
            "target": receipt.target,
            "server": receipt.server,
            "dbname": receipt.dbname,
            "taken_at": receipt.taken_at,
            "texts": receipt.texts,
            "texts_all": receipt.texts_all,
        }
        for receipt in receipts
    ]
    write_records(output, "snapshot", "families", _FOR_PROGRAMS, rows, more={"targets": targets, "store": store})


def _write_for_people(output: Output, receipt: Receipt, store: str) -> None:
    from dbopt.render.table import table

    rows = []
    for item in receipt.items:
        fields = _fields(receipt, item, as_list=False)
        fields["note"] = (
            item.missing
            or (None if item.is_kept else "left out: kept by another just now")
            or ("; ".join(item.breaks) or None)
        )
        rows.append([fields[column.name] for column in _FOR_PEOPLE])
    out = output.out
    at = receipt.taken_at.astimezone().isoformat(sep=" ", timespec="seconds")
    out.write(f"{visible(receipt.target)} ({visible(receipt.dbname)}) at {at}\n\n")
    out.print(table(_FOR_PEOPLE, rows))
    for item in receipt.items:
        if item.hint:
            out.write(f"\nfor {item.family}: {visible(item.hint)}\n")
    words = [f"in {visible(store)}"]
    if receipt.texts:
        words.append(f"with the texts of {receipt.texts:,} statements")
    out.write("\nkept " + " ".join(words) + "\n")


def _fields(receipt: Receipt, item: Item, *, as_list: bool) -> dict[str, Any]:
    return {
        "target": receipt.target,
        "taken_at": receipt.taken_at,
        "family": item.family,
        "kept": item.is_kept,
        "subjects": item.subjects,
        "changed": item.changed,
        "seconds": item.seconds,
        "reading_bytes": item.reading_bytes,
        "interval_bytes": item.interval_bytes,
        "breaks": list(item.breaks) if as_list else "; ".join(item.breaks) or None,
        "missing": item.missing,
        "hint": item.hint,
    }
