"""Files that come with dbopt but are no Python modules: where they lie in an installation and in a checkout.

`indexes/` and `alembic/` are folders of the top level; the wheel has them under `dbopt/data/` (see pyproject.toml).
What belongs to one module (the sample schemas, the editor schema) lies beside that module in both.
"""

from __future__ import annotations

from pathlib import Path

from dbopt.errors import Error


def indexes() -> Path:
    """The folder of the sample applications' specs."""
    return _folder("indexes")


def migrations() -> Path:
    """Alembic's script location for the store."""
    return _folder("alembic")


def _folder(name: str) -> Path:
    package = Path(__file__).resolve().parent
    installed = package / "data" / name
    if installed.is_dir():
        return installed
    # Without the proof that this is our checkout, `alembic` beside an installed package would be the library.
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    raise Error(f"this installation of dbopt lacks its {name} files", hint="pip install --force-reinstall dbopt")
