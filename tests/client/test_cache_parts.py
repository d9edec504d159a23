"""The parts of the cache that need no server: values as text, copies, keys, what a statement does, waiting in line."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import ipaddress
import json
import string
import sys
import threading
import tracemalloc
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from dogpile.cache.api import NO_VALUE, CachedValue
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.multirange import Multirange as DriverMultirange
from psycopg.types.range import Range as DriverRange
from sqlalchemy.dialects.postgresql.ranges import MultiRange, Range
from sqlalchemy.util import greenlet_spawn

from client.models import Customer, Order, Status, customer
from dbopt.client.cache import Cached, codec, messages
from dbopt.client.cache.copies import kept
from dbopt.client.cache.effects import ADDED, ANY, Effect, Touch, effect
from dbopt.client.cache.keys import Keys
from dbopt.client.cache.memory import ENTRY_BYTES, MemoryBackend, MemoryStore
from dbopt.client.cache.mutex import Mutex
from dbopt.client.cache.store import Uncacheable
from dbopt.errors import UsageError


class Colour(Enum):
    RED = 1


ZONES = st.sampled_from([None, dt.UTC, dt.timezone(dt.timedelta(hours=-3, minutes=-30)), ZoneInfo("Europe/Lisbon")])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
    st.datetimes(timezones=ZONES),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.ip_addresses(),
    st.sampled_from([*Status, *Colour]),
    st.builds(Range, st.integers(0, 5), st.integers(5, 9), bounds=st.sampled_from(["[)", "()", "[]"])),
    st.builds(DriverRange, st.dates(), st.none()),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.dates()), inner, max_size=4),
    ),
    max_leaves=12,
)
OTHERS = [
    float("inf"),
    Decimal("sNaN"),
    {1, 2},
    frozenset(("a",)),
    MultiRange([Range(1, 2), Range(empty=True)]),
    DriverMultirange([DriverRange(1, 2)]),
    ipaddress.ip_interface("192.0.2.1/24"),
    ipaddress.ip_network("2001:db8::/32"),
    dt.datetime(2026, 10, 25, 1, 30, tzinfo=ZoneInfo("Europe/Lisbon"), fold=1),
    dt.time(1, 2, tzinfo=dt.UTC),
    "\ud800",
]


def same(one: Any, other: Any) -> bool:
    """With the types of all parts."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, dt.datetime):
        return (one, one.utcoffset(), str(one.tzinfo), one.fold) == (
            other,
            other.utcoffset(),
            str(other.tzinfo),
            other.fold,
        )
    return repr(one) == repr(other)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert same(codec.loads(codec.dumps(value)), value)
    own, copy, size = kept(value)
    assert same(own, value)
    assert size >= sys.getsizeof(value)
    assert same(own if copy is None else copy(own), value)


@pytest.mark.parametrize("value", OTHERS, ids=repr)
def test_so_does_what_is_rare(value: Any) -> None:
    assert same(codec.loads(codec.dumps(value)), value) or codec.loads(codec.dumps(value)) == value
    own, copy, _ = kept(value)
    assert repr(own if copy is None else copy(own)) == repr(value)


class Local(dt.tzinfo):
    pass


class Row(tuple[Any, ...]):
    """As Rows and named tuples, which are more than their values."""


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [object(), [Row((1,))], {"a": bytearray(b"x")}, nested(100_000)],
    ids=["object", "row", "bytearray", "deep"],
)
def test_what_is_not_known_is_not_kept(value: Any) -> None:
    with pytest.raises(codec.Unknown):
        codec.dumps(value)
    with pytest.raises(codec.Unknown):
        kept(value)
    with pytest.raises(codec.Unknown):
        codec.dumps(dt.datetime(2026, 1, 1, tzinfo=Local()))
    with pytest.raises(codec.Unknown):
        codec.dumps(10**5000)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '["x",1]', '["e","os:system","x"]', '["dt","x"]', '["dt","2026-01-01",0,"../../etc/passwd"]',
     '["n","x"]', '["ip","str","x"]', '["b","!"]', '["l",{"a":1}]', "[" * 100_000, '["d",1]'],
)  # fmt: skip
def test_what_somebody_else_has_written_makes_nothing(text: str) -> None:
    with pytest.raises(codec.Damaged):
        codec.loads(text)


def test_nobody_changes_what_the_next_one_gets() -> None:
    value = (("id", "tags"), [(1, ["a"]), (2, {"k": [1]})], [(3,)])
    own, copy, _ = kept(value)
    value[1].append((9, []))
    value[1][0][1].append("spoiled")  # type: ignore[attr-defined]
    assert copy is not None
    first = copy(own)
    assert first[1] == [(1, ["a"]), (2, {"k": [1]})]
    first[1][0][1].append("spoiled")
    first[1][1][1]["k"].append("spoiled")
    first[2].append("spoiled")
    assert copy(own) == (("id", "tags"), [(1, ["a"]), (2, {"k": [1]})], [(3,)])
    own, copy, _ = kept({"k": [1], "n": 1})
    assert copy is not None
    copy(own)["k"].append("spoiled")
    copy(own)["n"] = "spoiled"
    assert own == {"k": [1], "n": 1}


def test_rows_of_scalars_are_not_copied() -> None:
    own, copy, _ = kept(tuple((number, str(number)) for number in range(20)))
    assert copy is None
    rows, copy, _ = kept([(1, "a"), (2, "b")])
    assert copy is list
    assert copy(rows)[0] is rows[0]
    assert own


# In memory


def entry(size: int) -> CachedValue:
    return CachedValue("", {"size": size - ENTRY_BYTES})


def test_the_least_recently_used_goes_first() -> None:
    backend = MemoryBackend({"entries": 3, "bytes": 100_000})
    for key in "abc":
        backend.set(key, entry(10_000))
    assert backend.get("a") is not NO_VALUE
    backend.set("d", entry(10_000))
    assert [key for key in "abcd" if backend.get(key) is not NO_VALUE] == ["a", "c", "d"]
    assert (len(backend), backend.bytes, backend.evictions) == (3, 30_000, 1)
    backend.set("e", entry(85_000))  # by bytes
    assert [key for key in "acde" if backend.get(key) is not NO_VALUE] == ["d", "e"]
    assert (backend.bytes, backend.evictions) == (95_000, 3)
    backend.set("e", entry(1_000))
    assert (len(backend), backend.bytes) == (2, 11_000)
    backend.delete_multi(["d", "e", "none"])
    assert (len(backend), backend.bytes) == (0, 0)


def test_too_large_an_answer_is_not_kept() -> None:
    store = MemoryStore(10, 40_000)
    with pytest.raises(Uncacheable):
        store.keep("a", "x" * 10_000, (None,), 60)
    store.keep("a", "x" * 5_000, (None,), 60)
    assert store.entries == 1


def test_an_entry_takes_what_it_says() -> None:
    """Of many: what Python says it has allocated is no more than what is counted, and not much less."""
    store = MemoryStore(100_000, 2**30)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(2_000):
        key = f"{number:040}{number:016}"
        store.keep(key, [(number, "name " * 4, Decimal(number))], tuple(range(number, number + 3)), 60)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert store.bytes * 0.5 < taken <= store.bytes


def test_many_names_end_at_last_with_everything() -> None:
    store = MemoryStore(10, 100_000)
    before = store.generations(("*", "t:a"))
    for number in range(100_001):
        store.end((f"g:{number}",))
    after = store.generations(("*", "t:a"))
    assert before[0] != after[0]
    assert len(store._numbers) < 100


# Keys


def test_values_of_different_types_have_different_keys() -> None:
    values = [1, "1", True, 1.0, Decimal(1), None, "", b"1", (1,), [[1]], {"a": 1}, dt.date(2026, 1, 1), "2026-01-01",
              dt.datetime(2026, 1, 1), UUID(int=1), Status.OPEN, "open", 0, False, 0.0, Decimal("1.0")]  # fmt: skip
    keys = Keys(None)
    assert len({keys.key(("a", value)) for value in values}) == len(values)
    assert len({keys.key(parts) for parts in (("a", "b"), ("ab",), ("a", "", "b"), (("a", "b"),))}) == 4
    assert Keys("1").key(("a",)) != Keys("2").key(("a",)) != Keys(None).key(("a",))


def test_a_statement_is_its_structure_and_its_values() -> None:
    keys = Keys(None)

    def by(value: Any) -> sa.Select[Any]:
        return sa.select(customer).where(customer.c.id == value)

    def key(*parts: Any) -> str:
        return keys.key(parts)

    assert key(by(1)) == key(by(1)) == Keys(None).key((by(1),))
    different = [
        by(1),
        by(2),
        by("1"),
        by(1).limit(1),
        sa.select(customer.c.id).where(customer.c.id == 1),
        sa.select(Customer).where(Customer.id == 1),  # objects, not dicts
        sa.select(sa.type_coerce(customer.c.name, sa.JSON)),
        sa.select(customer.c.name),
        sa.text("SELECT * FROM customer"),
        sa.select(customer).where(customer.c.id.in_([1])),
        sa.select(customer).where(customer.c.id.in_([1, 2])),
        by(1).execution_options(schema_translate_map={None: "other"}),
        customer,
        Customer,
        Order,
    ]
    assert len({key(one) for one in different}) == len(different)


def test_values_that_change_are_read_each_time() -> None:
    keys = Keys(None)
    now = {"value": 1}
    called = sa.select(customer).where(customer.c.id == sa.bindparam("x", callable_=lambda: now["value"]))
    listed = [1]
    held = sa.select(customer).where(customer.c.id == sa.any_(sa.literal(listed, sa.ARRAY(sa.Integer))))
    before = keys.key((called,)), keys.key((held,))
    now["value"] = 2
    listed.append(2)
    after = keys.key((called,)), keys.key((held,))
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_column_is_not_taken_for_another_one() -> None:
    """Their == is true whatever it is compared with."""
    keys = Keys(None)
    assert len({keys.key((column,)) for column in customer.c}) == len(customer.c)


def test_a_statement_of_no_cache_key() -> None:
    class Own(sa.types.UserDefinedType[Any]):
        cache_ok = False

        def get_col_spec(self) -> str:
            return "own"

    keys = Keys(None)
    one, other = (sa.select(sa.cast(sa.literal(value), Own())) for value in (1, 2))
    assert one._generate_cache_key() is None
    assert keys.key((one,)) == keys.key((one,)) != keys.key((other,))


def test_a_key_of_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="type object cannot be a part of a key"):
        Keys(None).key((object(),))


@pytest.mark.parametrize("how", [0, -1, float("nan"), float("inf"), True])
def test_a_ttl_is_a_time(how: float) -> None:
    with pytest.raises(UsageError, match="cannot be cached for such a time"):
        Cached.of(how)


def test_tags_are_a_sequence() -> None:
    with pytest.raises(UsageError, match="tags are a sequence"):
        Cached(60, tags="dashboard")  # type: ignore[arg-type]
    assert Cached(tags=["a"]).tags == ("a",)  # type: ignore[arg-type]


# What a statement does


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT a FROM b WHERE c = %(c)s::VARCHAR FOR UPDATE", Effect({})),
        ("INSERT INTO app.b (x) VALUES (%(x)s::INTEGER) RETURNING b.id", Effect({"b": ADDED})),
        (
            "INSERT INTO b (id, x) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET x = excluded.x",
            Effect({"b": Touch(False, frozenset(("x",)))}),
        ),
        (
            'UPDATE "B" SET x = %(x)s, y = y + 1 WHERE id = %(id)s',
            Effect({"B": Touch(False, frozenset(("x", "y")))}),
        ),
        ("DELETE FROM b USING c WHERE b.id = c.id", Effect({"b": Touch(True, frozenset())})),
        (
            "WITH gone AS (DELETE FROM b RETURNING *), set AS (UPDATE b SET x = 1) INSERT INTO c SELECT * FROM gone",
            Effect({"b": Touch(True, frozenset(("x",))), "c": ADDED}),
        ),
        ("WITH x AS (INSERT INTO b VALUES (1)) SELECT 1", Effect({"b": ADDED})),
        ("MERGE INTO b USING c ON b.id = c.id WHEN MATCHED THEN DELETE", Effect({"b": ANY})),
        ("EXPLAIN ANALYZE UPDATE b SET x = 1", Effect({"b": ANY})),
        ("TRUNCATE b", Effect({"b": ANY})),
        ("TRUNCATE b CASCADE", Effect({}, anything=True)),
        ("COPY b FROM STDIN", Effect({"b": ADDED})),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY b", Effect({"b": ANY})),
        ("CREATE INDEX ON b (x)", Effect({}, is_ddl=True)),
        ("DROP TABLE b", Effect({}, is_ddl=True)),
        ("CREATE TEMPORARY TABLE b (x int) ON COMMIT DROP", Effect({}, own_view=True)),
        ("CREATE TEMP TABLE b (x int)", Effect({}, own_view=True, own_view_stays=True)),
        ("CALL close_month()", Effect({}, anything=True)),
        ("DO $$BEGIN END$$", Effect({}, anything=True)),
        ("SELECT app.close_month(1)", Effect({}, anything=True, unless=frozenset(("app.close_month",)))),
        ("INSERT INTO b SELECT close_month(1)", Effect({}, anything=True)),
        ("this is no SQL", Effect({}, anything=True)),
        ("COMMIT PREPARED 'x'", Effect({}, anything=True)),
        ("COMMIT", Effect({})),
        ("SET LOCAL app.tenant = '7'", Effect({}, own_view=True)),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Effect({}, own_view=True)),
        ("SET ROLE somebody", Effect({}, own_view=True, own_view_stays=True)),
        ("SELECT set_config('app.tenant', %(t)s, true)", Effect({}, own_view=True)),
        ("SELECT set_config('app.tenant', %(t)s, false)", Effect({}, own_view=True, own_view_stays=True)),
        ("SET LOCAL statement_timeout = 5", Effect({})),
    ],
)
def test_what_a_statement_does(text: str, expected: Effect) -> None:
    assert effect(None, text) == expected


def test_a_long_statement_may_do_more() -> None:
    text = "UPDATE b SET x = 1 WHERE id IN (" + ", ".join(map(str, range(5_000))) + ")"
    assert effect(None, text) == Effect({"b": ANY})


# What processes tell each other


@given(st.sets(st.text(string.ascii_lowercase, min_size=1, max_size=200).map("t:{}".format), max_size=150))
@settings(max_examples=50, deadline=None)
def test_all_names_are_told_in_messages_that_are_short_enough(names: set[str]) -> None:
    payloads = messages.written("me", names)
    assert all(len(payload.encode()) < 8_000 for payload in payloads)
    assert [name for payload in payloads for name in messages.read(payload, "you")] == sorted(names)
    assert not any(messages.read(payload, "me") for payload in payloads)


def test_a_name_that_is_too_long_ends_everything() -> None:
    assert [messages.read(one, "you") for one in messages.written("me", ["t:" + "x" * 9_000, "t:a"])] == [["*"]]


@pytest.mark.parametrize(
    ("payload", "ended"),
    [
        ("campaigns", ("t:campaigns",)),
        ("app.campaigns", ("t:campaigns",)),
        ("", ("*",)),
        ("{", ("*",)),
        ('{"ended": 1}', ("*",)),
        ('{"ended": [1]}', ("*",)),
        (json.dumps({"ended": ["t:a"]}), ["t:a"]),
    ],
)
def test_messages_of_others(payload: str, ended: Any) -> None:
    assert messages.read(payload, "me") == ended


# Waiting in line


def test_threads_and_tasks_wait_for_the_same_lock() -> None:
    mutex = Mutex()
    assert mutex.acquire(0)
    order: list[str] = []
    queued = threading.Semaphore(0)

    def hold(name: str) -> None:
        assert mutex.acquire(20)
        order.append(name)
        mutex.release()

    async def tasks() -> None:
        first = asyncio.ensure_future(greenlet_spawn(hold, "task"))
        second = asyncio.ensure_future(greenlet_spawn(hold, "cancelled"))
        await asyncio.sleep(0)
        assert len(mutex._queue) == 2
        queued.release()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await first

    def run() -> None:
        asyncio.run(tasks())

    loop = threading.Thread(target=run)
    loop.start()
    assert queued.acquire(timeout=20)
    thread = threading.Thread(target=hold, args=("thread",))
    thread.start()
    while "thread" not in order and len(mutex._queue) < 2 and thread.is_alive():
        pass
    assert not mutex.acquire(0)
    mutex.release()
    loop.join(20)
    thread.join(20)
    assert order == ["task", "thread"]
    assert mutex.acquire(0)


def test_one_who_is_cancelled_hands_on_what_was_just_given() -> None:
    mutex = Mutex()
    assert mutex.acquire(0)

    async def main() -> None:
        waiting = asyncio.ensure_future(greenlet_spawn(mutex.acquire, 20))
        await asyncio.sleep(0)
        mutex.release()  # given to it; but before it can run:
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    assert mutex.acquire(0)


def test_who_has_waited_long_enough_leaves_the_line() -> None:
    mutex = Mutex()
    assert mutex.acquire(0)
    assert not mutex.acquire(0.01)

    async def main() -> None:
        assert not await greenlet_spawn(mutex.acquire, 0.01)

    asyncio.run(main())
    mutex.release()
    assert mutex.acquire(0)
