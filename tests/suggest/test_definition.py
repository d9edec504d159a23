"""Candidates as CREATE INDEX."""

from __future__ import annotations

import pytest

from dbopt.errors import SpecError
from dbopt.suggest.cost.definition import create_index
from dbopt.suggest.model import Candidate, Key
from suggest.asking import candidate


def text(made: Candidate) -> str:
    return create_index(made, made.relation).as_string().removeprefix('CREATE INDEX "dbopt_suggested" ON ')


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (candidate("t", "a"), '"public"."t" USING "btree" ("a")'),
        (
            candidate('a.Odd "one', "Col", Key(expression="lower(b)", opclass="text_pattern_ops"), include="c d"),
            '"a"."Odd ""one" USING "btree" ("Col", (lower(b)) "text_pattern_ops") INCLUDE ("c", "d")',
        ),
        (
            candidate(
                "t",
                Key("a", descending=True, nulls_first=True),
                Key("b", descending=True),
                Key("c", nulls_first=True),
                where="d IS NULL",
            ),
            '"public"."t" USING "btree" ("a" DESC, "b" DESC NULLS LAST, "c" NULLS FIRST) WHERE d IS NULL',
        ),
        (
            candidate("t", Key("a", opclass="ext.gin_trgm_ops"), method="gin"),
            '"public"."t" USING "gin" ("a" "ext"."gin_trgm_ops")',
        ),
        (
            Candidate(("public", "t"), (Key("a"),), method="brin", parameters=(("pages_per_range", "32"),)),
            '"public"."t" USING "brin" ("a") WITH ("pages_per_range" = 32)',
        ),
    ],
)
def test_a_candidate_is_written_as_a_spec_would_be(made: Candidate, expected: str) -> None:
    assert text(made) == expected


@pytest.mark.parametrize("evil", ["a); DROP TABLE t; --", "a) WHERE (true", "(SELECT 1), 2"])
def test_what_is_no_expression_goes_nowhere(evil: str) -> None:
    with pytest.raises(SpecError):
        text(candidate("t", Key(expression=evil)))
    with pytest.raises(SpecError):
        text(candidate("t", "a", where=evil))
