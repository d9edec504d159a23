"""The documentation does what it says: its specs load, its commands run as written and print what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pages
import psycopg
import pytest
import yaml
from helpers import invalid_indexes, open_transaction

from dbopt import config
from dbopt.cli import reference
from dbopt.cli.frame import COMMANDS
from dbopt.config.environment import GUIDE, OURS
from dbopt.config.file import read
from dbopt.postgres.connect import describe
from dbopt.spec import model
from dbopt.spec.finding import Severity
from dbopt.spec.lint import lint
from dbopt.spec.load import load_collecting

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli_runner import Result
    from server import Database

EACH_PAGE = pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
SPEC_HEAD = "spec: 1\ndomain: example\nindexes:\n"
SHOWN_DATABASE, SHOWN_PLACE = "shop", "db1:5432/shop"  # what the pages call the database that they work on


def yaml_blocks() -> list[Any]:
    return [
        pytest.param(block, id=f"{page.name}:{block.line}")
        for page in pages.PAGES
        for block in pages.blocks(page)
        if block.language == "yaml"
    ]


def is_spec(content: object) -> bool:
    return isinstance(content, list) or (isinstance(content, dict) and "spec" in content)


def whole_spec(text: str) -> str:
    """A block that is a list shows entries of a spec."""
    return text if isinstance(yaml.safe_load(text), dict) else SPEC_HEAD + text


@pytest.mark.parametrize("block", yaml_blocks())
def test_yaml(block: pages.Block, tmp_path: Path) -> None:
    """Specs load without an error or warning; configurations are read; the rest is somebody else's CI file."""
    content = yaml.safe_load(block.text)
    path = tmp_path / "file.yaml"
    path.write_text(whole_spec(block.text) if is_spec(content) else block.text, encoding="utf-8")
    if is_spec(content):
        specs, findings = load_collecting([path])
        findings += lint(specs)
        bad = [(found.line, found.code, found.message) for found in findings if found.severity is not Severity.INFO]
        assert bad == []
        assert specs.indexes
    elif "jobs" not in content:
        read(path, dict.fromkeys(re.findall(r"\$\{(\w+)\}", block.text), "x"))


@EACH_PAGE
def test_commands_run_as_written(
    page: Path,
    database: Database,
    run_cli: Callable[..., Result],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From top to bottom in one folder and one database, as a reader would; Python in one session."""
    env = {"DATABASE_URL": database.conninfo}
    monkeypatch.setenv("DATABASE_URL", database.conninfo)
    monkeypatch.syspath_prepend(tmp_path)
    python = pages.Python()
    request.addfinalizer(python.close)
    for part in pages.parts(page):
        if isinstance(part, pages.Sql):
            database.sql(part.text)
            continue
        if part.file is not None:
            path = tmp_path / part.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(part.text, encoding="utf-8")
        elif part.language == "python" and part.why_not is None:
            printed = [normal(line) for line in named(python.run(part), database)]
            assert printed == [normal(line) for line in part.printed], f"{page.name}:{part.line}"
        for call in pages.calls(part) if part.why_not is None else ():
            has_table = call.words[0] != "export"  # it writes YAML, whoever reads it
            table = ["--format", "table"] if call.shown and has_table and "--format" not in call.words else []
            result = run_cli(*call.words, *table, env=env | call.env)
            where = f"{page.name}:{call.line}: dbopt {' '.join(call.words)}"
            assert result.code == call.code, f"{where}\n{result.out}\n{result.err}"
            assert_shown(call.shown, result, database, where)


def assert_shown(shown: list[str], result: Result, database: Database, where: str) -> None:
    """Each line that the page shows was printed, in order on its stream; `...` stands for lines cut out."""
    streams = [[normal(line) for line in named(text.splitlines(), database)] for text in (result.out, result.err)]
    for line in filter(None, map(normal, shown)):
        if line == "...":
            continue
        stream = next((stream for stream in streams if line in stream), None)
        if stream is None:
            pytest.fail(f"{where} does not print:\n{line}\nbut:\n{result.out}\n{result.err}")
        del stream[: stream.index(line) + 1]


def named(lines: list[str], database: Database) -> list[str]:
    """With the names of the pages for the database and its place."""
    place = describe(database.conninfo)
    return [line.replace(place, SHOWN_PLACE).replace(database.name, SHOWN_DATABASE) for line in lines]


def normal(line: str) -> str:
    """Times, sizes and versions are another each time, and with them the width of columns."""
    line = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?", "WHEN", line)
    line = re.sub(r"\d+(\.\d+)? (ms|s|min|h)\b( \d+ (s|min))?", "TIME", line)
    line = re.sub(r"\b\d+(\.\d+)?(kB|MB|GB|B)\b", "SIZE", line)
    line = re.sub(r"PostgreSQL \d+\.\d+", "PostgreSQL N", line)
    line = re.sub(r"\bapp\.py:\d+", "app.py:LINE", line)
    return " ".join(re.sub(r"─+", "─", line).split())


def test_commands_left_out_are_few_and_have_a_reason() -> None:
    left_out = [block.why_not for page in pages.PAGES for block in pages.blocks(page) if block.why_not is not None]
    assert all(len(why) > 10 for why in left_out)
    assert len(left_out) <= 8


def mentioned() -> list[tuple[str, list[str]]]:
    """(page, words) of every `dbopt ...` in a block or a code span, commands that are not run included."""
    found = []
    for page in pages.PAGES:
        for block in pages.blocks(page):
            found += [(page.name, call.words) for call in pages.calls(block)]
        found += [(page.name, span.split()[1:]) for span in pages.code_spans(page) if span.startswith("dbopt ")]
    return found


def options(name: str) -> set[str]:
    """The options that a command has, as they are typed."""
    [page] = [page for page in reference.pages() if page.name == name]
    terms = [term for title, entries in page.sections.items() if title != "Arguments" for term, _ in entries]
    return {word for term in terms for word in re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", term)}


def test_no_command_or_option_is_mentioned_that_does_not_exist() -> None:
    known = {"": options("dbopt")} | {name: options(f"dbopt {name}") for name in COMMANDS}
    wrong = []
    for page, words in mentioned():
        command = next((word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)), "")
        if command not in known:
            wrong.append((page, command))
            continue
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
        wrong += [(page, f"{command} {option}") for option in given - known[command] - known[""]]
    assert wrong == []


def written() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in pages.PAGES)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(command: str) -> None:
    text = written()
    assert f"`dbopt {command}" in text
    missing = {option for option in options(f"dbopt {command}") if option.startswith("--") and f"{option}" not in text}
    assert missing == set()


def test_every_key_of_a_spec_is_documented() -> None:
    page = pages.ROOT / "docs" / "spec.md"
    words = set(re.findall(r"\w+", " ".join([*pages.code_spans(page), *(block.text for block in pages.blocks(page))])))
    models = (model.SpecFile, model.Defaults, model.IndexSpec, model.TableRef, model.Key, model.Serve, model.Expect)
    models = (*models, model.Build, model.Needs, model.Partitions, model.Guard, model.IndexBudget, model.SpecBudget)
    keys = {field.alias or name for one in models for name, field in one.model_fields.items()} - {"source", "path"}
    assert keys - words == set()


def test_every_variable_is_documented() -> None:
    text = (pages.ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert {name for name in (*OURS, *GUIDE) if f"`{name}`" not in text} == set()


def test_every_default_is_as_the_pages_say() -> None:
    text = (pages.ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    settings = config.read(config.Flags(), {}, Path("/")).settings()
    assert f"| `optimize.wait` | `{settings.wait_seconds.value / 60:g}m` |" in text


def test_messages_of_the_night_are_dbopts_own() -> None:
    """The first column of docs/applying.md, At 3 a.m.: what people will search for has to be what is printed."""
    text = (pages.ROOT / "docs" / "applying.md").read_text(encoding="utf-8").partition("## At 3 a.m.")[2]
    source = "\n".join(path.read_text(encoding="utf-8") for path in (pages.ROOT / "dbopt").rglob("*.py"))
    rows = [row for row in re.findall(r"^\| `([^`]+)`", text, re.M) if "SQLSTATE" not in row]  # the server's words
    assert len(rows) >= 12
    for row in rows:
        words = max(re.split(r"\.\.\.|NAME|shop|\d+|[();:\[\]]", row), key=len).strip()
        assert words in source, row


@EACH_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    for link in pages.links(page):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in pages.anchors(target), link


@EACH_PAGE
def test_tests_named_as_proof_exist(page: Path) -> None:
    """`tests/x/test_y.py::test_z` in a code span."""
    for span in pages.code_spans(page):
        if match := re.fullmatch(r"(tests/[\w/]+\.py)(?:::(\w+))?", span):
            path = pages.ROOT / match[1]
            assert path.is_file(), span
            assert match[2] is None or f"def {match[2]}(" in path.read_text(encoding="utf-8"), span


def test_the_readme_has_the_commands_of_ci() -> None:
    readme = (pages.ROOT / "README.md").read_text(encoding="utf-8")
    steps = re.findall(r"^step (make (?:test|demo))\b", (pages.ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.M)
    assert {"make test", "make demo"} == set(steps)
    assert all(f"\n{step}" in readme for step in steps)
    assert readme.count("\n") <= 220


def test_a_lock_timeout_leaves_an_index_that_if_not_exists_takes_for_success(database: Database) -> None:
    """What docs/comparison.md says of PostgreSQL itself; dbopt is not in this test."""
    database.sql("CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 100)")
    with open_transaction(database, "UPDATE t SET x = x"), database.connect(autocommit=True) as conn:
        conn.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            conn.execute("CREATE INDEX CONCURRENTLY t_x ON t (x)")
    database.sql("CREATE INDEX CONCURRENTLY IF NOT EXISTS t_x ON t (x)")
    assert invalid_indexes(database) == ["t_x"]
