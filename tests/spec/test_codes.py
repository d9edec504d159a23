"""The registry of finding codes against the modules that emit them, and against the page made from it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from dbopt.optimize import (
    absent,
    budget,
    check,
    partition_tree,
    partitions,
    plan,
    present,
    refusals,
    serves,
    tenants,
)
from dbopt.spec import codes
from dbopt.spec.finding import Severity
from spec.test_lint import CASES

DOCS = Path(__file__).parents[2] / "docs"
ONLINE = (absent, budget, check, partition_tree, partitions, plan, present, refusals, serves, tenants)
# The functions that make a finding, and which of their arguments is the code.
MAKERS = {"finding": 2, "error": 1}
# A finding whose code is a variable: where its values come from.
NAMED = {"code": set(refusals._CODES.values()) | {"invalid-definition", "duplicate-of-unique", "duplicate-of-existing"}}
CONSTANTS = {"NOT_USED": serves.NOT_USED, "SORTS": serves.SORTS}


def emitted() -> dict[str, set[Severity]]:
    """The codes in the calls that make findings, each with its severities."""
    found: dict[str, set[Severity]] = defaultdict(set)
    for module in ONLINE:
        assert module.__file__ is not None
        for call in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                continue
            named = {keyword.arg: keyword.value for keyword in call.keywords}
            if call.func.id == "Finding" and "code" in named:
                code, severity = named["code"], named["severity"]
            elif call.func.id in MAKERS:
                code = call.args[MAKERS[call.func.id]]
                severity = call.args[1] if call.func.id == "finding" else ast.parse("Severity.ERROR", mode="eval").body
            else:
                continue
            if isinstance(severity, ast.Attribute):  # else it is the inside of such a function itself
                for name in _codes(code):
                    found[name].add(Severity[severity.attr])
    return found


def _codes(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Constant):
        return {node.value}
    assert isinstance(node, ast.Name), ast.unparse(node)
    return {CONSTANTS[node.id]} if node.id in CONSTANTS else NAMED[node.id]


def test_every_code_of_the_online_findings_is_registered_and_none_is_dead() -> None:
    found = emitted()
    # What both can say stands with lint.
    assert found.keys() - codes.LINT.keys() == codes.ONLINE.keys()


def test_no_other_module_of_optimize_makes_findings() -> None:
    folder = Path(check.__file__).parent
    makers = {
        path.stem
        for path in folder.glob("*.py")
        if re.search(r"\b(?:finding|error|Finding)\(\n? *(?:entry|severity)", path.read_text(encoding="utf-8"))
    }
    assert makers == {module.__name__.rpartition(".")[2] for module in ONLINE}


@pytest.mark.parametrize("code", codes.ONLINE)
def test_severity_of_an_online_code(code: str) -> None:
    severities = emitted()[code]
    if code in NAMED["code"]:  # said in two places, by a variable in one of them
        severities -= {Severity.ERROR} if code.startswith("duplicate") else {Severity.WARNING}
    assert set(codes.severities(code)) == severities


@pytest.mark.parametrize("code", codes.LINT)
def test_severity_of_a_lint_code(code: str) -> None:
    """As test_lint.py has it from lint itself; a code without a case there is always an error."""
    seen = {Severity(case.severity) for case in CASES if case.code == code}
    expected = set(codes.severities(code))
    assert (seen or {Severity.ERROR}) == expected


def test_the_loader_says_errors_only() -> None:
    assert {severity for code in codes.LOADER for severity in codes.severities(code)} == {Severity.ERROR}


def test_a_code_that_does_not_exist() -> None:
    with pytest.raises(KeyError):
        codes.severities("no-such-code")


def test_the_three_lists_share_no_code() -> None:
    assert len(codes.CODES) == len(codes.LOADER) + len(codes.LINT) + len(codes.ONLINE)
    assert set(codes._MILDER) <= codes.CODES.keys()


def test_the_page_is_fresh() -> None:
    """`python -m dbopt.spec.codes` writes it anew."""
    assert (DOCS / "findings.md").read_text(encoding="utf-8") == codes.page()
