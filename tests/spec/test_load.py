"""Files to values, and everything that can be wrong with a file."""

from __future__ import annotations

import json
import os
import socket
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from dbopt.errors import SpecError
from dbopt.spec import files
from dbopt.spec.codes import CODES
from dbopt.spec.lint import lint
from dbopt.spec.load import load, load_collecting
from dbopt.spec.model import Extras, IndexSpec, State, Unique
from dbopt.spec.shape import known_keys
from dbopt.spec.yaml_tree import split_lines
from tests.spec.values import ALL_FIELDS, HEAD, collect, entry


def one(folder: Path, body: str):
    specs, findings = collect(folder, entry(body))
    assert findings == []
    (index,) = specs.indexes
    return index


def errors(folder: Path, text: str) -> list[tuple[str, int | None, int | None]]:
    return [(finding.code, finding.line, finding.column) for finding in collect(folder, text)[1]]


# ---- values


def test_every_field(tmp_path):
    (tmp_path / "billing.yaml").write_text(ALL_FIELDS)
    specs = load([tmp_path])
    (file,) = specs.files
    assert (file.spec, file.domain, file.path) == (1, "billing", tmp_path / "billing.yaml")
    assert file.defaults.extras is Extras.REPORT
    assert file.budget is not None
    assert (file.budget.total, file.budget.per_table_indexes) == (60 * 1024**3, 10)
    by_name = {index.name: index for index in specs.indexes}
    assert next(iter(by_name)) == "invoices_open_by_customer"  # priority 1

    invoices = by_name["invoices_open_by_customer"]
    assert (invoices.domain, invoices.owner) == ("billing", "team-customers")
    assert (invoices.schema_name, invoices.table.name) == ("app", "invoices")
    assert [(key.column, key.order, key.nulls) for key in invoices.keys] == [
        ("customer_id", None, None),
        ("due_at", "desc", "last"),
    ]
    assert invoices.include == ("amount_cents",)
    assert invoices.where == "status IN ('open', 'overdue')"
    assert invoices.with_ == {"fillfactor": "70", "deduplicate_items": "off"}
    assert invoices.expires == date(2199, 12, 31)
    assert invoices.budget is not None
    assert (invoices.budget.size, invoices.budget.build) == (4 * 1024**3, 2700.0)
    (serve,) = invoices.serves
    assert serve.query.startswith("SELECT")
    assert serve.expect is not None
    assert (serve.expect.uses, serve.expect.no_sort) == (True, True)

    users = by_name["users_email_ci"]
    assert (users.owner, users.schema_name) == ("team-billing", "crm")
    assert (users.is_unique, users.nulls_not_distinct, users.was) == (True, True, ("idx_users_lower_email",))
    assert (users.keys[0].expr, users.keys[0].collation) == ("lower(email)", "C")

    docs = by_name["docs_body_trgm"]
    assert (docs.schema_name, docs.needs.extension) == ("library", ("pg_trgm",))
    assert docs.keys[0].opclass_options == {"siglen": "32"}
    assert (docs.build.maintenance_work_mem, docs.build.parallel_workers) == (2 * 1024**3, 4)

    assert by_name["orders_tenant_status"].table.schema_is_pattern
    assert by_name["orders_tenant_status"].table.except_ == ("tenant_demo",)
    assert by_name["orders_legacy_note"].state is State.ABSENT
    assert by_name["orders_legacy_note"].guard is not None
    assert by_name["orders_legacy_note"].guard.unused_for == 60 * 86400
    assert by_name["places_geom"].sql is not None
    assert by_name["events_by_account"].partitions is not None


def test_texts_that_yaml_would_take_for_something_else(tmp_path):
    index = one(tmp_path, "keys: [no, 1e3, 2026-01-31, on, ~, null]\nwith: {fillfactor: '70', fastupdate: no}")
    assert [key.column for key in index.keys] == ["no", "1e3", "2026-01-31", "on", "~", "null"]
    assert index.with_ == {"fillfactor": "70", "fastupdate": "off"}


@pytest.mark.parametrize("word", ["yes", "Yes", "YES", "y", "on", "ON", "true", "True"])
def test_yes(tmp_path, word):
    index = one(tmp_path, f"keys: a\nunique: {word}\nwith: {{deduplicate_items: {word}, buffering: {word}}}")
    assert index.unique is True
    assert index.with_ == {"deduplicate_items": "on", "buffering": word}


@pytest.mark.parametrize("word", ["no", "No", "n", "off", "OFF", "false", "False"])
def test_no(tmp_path, word):
    index = one(tmp_path, f"keys: a\nunique: {word}\nwith: {{fastupdate: {word}, fillfactor: {word}}}")
    assert index.unique is False
    assert index.with_ == {"fastupdate": "off", "fillfactor": word}


def test_silence_means_the_default(tmp_path):
    index = one(tmp_path, "keys: a\nwhy:\nunique: ~\nwhere: null\nwith:\nserves:\nneeds:\n")
    assert (index.why, index.unique, index.where, index.with_, index.serves) == (None, False, None, {}, ())
    assert (index.schema_name, index.method, index.priority, index.owner) == ("public", "btree", 100, None)


def test_a_quoted_null_is_a_text(tmp_path):
    assert one(tmp_path, "keys: a\nwhere: 'null'\nwhy: '~'").why == "~"


def test_schema_from_table_entry_or_defaults(tmp_path):
    text = HEAD + (
        "defaults: {schema: d}\nindexes:\n"
        "  - {name: a, table: t, keys: x}\n"
        "  - {name: b, table: t, schema: s, keys: x}\n"
        "  - {name: c, table: {schema: u, name: t}, keys: x}\n"
        "  - {name: e, table: {schema: u, name: t}, schema: u, keys: x}\n"
        "  - {name: f, table: {name: t}, schema: s, keys: x}\n"
    )
    specs, findings = collect(tmp_path, text)
    assert findings == []
    assert [index.schema_name for index in specs.files[0].indexes] == ["d", "s", "u", "u", "s"]


def test_places_of_fields(tmp_path):
    index = one(tmp_path, "keys:\n  - a\n  - expr: lower(b)\nwhere: |\n  x\nwith: {fillfactor: 70}")
    assert (index.source.file, index.source.line, index.source.column) == (str(tmp_path / "test.yaml"), 4, 5)
    places = {path: index.source.place_of(path) for path in ("name", "keys.0", "keys.1.expr", "keys.1.order", "where")}
    assert places == {
        "name": (4, 11),
        "keys.0": (7, 9),
        "keys.1.expr": (8, 15),
        "keys.1.order": (8, 9),
        "where": (9, 12),
    }
    assert index.source.line_of("with.fillfactor") == 11
    assert index.source.line_of("nothing") == 4
    assert index.source.text_of(8) == "      - expr: lower(b)"


def test_order_is_by_priority_then_name_never_by_file(tmp_path):
    (tmp_path / "b.yaml").write_text("spec: 1\ndomain: x\nindexes:\n- {name: z, table: t, keys: a}\n")
    (tmp_path / "a.yml").write_text(
        "spec: 1\ndomain: y\nindexes:\n- {name: q, table: t, keys: a}\n- {name: zz, table: t, keys: a, priority: 1}\n"
    )
    (tmp_path / ".#a.yaml").symlink_to("nobody@nowhere")  # as an editor locks a file
    (tmp_path / "notes.txt").write_text("not a spec")
    specs = load([tmp_path, tmp_path / "b.yaml"])
    assert [file.domain for file in specs.files] == ["x", "y"]
    assert [index.name for index in specs.indexes] == ["zz", "q", "z"]


@pytest.mark.parametrize("body", ["", "indexes:\n", "indexes: []\n", "indexes: ~\n"])
def test_a_file_without_indexes(tmp_path, body):
    specs, findings = collect(tmp_path, HEAD + body)
    assert findings == []
    assert specs.indexes == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1),
    st.sampled_from(["json", "safe_dump", "flow", "wide"]),
)
@example('a"b', "json")
@example("it's\n\n\ttwo\r\nlines", "safe_dump")
@example("🐘 \u2028 \x85 \ufeff \x1b[31m", "json")
@example("null", "safe_dump")
@example("<<", "json")
@example("{leaf}", "flow")
def test_any_name_comes_through_as_it_is(tmp_path, name, style):
    document = {
        "spec": 1,
        "domain": "d",
        "indexes": [
            {"name": name, "table": {"schema": name, "name": name}, "keys": [name], "include": [name], "was": name}
        ],
    }
    if style == "json":
        text = json.dumps(document)
        # JSON writes characters beyond the first plane as two halves, which YAML does not know.
        text = json.dumps(document, ensure_ascii=False) if any(ord(c) > 0xFFFF for c in name) else text
        if any(not c.isprintable() and ord(c) > 0x1F for c in name):
            return
    else:
        text = yaml.safe_dump(document, allow_unicode=style == "wide", default_flow_style=style == "flow")
        assume(yaml.safe_load(text) == document)  # PyYAML's writer loses some line breaks of Unicode
    specs, findings = collect(tmp_path, text)
    assert findings == []
    (index,) = specs.indexes
    assert (index.name, index.table.name, index.schema_name) == (name, name, name)
    assert (index.keys[0].column, index.include, index.was) == (name, (name,), (name,))


# ---- what is wrong


@pytest.mark.parametrize(
    ("body", "code", "line", "column", "message", "hint"),
    [
        ("keys: a\nuniqe: yes", "unknown-key", 7, 5, 'unknown key "uniqe"', "Did you mean unique?"),
        ("keys: a\nwith_: {}", "unknown-key", 7, 5, 'unknown key "with_"', "Did you mean with?"),
        ("keys: a\ndomain: x", "unknown-key", 7, 5, 'unknown key "domain"', "Known here:"),
        ("keys: a\nsource: x", "unknown-key", 7, 5, 'unknown key "source"', ""),
        ("keys: [{column: a, ordr: desc}]", "unknown-key", 6, 24, '"ordr" in `keys.0`', "mean order?"),
        ("keys: [{column: a, order: DESC}]", "invalid-value", 6, 31, 'or desc, found "DESC"', "desc?"),
        ("keys: a\nstate: absnt", "invalid-value", 7, 12, "expected present or absent", "Did you mean absent?"),
        ("keys: [{column: a, expr: b}]", "invalid-value", 6, 12, "either `column` or `expr`", ""),
        ("keys: [{order: desc}]", "invalid-value", 6, 12, "either `column` or `expr`", ""),
        ("keys: [{column: a, opclass_options: {x: 1}}]", "invalid-value", 6, 12, "needs an `opclass`", ""),
        ("keys: ['']", "invalid-value", 6, 12, "must not be empty", ""),
        ("keys: [[a]]", "invalid-value", 6, 12, "expected the name of a column or a mapping, found a list", ""),
        ("keys: a\ninclude: [[a]]", "invalid-value", 7, 15, "expected text, found a list", ""),
        ("keys: a\nwhere: [a]", "invalid-value", 7, 5, "expected text, found a list", ""),
        ("keys: a\nunique: maybe", "invalid-value", 7, 13, "expected yes or no, found maybe", ""),
        ("keys: a\nunique: {nulls: never}", "invalid-value", 7, 21, "expected distinct or not_distinct", ""),
        ("keys: a\npriority: high", "invalid-value", 7, 15, "expected a whole number", ""),
        (f"keys: a\npriority: {'9' * 5000}", "invalid-value", 7, 15, "expected a", ""),
        ("keys: a\nexpires: soon", "invalid-value", 7, 14, "expected a date such as", ""),
        ("keys: a\nbudget: {size: 4 elephants}", "invalid-value", 7, 20, "expected an amount of bytes", ""),
        (f"keys: a\nbudget: {{size: {'9' * 400}GB}}", "invalid-value", 7, 20, "expected an amount of bytes", ""),
        ("keys: a\nbudget: {size: 0}", "invalid-value", 7, 20, "expected more than 0", ""),
        ("keys: a\nbudget: {build: 5}", "invalid-value", 7, 21, "expected a duration", ""),
        ("keys: a\nbuild: {parallel_workers: 2000}", "invalid-value", 7, 31, "expected at most 1024", ""),
        ("keys: a\nbuild: 4GB", "invalid-value", 7, 12, "expected a mapping, found", ""),
        ("keys: a\nserves: [x]", "invalid-value", 7, 14, "expected a mapping, found", ""),
        ("keys: a\nserves: {query: x}", "invalid-value", 7, 5, "expected a list, found a mapping", ""),
        ("keys: a\nserves: [{expect: {uses: yes}}]", "missing-key", 7, 14, "`serves.0.query` is missing", ""),
        ("keys: a\nwith: {fillfactor: }", "invalid-value", 7, 12, "`with.fillfactor` has no value", ""),
        ("keys: a\nwith: {fillfactor: [1]}", "invalid-value", 7, 12, "expected text, found a list", ""),
        ("keys: a\nwith: off", "invalid-value", 7, 11, "expected a mapping", ""),
    ],
)  # fmt: skip
def test_errors_of_an_entry(tmp_path, body, code, line, column, message, hint):
    _, (finding,) = collect(tmp_path, entry(body))
    assert (finding.code, finding.line, finding.column, finding.index) == (code, line, column, "i")
    assert message in finding.message
    assert hint in (finding.hint or "")
    assert finding.file == str(tmp_path / "test.yaml")
    text = entry(body).splitlines()[line - 1]
    assert finding.source == (text if len(text) < 2000 else None)
    assert len(finding.message) < 300
    for word in ("pydantic", "http", "Input", "str_type", "instance", "tuple"):
        assert word not in finding.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("invalid-value", 1, 1)]),
        ("# nothing\n", [("invalid-value", 1, 1)]),
        ("just text", [("invalid-value", 1, 1)]),
        ("- a\n- b\n", [("invalid-value", 1, 1)]),
        ("domain: d\n", [("missing-key", 1, 1)]),
        ("spec: 1\n", [("missing-key", 1, 1)]),
        ("spec: 2\ndomain: d\n", [("invalid-value", 1, 7)]),
        ("spec: 1.0\ndomain: d\n", [("invalid-value", 1, 7)]),
        ("spec: 1\ndomain: Big Domain\n", [("invalid-value", 2, 9)]),
        ("spec: 1\ndomain: d\npath: x\n", [("unknown-key", 3, 1)]),
        ("spec: 1\ndomain: d\ndefaults: {schema_: x}\n", [("unknown-key", 3, 12)]),
        ("spec: 1\ndomain: d\ndefaults: {extras: drop}\n", [("invalid-value", 3, 20)]),
        ("spec: 1\ndomain: d\nindexes: {a: b}\n", [("invalid-value", 3, 10)]),
        ("spec: 1\ndomain: d\nindexes: a\n", [("invalid-value", 3, 10)]),
        ("spec: 1\ndomain: d\nindexes: [a, [b]]\n", [("invalid-value", 3, 11), ("invalid-value", 3, 14)]),
        ("spec: 1\ndomain: d\nindexes:\n- {}\n", [("missing-key", 4, 3), ("missing-key", 4, 3)]),
        ("spec: 1\ndomain: d\nindexes:\n- {name: a, table: {schema: s}, keys: a}\n", [("missing-key", 4, 13)]),
        (HEAD + "indexes:\n- {name: a, table: {schema: s, name: t}, schema: u, keys: a}\n", [("invalid-value", 4, 50)]),
    ],
)  # fmt: skip
def test_errors_of_a_file(tmp_path, text, expected):
    assert errors(tmp_path, text) == expected


def test_every_problem_of_every_file_at_once(tmp_path):
    (tmp_path / "a.yaml").write_text("spec: 1\ndomain: a\nindexes:\n- {name: x}\n- {tabel: t, name: y}\n- 7\n")
    (tmp_path / "b.yaml").write_text("spec: 1\ndomain: b\nindexes:\n- {name: good, table: t, keys: a}\n- a: [\n")
    (tmp_path / "c.yaml").write_text("spec: 1\ndomain: c\nindexes:\n- {name: good, table: t, keys: a}\n- {name: bad}\n")
    with pytest.raises(SpecError) as caught:
        load([tmp_path])
    assert caught.value.message == "6 problems in 3 spec files"
    assert [(Path(str(f.file)).name, f.line, f.code) for f in caught.value.findings] == [
        ("a.yaml", 4, "missing-key"),
        ("a.yaml", 5, "missing-key"),
        ("a.yaml", 5, "unknown-key"),
        ("a.yaml", 6, "invalid-value"),
        ("b.yaml", 5, "yaml-syntax"),
        ("c.yaml", 5, "missing-key"),
    ]
    specs, findings = load_collecting([tmp_path])
    assert len(findings) == 6
    assert [index.name for index in specs.indexes] == ["good"]


def test_one_domain_one_file(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("spec: 1\ndomain: same\n")
    _, (finding,) = load_collecting([tmp_path])
    assert (finding.code, finding.line, finding.column) == ("duplicate-domain", 2, 9)
    assert finding.file == str(tmp_path / "b.yaml")
    assert str(tmp_path / "a.yaml") in finding.message


def test_a_foreign_value_stays_on_one_line_of_the_message(tmp_path):
    _, (finding,) = collect(tmp_path, entry('keys: a\nunique: "a\\nb\\e[31m' + "x" * 10_000 + '"'))
    assert "\n" not in finding.message
    assert "\x1b" not in finding.message
    assert len(finding.message) < 300


def test_a_line_that_would_fill_the_screen_is_not_shown(tmp_path):
    _, (finding,) = collect(tmp_path, entry(f"keys: a\nuniqe: {'x' * 100_000}"))
    assert finding.source is None
    assert (finding.line, finding.column) == (7, 5)


_PIECES = st.sampled_from(
    [*"[]{}:'\"\\%\t\n~5", ", ", "- ", "&a ", "*a ", "!x ", "|\n", "  ", "<<: ", "[[x]]", "{a: b}", "no", ""]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(ALL_FIELDS)), st.integers(0, 12), _PIECES), min_size=1, max_size=4))
def test_a_damaged_file_brings_findings_never_an_exception(tmp_path, damages):
    text = ALL_FIELDS
    for start, length, piece in damages:
        text = text[:start] + piece + text[start + length :]
    specs, findings = collect(tmp_path, text)
    for finding in [*findings, *lint(specs)]:
        assert finding.code in CODES
        assert "\n" not in finding.message
        assert finding.line is None or 1 <= finding.line <= len(split_lines(text))


@pytest.mark.parametrize("value", ["[[x]]", "{a: {b: c}}", "", "''", "x", "'{leaf}'", "-1", "[{}]"])
def test_any_key_with_any_value_brings_findings_never_an_exception(tmp_path, value):
    for key in known_keys(IndexSpec):
        for body in (f"{key}: {value}", f"keys: a\n{key}: {value}", f"{key}:\n  {key}: {value}"):
            specs, _ = collect(tmp_path, entry(body))
            lint(specs)
        for inner in ("name", "schema", "column", "expr", "fastupdate", "size", "extension", "nulls", "unused_for"):
            specs, _ = collect(tmp_path, entry(f"{key}: {{{inner}: {value}}}"))
            lint(specs)


# ---- files


def codes(*paths: Path) -> list[str]:
    return [finding.code for finding in load_collecting(paths)[1]]


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("the file was opened"))
    assert codes(path) == ["file-too-large"]


def test_the_largest_file_is_read(tmp_path):
    path = tmp_path / "large.yaml"
    head = b"spec: 1\ndomain: d\n#"
    path.write_bytes(head + b"x" * (files.SIZE_MAX_BYTES - len(head)))
    assert codes(path) == []
    path.write_bytes(path.read_bytes() + b"x")
    assert codes(path) == ["file-too-large"]


def test_what_is_no_file(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "device.yml").symlink_to("/dev/zero")
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.yaml"))
        _, findings = load_collecting([tmp_path])
    assert [Path(str(finding.file)).name for finding in findings] == [
        "dangling.yaml", "device.yml", "fifo.yaml", "folder.yaml", "loop.yaml", "s.yaml",
    ]  # fmt: skip
    assert {finding.code for finding in findings} == {"unreadable-file"}
    assert "not a regular file" in findings[1].message
    assert "no such file" in findings[0].message


def test_missing_and_empty(tmp_path):
    assert codes(tmp_path / "nothing.yaml") == ["unreadable-file"]
    assert codes(tmp_path / "nothing") == ["unreadable-file"]
    assert codes(tmp_path) == ["no-spec-files"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_right_to_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(HEAD)
    path.chmod(0)
    _, (finding,) = load_collecting([path])
    assert finding.code == "unreadable-file"
    assert "permission denied" in finding.message


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"spec: 1\ndomain: d\nowner: \xff\n", (3, 8)),
        (b"spec: 1\nowner: \xc3\xa4\xc3\n", (2, 9)),
        ("spec: 1\n".encode("utf-16"), (1, 1)),
        (b"spec: 1\nowner: a\0b\n", (2, 9)),
        (b"spec: 1\nowner: a\x1b[31m\n", (2, 9)),
    ],
)
def test_not_utf_8(tmp_path, content, place):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    _, (finding,) = load_collecting([path])
    assert finding.code == "bad-encoding"
    assert (finding.line, finding.column) == place


def test_a_byte_order_mark_and_dos_line_ends(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + entry("keys: a\nwhy: b").replace("\n", "\r\n").encode())
    (index,) = load([path]).indexes
    assert index.source.place_of("why") == (7, 10)
    assert index.source.text_of(7) == "    why: b"


def test_unique_is_a_mapping_or_a_word(tmp_path):
    assert one(tmp_path, "keys: a\nunique: {}").unique == Unique()
    assert one(tmp_path, "keys: a\nunique: {nulls: distinct}").nulls_not_distinct is False
