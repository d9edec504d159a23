"""Alembic's folder of revisions: where it is, and which revision comes last."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from dbopt.errors import UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from alembic.script import ScriptDirectory

_SLUG_CHARACTERS = 40  # Alembic's own default (truncate_slug_length)


@dataclass(frozen=True, slots=True)
class Revisions:
    folder: Path
    heads: tuple[str, ...]

    @property
    def head(self) -> str | None:
        """The last one; None where there is none yet. Raises UsageError for several."""
        if len(self.heads) > 1:
            raise UsageError(
                f"{self.folder} has several heads",
                detail=", ".join(sorted(self.heads)),
                hint="Name the one that this revision follows: --down-revision REV.",
            )
        return self.heads[0] if self.heads else None


def file_name(revision: str, message: str) -> str:
    """As Alembic would call it."""
    slug = "_".join(re.findall(r"\w+", message)).lower()
    if len(slug) > _SLUG_CHARACTERS:
        slug = slug[:_SLUG_CHARACTERS].rpartition("_")[0] or slug[:_SLUG_CHARACTERS]
    return f"{revision}_{slug}.py"


def new_id() -> str:
    """As Alembic makes them."""
    return uuid.uuid4().hex[-12:]


def read(path: Path) -> Revisions:
    """Of an alembic.ini, or of a folder: that of the revisions, or the one that holds it. Raises UsageError."""
    from alembic.util import CommandError

    try:
        scripts = _scripts(path)
        return Revisions(_folder(scripts), tuple(scripts.get_heads()))
    except CommandError as exc:
        raise UsageError(
            f"{path} is no place of Alembic's",
            detail=str(exc),
            hint="Name its alembic.ini, or the folder of revisions.",
        ) from exc
    except UsageError:
        raise
    except Exception as exc:  # to find the head, Alembic imports the revisions: anybody's code
        raise UsageError(
            f"could not read the revisions of {path}",
            detail=f"{type(exc).__name__}: {exc}",
            hint="See what alembic heads says.",
        ) from exc


def _scripts(path: Path) -> ScriptDirectory:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if path.is_file():
        return ScriptDirectory.from_config(Config(str(path)))
    if not path.is_dir():
        raise UsageError(f"there is no {path}", hint="Name an alembic.ini, or the folder of revisions.")
    versions = path / "versions" if (path / "env.py").is_file() else path
    return ScriptDirectory(str(versions.parent), version_locations=[str(versions)])


def _folder(scripts: ScriptDirectory) -> Path:
    from pathlib import Path

    return Path(scripts.versions)
