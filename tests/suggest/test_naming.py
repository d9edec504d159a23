"""What suggested indexes are called."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbopt.suggest.model import Candidate, Key
from dbopt.suggest.naming import name

T = ("public", "orders")


def named(*keys: Key | str, taken: tuple[str, ...] = (), **more: object) -> str:
    made = tuple(Key(key) if isinstance(key, str) else key for key in keys)
    return name(Candidate(T, made, **more), taken)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "more", "expected"),
    [
        (("customer_id", "created_at"), {}, "orders_customer_id_created_at_idx"),
        ((Key("created_at", descending=True, nulls_first=True),), {}, "orders_created_at_idx"),
        ((Key(expression="lower((email)::text)"),), {}, "orders_lower_email_idx"),
        ((Key(expression="(data ->> 'kind'::text)"), "id"), {}, "orders_data_kind_id_idx"),
        ((Key(expression="date_trunc('day'::text, at)"),), {}, "orders_date_trunc_day_at_idx"),
        ((Key(expression="COALESCE(a, b)"),), {}, "orders_coalesce_a_b_idx"),
        ((Key(expression="1 +"),), {}, "orders_1_idx"),
        ((Key("note", opclass="text_pattern_ops"),), {}, "orders_note_pattern_idx"),
        ((Key("note", opclass='"my ext"."gin_trgm_ops"'),), {"method": "gin"}, "orders_note_trgm_idx"),
        (("tags",), {"method": "gin"}, "orders_tags_gin_idx"),
        (("at",), {"method": "brin"}, "orders_at_brin_idx"),
        (("createdAt",), {}, "orders_createdAt_idx"),
        (("line\nbreak\x1b",), {}, "orders_line_break__idx"),
    ],
)
def test_as_postgresql_would_with_a_word_for_what_is_unusual(
    keys: tuple[Key | str, ...], more: dict[str, object], expected: str
) -> None:
    assert named(*keys, **more) == expected  # type: ignore[arg-type]


def test_what_tells_it_from_another_comes_before_a_number() -> None:
    taken: list[str] = []
    for _ in range(4):
        taken.append(named("a", taken=tuple(taken), where="b IS NULL", include=("c",)))
    assert taken == ["orders_a_idx", "orders_a_partial_idx", "orders_a_covering_idx", "orders_a_idx1"]
    assert named("a", taken=("orders_a_idx",)) == "orders_a_idx1"
    assert named("a", taken=("orders_a_gin_idx",), method="gin") == "orders_a_gin_idx1"


@given(
    st.lists(st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()), min_size=1, max_size=4),
    st.integers(0, 12),
)
def test_at_most_63_bytes_and_never_a_name_that_is_taken(columns: list[str], number: int) -> None:
    candidate = Candidate(("s", columns[0]), tuple(map(Key, columns)))
    taken: set[str] = set()
    for _ in range(number):
        made = name(candidate, taken)
        assert made not in taken
        assert len(made.encode()) <= 63
        assert made.encode().decode() == made
        taken.add(made)


def test_characters_are_not_cut_in_two() -> None:
    assert named("ü" * 40).startswith("orders_üü")
    assert named("ü" * 40).endswith("ü_idx")
    assert named("x" * 44 + "_" * 19) == "orders_" + "x" * 44 + "_idx"


def test_no_hash_seed_matters() -> None:
    code = (
        "from dbopt.suggest.model import *; from dbopt.suggest.naming import name;"
        "print(name(Candidate(('s','t'),(Key('a'),Key(expression='lower(b)'))),{'t_a_lower_b_idx','x','y'}))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {"t_a_lower_b_idx1\n"}
