"""Spec files to values. Every problem of every file is found in one go, each with its place and the line itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from dbopt.errors import SpecError
from dbopt.spec import methods
from dbopt.spec.complaints import complaint, path_of
from dbopt.spec.files import Unreadable, read_text, spec_paths
from dbopt.spec.finding import Finding, Severity
from dbopt.spec.model import Defaults, IndexSpec, Source, SpecFile, SpecSet, State
from dbopt.spec.shape import Shaped, shape
from dbopt.spec.words import quoted
from dbopt.spec.yaml_tree import Mapping, Node, Problem, Scalar, parse, split_lines
from dbopt.spec.yaml_tree import Sequence as SequenceNode

M = TypeVar("M", SpecFile, IndexSpec)


def load(paths: Sequence[Path]) -> SpecSet:
    """The specs in files and folders. Raises SpecError with every problem found; lint may still have more to say."""
    specs, findings = load_collecting(paths)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        files = len({finding.file for finding in errors})
        problems = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        raise SpecError(f"{problems} in {'1 spec file' if files == 1 else f'{files} spec files'}", findings=errors)
    return specs


def load_collecting(paths: Sequence[Path]) -> tuple[SpecSet, list[Finding]]:
    """What can be used of files and folders, and all that cannot: a broken entry leaves the others standing."""
    found, findings = spec_paths(paths)
    files: list[SpecFile] = []
    for path in found:
        try:
            text = read_text(path)
        except Unreadable as exc:
            findings.append(exc.finding)
            continue
        reader = _Reader(path, text)
        if (file := reader.read()) is not None:
            files.append(file)
            findings += reader.duplicate_domain(files)
        findings += sorted(reader.findings, key=lambda finding: (finding.line or 0, finding.column or 0))
    return SpecSet(files=tuple(sorted(files, key=lambda file: (file.domain, file.path)))), findings


class _Reader:
    """Reads one file. `findings` grows on the way."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self._source = Source(str(path), 1, text=tuple(split_lines(text)))
        self._text = text
        self._domain_place = (1, 1)

    def read(self) -> SpecFile | None:
        tree = parse(self._text)
        for problem in tree.problems:
            self._say(problem)
        root = tree.root
        if isinstance(root, Mapping):
            return self._file(root)
        if not any(finding.severity is Severity.ERROR for finding in self.findings):
            empty = root is None or (isinstance(root, Scalar) and root.is_absent)
            message = "the file is empty" if empty else "expected a mapping with `spec`, `domain` and `indexes`"
            self._say(Problem("invalid-value", message, 1, 1, "dbopt init writes a first spec."))
        return None

    def duplicate_domain(self, files: Sequence[SpecFile]) -> Iterator[Finding]:
        """Whether the last of the files uses the domain of one before: marks on indexes would not tell them apart."""
        *others, last = files
        for other in others:
            if other.domain == last.domain:
                message = f"the domain {last.domain} is that of {other.path} too"
                hint = "Give each file a domain of its own."
                yield self._finding(Problem("duplicate-domain", message, *self._domain_place, hint))

    def _file(self, root: Mapping) -> SpecFile | None:
        _, indexes = root.entries.pop("indexes", (None, None))
        head = shape(root, SpecFile)
        self._domain_place = head.lines.get("domain", 1), head.columns.get("domain", 1)
        file = self._validated(SpecFile, head, (root.line, root.column), None)
        # Without a usable head the entries are still looked at: every problem in one go.
        defaults = file.defaults if file is not None else Defaults()
        entries = tuple(self._entries(indexes, defaults, file)) if indexes is not None else ()
        source = self._place(head, root)
        return file.model_copy(update={"indexes": entries, "path": self.path, "source": source}) if file else None

    def _entries(self, indexes: Node, defaults: Defaults, file: SpecFile | None) -> Iterator[IndexSpec]:
        if isinstance(indexes, Scalar) and indexes.is_absent:
            return
        if not isinstance(indexes, SequenceNode):
            self._say(Problem("invalid-value", "`indexes`: expected a list", indexes.line, indexes.column))
            return
        for node in indexes.items:
            if not isinstance(node, Mapping):
                message = "an index is a mapping with `name`, `table` and `keys`"
                self._say(Problem("invalid-value", message, node.line, node.column))
            elif (entry := self._entry(node, defaults, file)) is not None:
                yield entry

    def _entry(self, node: Mapping, defaults: Defaults, file: SpecFile | None) -> IndexSpec | None:
        shaped = shape(node, IndexSpec)
        data: dict[str, Any] = shaped.data
        _move_schema(data, defaults.schema_, shaped)
        if isinstance(data.get("with"), dict):
            data["with"] = methods.normalised(data["with"])  # what is no text there, pydantic refuses
        if file is not None:
            data.setdefault("owner", file.owner)
            if defaults.guard is not None and data.get("state") == State.ABSENT:
                data.setdefault("guard", defaults.guard)
            data["domain"] = file.domain
        data["source"] = self._place(shaped, node)
        name = data.get("name")
        return self._validated(IndexSpec, shaped, (node.line, node.column), name if isinstance(name, str) else None)

    def _validated(self, model: type[M], shaped: Shaped, place: tuple[int, int], index: str | None) -> M | None:
        for problem in shaped.problems:
            self._say(problem, index)
        try:
            return model.model_validate(shaped.data)
        except ValidationError as exc:
            around = Source("", *place, lines=shaped.lines, columns=shaped.columns)
            for error in exc.errors(include_url=False):
                code, message, hint = complaint(error)
                self._say(Problem(code, message, *around.place_of(path_of(error)), hint), index)
            return None

    def _place(self, shaped: Shaped, node: Mapping) -> Source:
        lines, columns = shaped.lines, shaped.columns
        return replace(self._source, line=node.line, column=node.column, lines=lines, columns=columns)

    def _say(self, problem: Problem, index: str | None = None) -> None:
        self.findings.append(self._finding(problem, index))

    def _finding(self, problem: Problem, index: str | None = None) -> Finding:
        return Finding(
            severity=Severity.ERROR,
            code=problem.code,
            message=problem.message,
            index=index,
            hint=problem.hint,
            file=str(self.path),
            line=problem.line,
            column=problem.column,
            source=self._source.text_of(problem.line),
        )


def _move_schema(data: dict[str, Any], default: str, shaped: Shaped) -> None:
    """The schema of an entry's table: given with the table, else with the entry, else the file's default."""
    given = data.pop("schema", None)
    table = data.get("table")
    if isinstance(table, str):
        table = data["table"] = {"name": table}
    if not isinstance(table, dict):
        return
    if given is not None and table.get("schema", given) != given:
        message = f"`schema` and `table.schema` differ: {quoted(str(given))} and {quoted(str(table['schema']))}"
        place = shaped.lines["schema"], shaped.columns["schema"]
        shaped.problems.append(Problem("invalid-value", message, *place, "Leave one of them out."))
    if given is not None and "schema" not in table:
        shaped.lines["table.schema"], shaped.columns["table.schema"] = shaped.lines["schema"], shaped.columns["schema"]
    table.setdefault("schema", given if given is not None else default)
