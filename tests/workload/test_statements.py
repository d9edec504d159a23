"""From counters to ranked statements, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dbopt.snapshot.model import Change, Interval, Part, Subject
from dbopt.workload.model import Counters, Kind, Statement, Traits
from dbopt.workload.statements import (
    COSTLY_SHARE,
    FREQUENT_SHARE,
    Filter,
    Sort,
    Textless,
    chosen,
    compared,
    entries,
    fits_table,
    grouped,
    totals,
    with_text,
)
from dbopt.workload.window import reset_span, since_reset

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
COUNTS = ("calls", "total_exec_time_ms", "sum_squares_ms2", "rows")
SLOW_MS = 500.0


def interval(*changes: Change, seconds: float = 100.0) -> Interval:
    return Interval(
        family="statements",
        from_at=NOON - timedelta(seconds=seconds),
        to_at=NOON,
        seconds=seconds,
        counts=COUNTS,
        changes={change.key: change for change in changes},
    )


def change(key: str, calls: float, total_ms: float, rows: float | None = 0.0, lost: float = 0.0) -> Change:
    squares = total_ms**2 / calls if calls else 0.0
    return Change(key, key.split("/", 1)[0], (calls, total_ms, squares, rows), (), lost)


def traits(fingerprint: str, *relations: str, kind: Kind = Kind.SELECT) -> Traits:
    return Traits(fingerprint, kind, relations)


def statement(fingerprint: str = "a", *, calls: float = 10, mean_ms: float = 1000, **rest: object) -> Statement:
    values = {"queryids": (1,), "kind": Kind.SELECT, "share": 0.5, "seconds": 100.0, **rest}
    return Statement(
        fingerprint=fingerprint,
        counters=Counters(calls=calls, total_exec_time_ms=calls * mean_ms),
        **values,  # type: ignore[arg-type]
    )


def test_users_and_ids_of_one_fingerprint_are_one_statement() -> None:
    window = interval(change("11/1/1", 2, 20), change("11/2/1", 3, 90), change("12/1/1", 5, 40))
    [found] = grouped(
        entries(window),
        {11: traits("f"), 12: traits("f")},
        {1: "app", 2: "batch"},
        whole=totals(entries(window)),
    )
    assert found.queryids == (11, 12)
    assert found.users == ("batch", "app")
    assert found.userids == (2, 1)
    assert found.counters.calls == 10
    assert found.counters.mean_exec_time_ms == 15
    assert found.share == 1
    assert found.calls_share == 1
    assert found.calls_per_second == 0.1


def test_what_is_not_known_stands_alone_and_is_counted() -> None:
    window = interval(change("11/1/1", 2, 20_000), change("12/1/1", 3, 90_000))
    every = grouped(entries(window), {}, {}, whole=Counters(total_exec_time_ms=110_000))
    assert [item.fingerprint for item in every] == [None, None]
    assert every[0].users == ("role 1",)
    shown, others = chosen(every, Filter(slow_ms=SLOW_MS), Sort.TOTAL, None, Textless(gone={11, 12}))
    assert [item.queryids for item in shown] == [(12,), (11,)]
    assert (others.textless, others.textless_time_ms) == (2, 110_000)


def test_what_costs_less_than_to_find_out_what_it_is_is_only_counted() -> None:
    every = grouped(entries(interval(change("11/1/1", 1, 600))), {}, {}, whole=Counters(total_exec_time_ms=600))
    shown, others = chosen(every, Filter(slow_ms=SLOW_MS), Sort.TOTAL, None, Textless(unread={11}))
    assert (shown, others.unread, others.unread_time_ms) == ([], 1, 600)


def test_statements_within_functions_are_shown_and_not_summed_twice() -> None:
    window = interval(change("11/1/1", 1, 1000), change("12/1/0", 1, 900))
    found = entries(window)
    assert totals(found).total_exec_time_ms == 1000
    shares = {item.queryids: item.share for item in grouped(found, {}, {}, whole=Counters(total_exec_time_ms=1000))}
    assert shares == {(11,): 1, (12,): 0.9}


def test_what_an_old_extension_does_not_count_is_not_zero() -> None:
    [entry] = entries(interval(change("11/1/1", 2, 20, rows=None)))
    assert entry.counters.rows is None
    assert entry.counters.wal_bytes is None
    assert entry.counters.rows_per_call is None
    assert (entry.counters + Counters(rows=5)).rows == 5


def test_time_that_nobody_watched_is_not_in_the_rate() -> None:
    [item] = grouped(
        entries(interval(change("11/1/1", 50, 20, lost=50))), {}, {}, whole=Counters(total_exec_time_ms=20)
    )
    assert item.calls_per_second == 1.0


def test_deviation_comes_from_the_squares() -> None:
    assert Counters(calls=2, total_exec_time_ms=40, sum_squares_ms2=1000).stddev_exec_time_ms == 10
    assert Counters(calls=2, total_exec_time_ms=40, sum_squares_ms2=799).stddev_exec_time_ms == 0


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (statement(mean_ms=SLOW_MS), None),
        (statement(mean_ms=SLOW_MS - 1, share=COSTLY_SHARE), None),  # quick, and yet it costs
        (statement(mean_ms=SLOW_MS - 1, share=COSTLY_SHARE / 2), "quick"),
        (statement(mean_ms=1, share=0.0, calls_share=FREQUENT_SHARE), None),  # each a round trip
        (statement(calls=1), "quick"),
        (statement(kind=Kind.UTILITY), "utility"),
        (statement(kind=Kind.OWN), "own"),
    ],
)
def test_what_is_left_out_by_itself(item: Statement, why: str | None) -> None:
    shown, others = chosen([item], Filter(slow_ms=SLOW_MS, min_calls=2), Sort.TOTAL, None)
    assert len(shown) == (why is None)
    if why is not None:
        assert getattr(others, why) == 1
    else:
        assert (others.quick, others.utility, others.own) == (0, 0, 0)


def test_a_least_mean_is_taken_at_its_word() -> None:
    quick = statement(mean_ms=9, share=0.9)
    assert chosen([quick], Filter(slow_ms=SLOW_MS, min_mean_ms=10), Sort.TOTAL, None)[1].quick == 1
    assert chosen([quick], Filter(slow_ms=SLOW_MS, min_mean_ms=9), Sort.TOTAL, None)[0] == [quick]


def test_what_is_ranked_by_calls_need_not_be_slow() -> None:
    trifle = statement(mean_ms=0.01, share=0.0)
    assert chosen([trifle], Filter(slow_ms=SLOW_MS), Sort.CALLS, None)[0] == [trifle]


def test_utility_and_own_statements_are_shown_to_who_asks() -> None:
    both = [statement(kind=Kind.UTILITY), statement(kind=Kind.OWN)]
    shown, _ = chosen(both, Filter(slow_ms=SLOW_MS, utility=True, own=True), Sort.TOTAL, None)
    assert len(shown) == 2


@pytest.mark.parametrize("sort", [sort for sort in Sort if sort is not Sort.CHANGE])
def test_each_order_puts_the_most_first(sort: Sort) -> None:
    def made(amount: float, queryid: int) -> Statement:
        counters = Counters(
            calls=amount if sort is Sort.CALLS else 10,
            total_exec_time_ms=amount * 1000,
            sum_squares_ms2=(amount * 1000) ** 2 / 10 + amount * 100,
            rows=amount,
            blk_read_time_ms=amount,
            shared_blks_read=amount,
            temp_blks_written=amount,
            wal_bytes=amount,
            total_plan_time_ms=amount,
        )
        return Statement(fingerprint=str(queryid), queryids=(queryid,), kind=Kind.SELECT, counters=counters, share=0.5)

    shown, others = chosen([made(1, 1), made(3, 3), made(2, 2)], Filter(slow_ms=0), sort, 2)
    assert [item.queryid for item in shown] == [3, 2]
    assert others.more == 1


def test_what_was_not_counted_has_no_place_in_the_order() -> None:
    shown, others = chosen([statement()], Filter(slow_ms=0), Sort.WAL, None)
    assert shown == []
    assert others.filtered == 1


def test_users_and_tables_are_chosen_by_patterns() -> None:
    item = statement(users=("app_web", "batch"), relations=("shop.orders", '"Odd.name"'))
    for wanted in (
        Filter(slow_ms=0, users=("app_*",)),
        Filter(slow_ms=0, tables=("orders",)),
        Filter(slow_ms=0, tables=("SHOP.Ord*",)),
        Filter(slow_ms=0, tables=('"Odd.name"',)),
        Filter(slow_ms=0, tables=('any."Odd.name"',)),
    ):
        assert chosen([item], wanted, Sort.TOTAL, None)[0] == [item], wanted
    for wanted in (
        Filter(slow_ms=0, users=("app",)),
        Filter(slow_ms=0, tables=("other.orders",)),
        Filter(slow_ms=0, tables=("order",)),
    ):
        shown, others = chosen([item], wanted, Sort.TOTAL, None)
        assert (shown, others.filtered) == ([], 1), wanted


def test_a_bracket_in_a_name_is_a_bracket() -> None:
    assert fits_table('"a[1]"', ('"a[1]"',))
    assert not fits_table("a1", ('"a[1]"',))


def test_compared_tells_slower_from_more_frequent() -> None:
    now = [statement("f", calls=200, mean_ms=30), statement("new", queryids=(9,))]
    before = [statement("f", calls=50, mean_ms=10, seconds=50.0)]
    both, new = compared(now, before, 50.0)
    assert both.slower == pytest.approx(3)
    assert both.more_frequent == pytest.approx(2)
    assert new.before == Counters()
    assert new.slower is None
    ranked, _ = chosen([both, new], Filter(slow_ms=0), Sort.CHANGE, None)
    assert [item.fingerprint for item in ranked] == ["new", "f"]  # 100 ms a second from nothing; 60 from 10


def test_one_without_a_text_is_compared_by_its_id() -> None:
    old = Statement(fingerprint=None, queryids=(5,), counters=Counters(calls=1, total_exec_time_ms=7), seconds=10.0)
    [found] = compared([old], [old], 10.0)
    assert found.before == old.counters


def test_a_text_is_that_of_the_costliest_id_that_has_one() -> None:
    assert with_text(statement(queryids=(1, 2)), {2: "SELECT 2", 1: "SELECT 1"}, {}).query == "SELECT 1"
    assert with_text(statement(queryids=(1, 2)), {2: "SELECT 2"}, {}).query == "SELECT 2"
    assert with_text(statement(), {}, {}).query is None


def test_one_that_nobody_has_taken_apart_is_what_its_text_says() -> None:
    alone = Statement(fingerprint=None, queryids=(1,), counters=Counters())
    told = with_text(alone, {1: "SELECT 1"}, {1: traits("f", "t")})
    assert (told.fingerprint, told.kind, told.relations) == ("f", Kind.SELECT, ("t",))


def part(*, own: bool, since: datetime | None) -> Part:
    subjects = {
        "1/10/1": Subject("1/10/1", "1", (4.0, 8.0, 16.0, 1.0), since=NOON - timedelta(hours=1)),
        "2/10/1": Subject("2/10/1", "2", (4.0, 8.0, 16.0, 1.0), since=since),
    }
    return Part(
        family="statements",
        taken_at=NOON,
        lineage="a",
        counts=COUNTS,
        subjects=subjects,
        has_own_since=own,
        since=since,
    )


def test_counters_as_they_stand_count_from_their_own_beginning() -> None:
    began = NOON - timedelta(hours=10)
    rates = [
        item.calls_per_second
        for item in grouped(
            entries(since_reset(part(own=True, since=began))), {}, {}, whole=Counters(total_exec_time_ms=16)
        )
    ]
    assert rates == [pytest.approx(4 / 3600), pytest.approx(4 / 36_000)]
    assert reset_span(part(own=True, since=began)).seconds == 36_000


def test_before_1_9_nobody_knows_since_when() -> None:
    [one, _] = grouped(entries(since_reset(part(own=False, since=None))), {}, {}, whole=Counters(total_exec_time_ms=16))
    assert one.calls_per_second is None
    assert reset_span(part(own=False, since=None)).from_at is None
