"""`dbopt suggest --review`: whether the suggestions that were applied have kept what they promised."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from dbopt.cli import readings, replica_use, suggested_files
from dbopt.errors import EXIT_DONE, Error
from dbopt.optimize import guard
from dbopt.postgres.reviewed_indexes import REVIEWED_INDEXES
from dbopt.snapshot.model import Family
from dbopt.store import suggestions, targets
from dbopt.store.aside import UNKEPT, Aside, Needed
from dbopt.store.targets import Whose
from dbopt.suggest import evidence, review, review_spec
from dbopt.suggest.review import Review
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from dbopt.cli.readings import Reader
    from dbopt.cli.session import Session
    from dbopt.snapshot.collect import Collected
    from dbopt.store.plain import Session as Kept
    from dbopt.suggest.evidence import Evidence

_FAMILIES = (Family.STATEMENTS, Family.INDEXES)
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class _Promised:
    """What the store has of a target."""

    target_id: int
    rows: list[suggestions.Kept]


def show_review(session: Session, *, out: Path | None = None, update: Path | None = None) -> int:
    """`out`: a new file for what should go; `update`: a spec that is there. Raises ConfigError where there is no store,
    UsageError for a file that cannot be written so, Error where it cannot be written.
    """
    from dbopt.render.suggest_review import write_review

    suggested_files.check(out, update)
    store = Needed(session.settings.store.value)
    with readings.reader(session, session.target) as source:
        about = readings.about(source)
        found = _review(session, source, store)
    write_review(session.output, about, found, call=lambda *options: session.call("suggest", *options, specs=False))
    if out is not None or update is not None:
        _write(session, found, out, update)
    return EXIT_DONE


def _review(session: Session, source: Reader, store: Needed) -> Review:
    whose = source.whose
    promised = store.attempt(lambda kept: _promised(kept, whose), reading=True)
    taken = source.read(_FAMILIES)
    at = taken.snapshot.taken_at
    if promised is None or not promised.rows:
        return Review(at=at, found=())
    now = evidence.Now(
        at=at,
        indexes=tuple(REVIEWED_INDEXES.rows(source.conn, source.server.version, _tables(promised.rows))),
        window=guard.window(source.conn, source.server),
        replicas=tuple(replica_use.ask(session, replica) for replica in session.replicas(source.target)),
    )

    def look_up(kept: Kept) -> Evidence:
        ledgers = {promised.target_id, *_primary(kept, whose)}
        parts = taken.snapshot.parts
        return evidence.look_up(kept, promised.target_id, sorted(ledgers), promised.rows, now, parts)

    known = store.attempt(look_up, reading=True)
    facts = evidence.facts(promised.rows, now, known)
    _leave(session, source, taken, [row.id for row, fact in zip(promised.rows, facts, strict=True) if fact.there], at)
    missing = taken.snapshot.missing.get(Family.STATEMENTS)
    is_blind = now.window.feeds_standbys and not now.replicas
    return Review(
        at=at,
        found=review.reviewed(facts, at),
        notes=(guard.NO_REPLICAS,) if is_blind else (),
        lacks=() if missing is None else (missing,),
    )


def _promised(kept: Kept, whose: Whose) -> _Promised | None:
    target_id = targets.find(kept, whose)
    return None if target_id is None else _Promised(target_id, suggestions.kept(kept, target_id))


def _primary(kept: Kept, whose: Whose) -> list[int]:
    """A standby's indexes are made on its primary."""
    if whose.system_identifier is None:
        return []
    found = targets.find(kept, Whose(whose.system_identifier, whose.dbname, whose.system_identifier))
    return [] if found is None else [found]


def _tables(rows: Sequence[suggestions.Kept]) -> Mapping[str, object]:
    names = sorted({(row.promise.schema, row.promise.table) for row in rows})
    return {"schemas": [schema for schema, _ in names], "names": [name for _, name in names]}


def _leave(session: Session, source: Reader, taken: Collected, seen: Sequence[int], at: datetime) -> None:
    """For the next review: this reading, and that these indexes were there."""
    aside = Aside(session.settings.store.value, UNKEPT)
    readings.leave(aside, source, taken)
    aside.attempt(lambda kept: suggestions.seen(kept, seen, at), reading=False)


# What is proposed, as a spec


def _write(session: Session, found: Review, out: Path | None, update: Path | None) -> None:
    entries = review.proposals(found.found, found.at)
    note = session.output.note
    if not entries:
        note(
            f"nothing to drop: {out} is not written" if update is None else f"nothing to drop: {update} stays as it is"
        )
        return
    if out is not None:
        domain = review_spec.domain_of(found.found)
        suggested_files.replace(out, review_spec.new_file(entries, domain))
        note(f"wrote {out}: {len(entries)} to drop")
    else:
        assert update is not None
        domain = _update(session, update, entries)
    foreign = " --prune-foreign" if review_spec.is_foreign(found.found, domain) else ""
    note(f"next: dbopt plan {shlex.quote(str(out or update))}{foreign}")


def _update(session: Session, path: Path, entries: Sequence[review_spec.Entry]) -> str:
    """The domain of the file."""
    from dbopt.spec.files import read_text
    from dbopt.spec.load import load

    [spec] = load([path]).files
    text = read_text(path)
    done = review_spec.updated(spec, text, entries)
    if done is None:
        raise Error(f"could not add to {path}: its form is too artful", hint="-o FILE writes the entries to copy.")
    if done.text != text:
        has_bom = path.read_bytes().startswith(_BOM.encode())
        suggested_files.replace(path, (_BOM if has_bom else "") + done.text)
    words = [f"{done.changed} made absent"] if done.changed else []
    words += [f"{done.added} appended"] if done.added else []
    session.output.note(f"{path}: {', '.join(words) or 'up to date'}")
    for entry in done.undone:
        session.messages.warn(f"{path}: the entry {entry['name']} has to be made absent by hand: {entry['why']}")
    return spec.domain
