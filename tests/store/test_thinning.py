"""Old intervals are added up, and their sums stay what they were."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dbopt.snapshot.delta import total
from dbopt.snapshot.model import Family
from dbopt.store import plain, thinning
from dbopt.store.location import locate

from .test_snapshots import NIGHT, keep, kept, look, reading

FROM_THE_HOUR = -30 - 0.123456 / 60  # NIGHT is half past twelve and a bit


def spans(url: str) -> list[int]:
    return look(
        url, lambda session, _: [row[0] for row in session.rows("SELECT span FROM intervals ORDER BY to_at, id", {})]
    )


def readings(*minutes: float):
    """Each minute counts one."""
    return [reading(FROM_THE_HOUR + minute, float(minute)) for minute in minutes]


def test_after_two_days_those_of_an_hour_are_one(url):
    keep(url, *readings(*range(0, 181, 20)))
    assert spans(url) == [0] * 9
    keep(url, *readings(2 * 24 * 60 + 120))  # the end of the second hour is two days ago
    assert spans(url) == [3600, 3600, 0, 0, 0, 0]
    assert [(item.count("1", "n"), item.seconds) for item in kept(url)[:3]] == [
        (60.0, 3600.0),
        (60.0, 3600.0),
        (20.0, 1200.0),
    ]


def test_after_two_months_those_of_a_day_are_one(url):
    day = 24 * 60
    keep(url, *readings(*range(0, 3 * day + 1, 360)), *readings(70 * day))
    assert spans(url) == [86_400, 86_400, 86_400, 0]
    whole = total(kept(url))
    assert whole is not None
    assert (whole.count("1", "n"), whole.seconds) == (70.0 * day, 70 * 86_400.0)
    assert (whole.from_at, whole.to_at) == (readings(0)[0].taken_at, readings(70 * day)[0].taken_at)


def test_an_hour_across_a_mark_is_not_added_up(url):
    keep(url, *readings(0, 20, 40, 60))
    with plain.transaction(locate(url), reading=False, wait_seconds=1) as session:
        session.run(
            "INSERT INTO marks (target_id, target_name, marked_at, kind, scope, os_user, role)"
            " VALUES (1, 'main', :at, 'baseline', '', '', '')",
            [{"at": session.moment(readings(20)[0].taken_at)}],
        )
    keep(url, *readings(3 * 24 * 60))
    assert [item.count("1", "n") for item in kept(url)] == [20.0, 40.0, 3 * 24 * 60 - 60.0]


@pytest.mark.parametrize("rows_max", [3, 5])
def test_what_is_too_much_for_once_is_done_the_next_time(sqlite_url, monkeypatch, rows_max):
    """However it is cut, nothing is lost, and in the end all of it is done."""
    monkeypatch.setattr(thinning, "_ROWS_MAX", rows_max)
    keep(sqlite_url, *readings(*range(0, 241, 12)))
    later = 3 * 24 * 60
    for number in range(15):
        keep(sqlite_url, *readings(later + 5 * number))
        whole = total(kept(sqlite_url))
        assert whole is not None
        assert (whole.count("1", "n"), whole.seconds) == (later + 5.0 * number, 60 * (later + 5.0 * number))
    assert [span for span in spans(sqlite_url) if span][:4] == [3600] * 4
    assert 0 not in spans(sqlite_url)[: spans(sqlite_url).count(3600)]


def test_families_and_targets_are_thinned_by_themselves(url):
    keep(url, *readings(0, 20, 40), *(reading(minute, 0.0, family=Family.IO) for minute in (0, 20, 40)))
    keep(url, *readings(3 * 24 * 60))
    assert len(kept(url)) == 2
    assert len(kept(url, Family.IO)) == 2


def test_levels_keep_their_mean_and_their_greatest(url):
    levels = [2.0, 9.0, 4.0, 5.0]
    keep(
        url,
        *(reading(FROM_THE_HOUR + 20 * at, 0.0, levels={"connections": value}) for at, value in enumerate(levels)),
        reading(3 * 24 * 60, 0.0),
    )
    level = kept(url)[0].levels["connections"]
    assert (level.mean, level.greatest, level.samples) == (6.0, 9.0, 3)


def test_the_hours_of_a_night_on_which_clocks_jump_are_those_of_utc(url):
    assert NIGHT.utcoffset() == timedelta(0)
    keep(url, *readings(0, 30, 60, 90, 120), *readings(3 * 24 * 60))
    assert [item.seconds for item in kept(url)[:2]] == [3600.0, 3600.0]
