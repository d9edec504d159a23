"""What `dbopt init` writes: a configuration, a first spec and the schema that editors check specs by."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from dbopt.errors import Error, UsageError
from dbopt.spec import schema

CONFIG = """\
# Settings of dbopt for this project; `dbopt --show-config` shows each with its origin.
# Flags and DBOPT_* variables come before this file.

specs: indexes/                      # where the index specs are

# targets:                           # databases by name: dbopt plan -t main
#   main: {dsn: service=app_primary}
#   reports: {dsn: "postgresql://dbopt@replica:5432/app", replicas_of: main}

# optimize: {wait: 5m}               # how long each step may wait for other sessions
"""

SPEC = """\
# yaml-language-server: $schema=./index-spec.v1.json
# The indexes that the database should have, and why. `dbopt lint` checks this file, `dbopt plan` shows what it would
# change, `dbopt optimize` changes it, without blocking writes. `dbopt export` writes such a file from a database.
spec: 1
domain: example                      # one name a file
# owner: team-example                # whom to ask
defaults: {schema: public, extras: report}

indexes:
#  - name: invoices_open_by_customer
#    table: invoices
#    keys:
#      - customer_id                 # a plain text is always the name of a column
#      - {column: due_at, order: desc, nulls: last}
#    where: status IN ('open', 'overdue')
#    why: The customer page lists open invoices, newest due first
#    serves:
#      - query: >-
#          SELECT * FROM invoices WHERE customer_id = $1 AND status IN ('open', 'overdue')
#          ORDER BY due_at DESC NULLS LAST
#
#  - name: users_email_ci
#    table: users
#    keys: [{expr: lower(email)}]
#    unique: yes
#    why: Login is case-insensitive, and an address has one account
"""


def init(folder: Path) -> list[Path]:
    """Writes the starter files into a folder, which is made if need be, and returns their paths.

    Nothing that exists is overwritten, and what was written is taken back if the rest cannot be. Raises UsageError and
    Error.
    """
    contents = {
        folder / "dbopt.yaml": CONFIG,
        folder / "indexes" / "example.yaml": SPEC,
        folder / "indexes" / schema.FILE_NAME: schema.PATH.read_text(encoding="utf-8"),
    }
    for path in contents:
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} exists already", hint="Move it away, or run dbopt init in another folder.")
    with contextlib.ExitStack() as undo:
        for path, content in contents.items():
            try:
                _make_folders(path.parent, undo)
                with path.open("x", encoding="utf-8") as file:
                    undo.callback(path.unlink, missing_ok=True)
                    file.write(content)
            except FileExistsError as exc:  # made between our look and now: not ours to take back
                raise UsageError(f"{exc.filename} exists already") from exc
            except OSError as exc:
                raise Error(f"could not write {path}: {(exc.strerror or str(exc)).lower()}") from exc
        undo.pop_all()
    return list(contents)


def _make_folders(folder: Path, undo: contextlib.ExitStack) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        undo.callback(os.rmdir, path)
