"""The wheel as a user installs it: complete, and running outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import dbopt

CHECKOUT = Path(__file__).resolve().parent.parent

# Told by the installed package itself: where it lies and what it finds.
QUESTIONS = """
import dbopt
from importlib.resources import files
from dbopt import resources
print(dbopt.__file__)
print(sorted(path.name for path in resources.indexes().glob("*.yaml")))
print((resources.migrations() / "env.py").is_file() and any((resources.migrations() / "versions").glob("*.py")))
print(files("dbopt").joinpath("spec/index-spec.v1.json").is_file())
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that succeeds, without our own environment's Python settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "-qq", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, CHECKOUT, cwd=folder)
    [built] = folder.glob("dbopt-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that has the wheel, and borrows the dependencies from ours."""
    place = tmp_path_factory.mktemp("installed") / "an environment"  # with a space in its name
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=place.parent)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    run(*pip, "install", "-qq", "--no-deps", "--no-index", wheel, cwd=place)
    [site] = place.glob("lib/python*/site-packages")
    # Behind the wheel's own folder, and only as a folder: the .pth of our editable install is not read there.
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python.parent


def test_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "dbopt", "--version", cwd=tmp_path) == f"dbopt {dbopt.__version__}\n"
    where, indexes, migrations, schema = run(installed / "python", "-c", QUESTIONS, cwd=tmp_path).splitlines()
    assert Path(where).is_relative_to(installed.parent)
    assert indexes == str(sorted(path.name for path in (CHECKOUT / "indexes").glob("*.yaml")))
    assert migrations == "True"
    assert schema == "True"


def test_holds_what_is_no_module(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"dbopt/py.typed", f"dbopt-{dbopt.__version__}.dist-info/licenses/LICENSE"} <= names
    templates = CHECKOUT / "dbopt" / "render" / "html" / "templates"
    assert {f"dbopt/render/html/templates/{path.name}" for path in templates.iterdir()} <= names
    strays = {name for name in names if not name.startswith(("dbopt/", f"dbopt-{dbopt.__version__}.dist-info/"))}
    assert strays == set()
    assert not [name for name in names if "__pycache__" in name]
