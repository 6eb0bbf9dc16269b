"""One contract for memory, SQLite and Redis."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.proxy import proxy, script
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tokend.allowance import Allowance
from tokend.clock import SystemClock
from tokend.errors import LeaseBusy, RecordUnreadable, StoreError
from tokend.model import Changes, Issued, Secret, Token, TokenKey
from tokend.store.local import LocalStore
from tokend.store.memory import MemoryTable
from tokend.store.redis import open_redis
from tokend.store.seal_key import parse_keys
from tokend.store.seals import UNSEALED, Seals
from tokend.store.sqlite import open_table
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from kit.clock import ManualClock

    from tokend.clock import Clock
    from tokend.contracts import Store
    from tokend.model import Lease
    from tokend.store.record import Record

KEY = TokenKey(app="shop", appid="wx0123456789abcdef", kind="access_token")
OTHER = TokenKey(app="blog", appid="wxfedcba9876543210", kind="access_token")
TTL = timedelta(seconds=30)
QUARANTINE = Terms().quarantine
ALLOWANCE = Allowance(pause=timedelta(seconds=60), daily=15)
CLOCK = SystemClock()

Reopen = "Callable[[], AbstractAsyncContextManager[Store]]"


@pytest.fixture(params=["as it is", "sealed"])
def seals(request: pytest.FixtureRequest) -> Seals:
    return UNSEALED if request.param == "as it is" else parse_keys([Secret("0" * 64)])


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def reopen(
    request: pytest.FixtureRequest, tmp_path: Path, redis_socket: Path, seals: Seals
) -> AsyncIterator[Reopen]:
    """Opens the same store again and again, as restarts and other nodes do."""
    table = MemoryTable()

    @asynccontextmanager
    async def memory() -> AsyncIterator[Store]:
        yield LocalStore(table, CLOCK, seals)

    @asynccontextmanager
    async def sqlite() -> AsyncIterator[Store]:
        async with open_table(tmp_path / "tokend.db") as file:
            yield LocalStore(file, CLOCK, seals)

    @asynccontextmanager
    async def redis() -> AsyncIterator[Store]:
        async with open_redis(f"unix://{redis_socket}", CLOCK, seals=seals) as store:
            yield store

    if request.param == "redis":
        async with Redis(unix_socket_path=str(redis_socket)) as client:
            await client.flushall()
    return {"memory": memory, "sqlite": sqlite, "redis": redis}[request.param]


@pytest.fixture
async def any_store(reopen: Reopen) -> AsyncIterator[Store]:
    async with reopen() as store:
        yield store


def token(lease: Lease, value: str = "92_first", *, life: float = 7200) -> Token:
    """What WeChat gave under a lease."""
    issued = Issued(value=Secret(value), lifetime=timedelta(seconds=life))
    return Token.of(issued, asked_at=CLOCK.now(), fence=lease.fence)


async def keep(store: Store, value: str, key: TokenKey = KEY) -> Token:
    """A whole refresh without trouble."""
    lease = await store.acquire(key, owner=f"for {value}", ttl=TTL, above=0, quarantine=QUARANTINE)
    kept = await store.save(lease, token(lease, value))
    await store.release(lease)
    assert kept is not None
    return kept


async def test_a_store_begins_empty(any_store: Store) -> None:
    assert await any_store.load(KEY) is None


@pytest.mark.parametrize("length", [1, 136, 512, 4096])
async def test_a_kept_token_comes_back_unharmed_after_a_restart(
    reopen: Reopen, length: int
) -> None:
    value = ("92_-" + "aZ09-_.~!#$%&'()*+,/:;<=>?@[]^`{|}" * 140)[:length]
    async with reopen() as before:
        kept = await keep(before, value)

    async with reopen() as after:
        loaded = await after.load(KEY)

    assert loaded is not None
    assert loaded.value.reveal() == value
    assert loaded.generation == kept.generation
    assert abs(loaded.expires_at - kept.expires_at) < timedelta(seconds=0.1)
    assert not loaded.suspect


async def test_keys_do_not_mix(any_store: Store) -> None:
    await keep(any_store, "of shop")
    await keep(any_store, "of blog", OTHER)

    loaded = [await any_store.load(key) for key in (KEY, OTHER)]

    assert [found and found.value.reveal() for found in loaded] == ["of shop", "of blog"]


async def test_many_records_are_read_as_each_by_itself(any_store: Store) -> None:
    keys = [replace(KEY, appid=f"wx{number:016x}") for number in range(300)]
    for number in (0, 7, 299):
        await keep(any_store, f"92_{number}", keys[number])

    found = await any_store.load_many(keys)

    assert [each and each.value.reveal() for each in found] == [
        f"92_{number}" if number in {0, 7, 299} else None for number in range(300)
    ]
    assert (await any_store.load_many([])) == []


async def test_one_of_many_who_ask_at_once_gets_the_lease(any_store: Store) -> None:
    asked = (
        any_store.acquire(KEY, owner=f"{n}", ttl=TTL, above=0, quarantine=QUARANTINE)
        for n in range(50)
    )

    outcomes = await asyncio.gather(*asked, return_exceptions=True)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Lease"] + ["LeaseBusy"] * 49


async def test_asking_again_as_the_same_owner_gives_the_same_lease(any_store: Store) -> None:
    """The answer to the first asking was lost."""
    first = await any_store.acquire(KEY, owner="one", ttl=TTL, above=0, quarantine=QUARANTINE)

    again = await any_store.acquire(KEY, owner="one", ttl=TTL, above=0, quarantine=QUARANTINE)

    assert again == first


async def test_a_lease_runs_out(any_store: Store) -> None:
    await any_store.acquire(
        KEY, owner="dies", ttl=timedelta(milliseconds=30), above=0, quarantine=QUARANTINE
    )
    await asyncio.sleep(0.06)

    lease = await any_store.acquire(KEY, owner="lives", ttl=TTL, above=0, quarantine=QUARANTINE)

    assert lease.owner == "lives"


async def test_fences_grow(any_store: Store) -> None:
    fences = []
    for n in range(5):
        lease = await any_store.acquire(KEY, owner=f"{n}", ttl=TTL, above=0, quarantine=QUARANTINE)
        fences.append(lease.fence)
        await any_store.release(lease)

    assert fences == sorted(set(fences))


async def test_a_fence_is_greater_than_what_the_node_has_seen(any_store: Store) -> None:
    """The store may have lost its last writes, and its clock may be behind."""
    seen = 8_000_000_000_000_000

    lease = await any_store.acquire(KEY, owner="one", ttl=TTL, above=seen, quarantine=QUARANTINE)

    assert lease.fence == seen + 1


async def test_the_generation_of_a_value_is_the_fence_it_came_under(any_store: Store) -> None:
    lease = await any_store.acquire(KEY, owner="one", ttl=TTL, above=0, quarantine=QUARANTINE)

    kept = await any_store.save(lease, token(lease))

    assert kept is not None
    assert kept.generation == lease.fence


async def test_the_same_value_keeps_its_generation_and_gets_the_newer_expiry(
    any_store: Store,
) -> None:
    first = await keep(any_store, "92_same")
    lease = await any_store.acquire(KEY, owner="again", ttl=TTL, above=0, quarantine=QUARANTINE)

    kept = await any_store.save(lease, token(lease, "92_same", life=600))

    assert kept is not None
    assert kept.generation == first.generation
    assert kept.expires_at < first.expires_at
    assert not kept.suspect


async def test_saving_twice_is_saving_once(any_store: Store) -> None:
    """The answer to the first save was lost."""
    lease = await any_store.acquire(KEY, owner="one", ttl=TTL, above=0, quarantine=QUARANTINE)
    first = await any_store.save(lease, token(lease))

    again = await any_store.save(lease, token(lease))

    assert again is not None
    assert first is not None
    assert (again.generation, again.suspect) == (first.generation, False)


async def test_an_overtaken_fence_is_refused_and_the_winner_marked(any_store: Store) -> None:
    """WeChat may have served the slow one last: then the winner's value is dead."""
    slow = await any_store.acquire(
        KEY, owner="slow", ttl=timedelta(milliseconds=30), above=0, quarantine=QUARANTINE
    )
    await asyncio.sleep(0.06)
    winner = await keep(any_store, "92_winner")

    refused = await any_store.save(slow, token(slow, "92_slow"))

    loaded = await any_store.load(KEY)
    assert refused is None
    assert loaded is not None
    assert loaded.value == winner.value
    assert loaded.suspect


async def test_two_nodes_that_got_the_same_value_agree(any_store: Store) -> None:
    """stable_token gives everybody the same one: nothing to suspect."""
    slow = await any_store.acquire(
        KEY, owner="slow", ttl=timedelta(milliseconds=30), above=0, quarantine=QUARANTINE
    )
    await asyncio.sleep(0.06)
    await keep(any_store, "92_same")
    await any_store.save(slow, token(slow, "92_same"))

    await keep(any_store, "92_same")

    loaded = await any_store.load(KEY)
    assert loaded is not None
    assert not loaded.suspect


async def test_a_value_saved_after_the_lease_was_lost_is_suspect(any_store: Store) -> None:
    late = await any_store.acquire(
        KEY, owner="late", ttl=timedelta(milliseconds=30), above=0, quarantine=QUARANTINE
    )
    await asyncio.sleep(0.06)

    kept = await any_store.save(late, token(late))

    assert kept is not None
    assert kept.suspect


async def lose_lease(store: Store, lease: Lease) -> None:
    """It runs out."""
    await store.release(lease, hold=timedelta(milliseconds=1))
    await asyncio.sleep(0.005)


async def test_a_value_is_suspect_if_another_was_stored_since_its_lease_was_given(
    any_store: Store,
) -> None:
    """The other intent is so old that its call seemed to be over; it was not."""
    old = await any_store.acquire(KEY, owner="old", ttl=TTL, above=0, quarantine=QUARANTINE)
    await lose_lease(any_store, old)
    new = await any_store.acquire(KEY, owner="new", ttl=TTL, above=0, quarantine=timedelta(0))
    await any_store.save(old, token(old, "92_old"))

    kept = await any_store.save(new, token(new, "92_new"))

    assert kept is not None
    assert kept.suspect


async def test_an_intent_older_than_the_quarantine_leaves_no_suspicion(any_store: Store) -> None:
    old = await any_store.acquire(KEY, owner="old", ttl=TTL, above=0, quarantine=QUARANTINE)
    await lose_lease(any_store, old)
    new = await any_store.acquire(KEY, owner="new", ttl=TTL, above=0, quarantine=timedelta(0))

    kept = await any_store.save(new, token(new))

    assert kept is not None
    assert not kept.suspect


async def test_a_refused_value_makes_the_next_one_suspect(any_store: Store) -> None:
    """The refused one may have been given after the one that is about to be saved."""
    late = await any_store.acquire(KEY, owner="late", ttl=TTL, above=0, quarantine=QUARANTINE)
    await lose_lease(any_store, late)
    await keep(any_store, "92_winner")
    await keep(any_store, "92_sure")
    last = await any_store.acquire(KEY, owner="last", ttl=TTL, above=0, quarantine=QUARANTINE)
    await any_store.save(late, token(late, "92_late"))

    kept = await any_store.save(last, token(last, "92_last"))

    assert kept is not None
    assert kept.suspect


async def test_a_holder_who_died_makes_the_kept_value_suspect_by_itself(any_store: Store) -> None:
    """Nobody has to acquire for that: whoever reads it sees it."""
    await keep(any_store, "92_kept")
    owner = "web-2.internal/4242/0a1b"
    dead = await any_store.acquire(KEY, owner=owner, ttl=TTL, above=0, quarantine=QUARANTINE)
    before = await any_store.load(KEY)
    await lose_lease(any_store, dead)
    after = await any_store.load(KEY)

    assert before is not None
    assert after is not None
    assert (before.refreshing_on, before.suspect) == ("web-2.internal/4242", False)
    assert (after.refreshing_on, after.suspect) == ("", True)


async def test_the_intent_of_a_holder_who_died_makes_the_next_value_suspect(
    any_store: Store,
) -> None:
    """WeChat may have given the dead one a token after all."""
    await any_store.acquire(
        KEY, owner="dies", ttl=timedelta(milliseconds=30), above=0, quarantine=QUARANTINE
    )
    await asyncio.sleep(0.06)
    heir = await any_store.acquire(KEY, owner="heir", ttl=TTL, above=0, quarantine=QUARANTINE)

    kept = await any_store.save(heir, token(heir))

    assert kept is not None
    assert kept.suspect


async def test_a_settled_intent_leaves_no_suspicion(any_store: Store) -> None:
    refused = await any_store.acquire(KEY, owner="refused", ttl=TTL, above=0, quarantine=QUARANTINE)
    await any_store.release(refused)

    kept = await keep(any_store, "92_next")

    assert not kept.suspect


async def test_a_held_lease_keeps_everybody_out(any_store: Store) -> None:
    unclear = await any_store.acquire(KEY, owner="unclear", ttl=TTL, above=0, quarantine=QUARANTINE)
    await any_store.release(unclear, hold=timedelta(seconds=90))

    with pytest.raises(LeaseBusy):
        await any_store.acquire(KEY, owner="next", ttl=TTL, above=0, quarantine=QUARANTINE)


async def test_releasing_a_lost_lease_does_not_free_the_next_ones(any_store: Store) -> None:
    lost = await any_store.acquire(
        KEY, owner="lost", ttl=timedelta(milliseconds=30), above=0, quarantine=QUARANTINE
    )
    await asyncio.sleep(0.06)
    await any_store.acquire(KEY, owner="next", ttl=TTL, above=0, quarantine=QUARANTINE)

    await any_store.release(lost)

    with pytest.raises(LeaseBusy):
        await any_store.acquire(KEY, owner="third", ttl=TTL, above=0, quarantine=QUARANTINE)


async def test_changes_tell_what_was_saved_since(any_store: Store) -> None:
    await keep(any_store, "of shop")
    seen = await any_store.changes(0)
    await keep(any_store, "of blog", OTHER)

    news = await any_store.changes(seen.cursor)

    assert seen.records == {KEY.record}
    assert OTHER.record in news.records
    assert news.cursor > seen.cursor


async def test_changes_that_are_far_apart_are_not_taken_for_a_loss(redis_socket: Path) -> None:
    async with emptied(redis_socket, CLOCK) as (client, store):
        told, cursor = [], 0
        for minute in range(1, 6):
            await client.zadd("tokend:changes", {f"wx{minute}": minute * 60_000_000})
            for _ in range(3):
                changes = await store.changes(cursor)
                lost, cursor = changes.cursor < cursor, changes.cursor
                assert not lost
                told += changes.records

    assert told == [f"wx{minute}" for minute in range(1, 6)]


async def test_who_begins_to_follow_is_not_told_what_changed_long_ago(redis_socket: Path) -> None:
    """All that ever changed may be a hundred thousand records, which are looked at anyway."""
    async with emptied(redis_socket, CLOCK) as (client, store):
        await client.zadd("tokend:changes", {"long ago": 1_000_000, "lately": 60_000_000})

        begun = await store.changes(0)
        await client.zadd("tokend:changes", {"now": 61_000_000})

        assert (begun.cursor, begun.records) == (60_000_000, {"lately"})
        assert (await store.changes(begun.cursor)).records == {"now"}


async def test_a_change_that_a_failover_put_behind_what_was_seen_is_found_in_time(
    redis_socket: Path, clock: ManualClock
) -> None:
    async with emptied(redis_socket, clock) as (client, store):
        await client.zadd("tokend:changes", {"seen": 60_000_000})
        begun = await store.changes(0)

        await client.zadd("tokend:changes", {"behind": 59_000_000})
        clock.suspend(timedelta(seconds=2))

        assert await store.changes(begun.cursor) == Changes(
            cursor=begun.cursor, records=frozenset({"behind"})
        )


async def test_changes_that_are_close_together_are_told_once_and_are_no_loss(
    redis_socket: Path, clock: ManualClock
) -> None:
    async with emptied(redis_socket, clock) as (client, store):
        told, cursor = [], 0
        for second in range(1, 6):
            await client.zadd("tokend:changes", {f"wx{second}": second * 1_000_000})
            for pause in (0, 0, 2):
                clock.suspend(timedelta(seconds=pause))
                changes = await store.changes(cursor)
                assert changes.cursor >= cursor
                cursor = changes.cursor
                told += changes.records

    assert told == [f"wx{second}" for second in range(1, 6)]


async def test_a_node_is_woken_by_another_and_not_by_itself(redis_socket: Path) -> None:
    async with (
        open_redis(f"unix://{redis_socket}", CLOCK) as one,
        open_redis(f"unix://{redis_socket}", CLOCK) as other,
    ):
        await both_listening(redis_socket)
        await keep(one, "of one")
        await asyncio.wait_for(other.woken(), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.woken(), 0.2)

        await keep(other, "of the other")
        await asyncio.wait_for(one.woken(), 5)


@asynccontextmanager
async def emptied(socket: Path, clock: Clock) -> AsyncIterator[tuple[Redis, Store]]:
    """A Redis with nothing in it, and the store that is there."""
    async with (
        Redis(unix_socket_path=str(socket)) as client,
        open_redis(f"unix://{socket}", clock) as store,
    ):
        await client.flushall()
        yield client, store


async def both_listening(redis_socket: Path) -> None:
    async with Redis(unix_socket_path=str(redis_socket)) as client, asyncio.timeout(5):
        while (await client.pubsub_numsub("tokend:changed"))[0][1] < 2:
            await asyncio.sleep(0.01)


async def test_changes_of_nothing_are_nothing(any_store: Store) -> None:
    assert (await any_store.changes(0)).records == frozenset()


async def test_a_wall_clock_set_back_gives_a_kept_token_no_more_life(clock, tmp_path) -> None:
    async with open_table(tmp_path / "tokend.db") as file:
        store = LocalStore(file, clock)
        lease = await store.acquire(KEY, owner="one", ttl=TTL, above=0, quarantine=QUARANTINE)
        life = timedelta(seconds=7200)
        issued = Issued(value=Secret("92_x"), lifetime=life)
        await store.save(lease, Token.of(issued, asked_at=clock.now(), fence=lease.fence))

        clock.jump_wall(timedelta(hours=-5))
        loaded = await store.load(KEY)

    assert loaded is not None
    assert loaded.remaining(clock.now()) <= life


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_wall_clock_set_while_a_token_is_kept_leaves_it_its_life(clock, hours: int) -> None:
    class Table(MemoryTable):
        sets = timedelta(0)

        async def update(self, name: str, step: Callable[[Record], Record]) -> Record:
            record = await super().update(name, step)
            clock.jump_wall(self.sets)
            return record

    table = Table()
    store = LocalStore(table, clock)
    lease = await store.acquire(KEY, owner="one", ttl=TTL, above=0, quarantine=QUARANTINE)
    issued = Issued(value=Secret("92_x"), lifetime=timedelta(seconds=7200))
    given = Token.of(issued, asked_at=clock.now(), fence=lease.fence)

    table.sets = timedelta(hours=hours)
    kept = await store.save(lease, given)

    assert kept == replace(given, stored=True)


async def test_a_lease_from_a_clock_far_ahead_does_not_hold_for_ever(clock) -> None:
    store = LocalStore(MemoryTable(), clock)
    clock.jump_wall(timedelta(days=400))
    await store.acquire(KEY, owner="ahead", ttl=TTL, above=0, quarantine=QUARANTINE)
    clock.jump_wall(timedelta(days=-400))

    lease = await store.acquire(KEY, owner="now", ttl=TTL, above=0, quarantine=QUARANTINE)

    assert lease.owner == "now"


async def test_processes_that_share_the_sqlite_file_lose_no_update(tmp_path: Path) -> None:
    """Each in turn reads, changes and writes; none may do so on what another is changing."""

    def one_more(record: Record) -> Record:
        return replace(record, lease_fence=record.lease_fence + 1)

    path = tmp_path / "tokend.db"
    async with open_table(path) as one, open_table(path) as other:
        updates = [table.update("wx/kind", one_more) for table in (one, other) * 50]
        await asyncio.gather(*updates)

        (record,) = await one.read(["wx/kind"])
        assert record.lease_fence == 100


async def test_the_sqlite_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "tokend.db"

    async with open_table(path):
        mode = path.stat().st_mode & 0o777

    assert mode == 0o600


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param(
            "tokend.db",
            b"not a database, but long enough" * 9,
            "file is not a database",
            id="garbage",
        ),
        pytest.param("no/tokend.db", None, "No such file or directory", id="no folder"),
    ],
)
async def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    if content:
        path.write_bytes(content)

    with pytest.raises(StoreError) as caught:
        async with open_table(path):
            pass

    assert str(caught.value) == f"sqlite: {path}: {reason}"


async def test_a_redis_that_is_away_is_a_store_error_without_delay(tmp_path: Path) -> None:
    async with open_redis(f"unix://{tmp_path}/nobody.sock", CLOCK) as store:
        with pytest.raises(StoreError, match=r"^redis: "):
            await store.load(KEY)


async def test_a_change_is_seen_by_who_saw_a_clock_that_was_ahead(redis_socket: Path) -> None:
    """After a failover to a server whose clock is behind."""
    async with emptied(redis_socket, CLOCK) as (client, store):
        await keep(store, "92_before")
        ahead = time.time_ns() // 1000 + 3_600_000_000
        await client.zadd("tokend:changes", {OTHER.record: ahead})
        seen = await store.changes(0)
        await keep(store, "92_after")
        news = await store.changes(seen.cursor)

    assert seen.cursor == ahead
    assert KEY.record in news.records
    assert news.cursor > ahead


async def test_a_command_whose_answer_is_lost_is_not_sent_again_by_itself(
    redis_socket: Path, folder: Path
) -> None:
    """Who asks for a lease has to know that it asks again."""
    async with Redis(unix_socket_path=str(redis_socket)) as client:
        await client.flushall()
    async with (
        proxy(redis_socket, folder / "proxy.sock") as wire,
        open_redis(f"unix://{folder}/proxy.sock", CLOCK) as store,
    ):
        await store.spend(OTHER, ALLOWANCE)
        wire.drop_next_reply_to(script("spend"))

        with pytest.raises(StoreError):
            await store.spend(KEY, ALLOWANCE)

        assert wire.struck == 1


async def found(store: Store) -> Token | None:
    """What there is, taking what cannot be read for nothing."""
    try:
        return await store.load(KEY)
    except RecordUnreadable:
        return None


def redis_name(part: str) -> str:
    return f"tokend:{{{KEY.record}}}:{part}"


@pytest.mark.parametrize(
    "foreign",
    [
        ("set", redis_name("token"), "canary"),
        ("rpush", redis_name("token"), "canary"),
        ("hset", redis_name("token"), "value", "canary"),
        ("hset", redis_name("token"), "fence", "canary"),
        ("hset", redis_name("token"), "stored_at", "canary"),
    ],
    ids=["text", "list", "half a record", "no number", "no time"],
)
async def test_a_record_of_somebody_else_counts_as_none_and_is_put_aside(
    redis_socket: Path, foreign: tuple[str, ...]
) -> None:
    async with (
        Redis(unix_socket_path=str(redis_socket), decode_responses=True) as client,
        open_redis(f"unix://{redis_socket}", CLOCK) as store,
    ):
        await client.flushall()
        await client.execute_command(*foreign)
        with capture_logs() as logs:
            assert await found(store) is None
            kept = await keep(store, "92_new")
        loaded = await store.load(KEY)
        aside = await client.type(redis_name("unreadable"))

    assert loaded is not None
    assert loaded.generation == kept.generation
    assert aside != "none"
    assert {"event": "not_of_tokend", "what": "record"}.items() <= logs[-1].items()
    assert "canary" not in str(logs)


@pytest.mark.parametrize("foreign", [b"canary", b"\xff\xfe"], ids=["text", "no text"])
async def test_records_of_somebody_else_among_many_hide_no_others(
    redis_socket: Path, foreign: bytes
) -> None:
    keys = [replace(KEY, appid=f"wx{number:016x}") for number in range(9)]
    async with emptied(redis_socket, CLOCK) as (client, store):
        for key in keys:
            await keep(store, "92_good", key)
        for number in (2, 3, 8):
            await client.hset(f"tokend:{{{keys[number].record}}}:token", "value", foreign)
            await client.hset(f"tokend:{{{keys[number].record}}}:token", "digest", foreign * 40)

        found = await store.load_many(keys)

    unreadable = [at for at, each in enumerate(found) if isinstance(each, RecordUnreadable)]
    assert unreadable == [2, 3, 8]
    assert all(each.value.reveal() == "92_good" for each in found if isinstance(each, Token))
    assert "canary" not in str(found)


async def test_a_file_with_somebody_elses_record_among_many_gives_the_others(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tokend.db"
    async with open_table(path) as table:
        store = LocalStore(table, CLOCK)
        await keep(store, "92_good")
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("INSERT INTO record VALUES (?, 'canary', 1)", (OTHER.record,))

        bad, good = await store.load_many([OTHER, KEY])

    assert isinstance(bad, RecordUnreadable)
    assert isinstance(good, Token)


async def test_thousands_of_records_are_a_few_commands(redis_socket: Path) -> None:
    keys = [replace(KEY, appid=f"wx{number:016x}") for number in range(3000)]
    async with (
        Redis(unix_socket_path=str(redis_socket)) as client,
        open_redis(f"unix://{redis_socket}", CLOCK) as store,
    ):
        await store.load(KEY)  # so that the script is there
        await client.config_resetstat()

        await store.load_many(keys)

        assert (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] == 1


@pytest.mark.parametrize(
    "foreign",
    [
        ("set", redis_name("lease"), "somebody"),
        ("set", redis_name("lease"), "somebody", "ex", "86400"),
        ("rpush", redis_name("lease"), "somebody"),
        ("set", redis_name("fence"), "canary"),
        ("rpush", redis_name("fence"), "canary"),
        ("rpush", redis_name("budget"), "canary"),
    ],
    ids=["for ever", "for a day", "list", "fence", "fence list", "budget"],
)
async def test_what_somebody_else_left_keeps_nobody_from_refreshing(
    redis_socket: Path, foreign: tuple[str, ...]
) -> None:
    async with (
        Redis(unix_socket_path=str(redis_socket), decode_responses=True) as client,
        open_redis(f"unix://{redis_socket}", CLOCK) as store,
    ):
        await client.flushall()
        await client.execute_command(*foreign)
        first, second = await keep(store, "92_one"), await keep(store, "92_two")
        wait = await store.spend(KEY, ALLOWANCE)

    assert not first.suspect
    assert second.generation > first.generation
    assert not wait


@pytest.mark.parametrize(
    ("lease", "node"),
    [
        pytest.param(b"web-1_a.internal/4242/0a1b", "web-1_a.internal/4242", id="a node's"),
        pytest.param(b"x" * 301, "?", id="long"),
        pytest.param(b"<b>\x1b[31m/1/2", "?", id="markup"),
        pytest.param(b"\xff\xfe", "?", id="no text"),
        pytest.param(b"", "?", id="nothing"),
    ],
)
async def test_a_lease_names_a_node_or_somebody_and_the_token_is_read_all_the_same(
    redis_socket: Path, lease: bytes, node: str
) -> None:
    async with (
        Redis(unix_socket_path=str(redis_socket)) as client,
        open_redis(f"unix://{redis_socket}", CLOCK) as store,
    ):
        await client.flushall()
        await keep(store, "92_kept")
        await store.acquire(KEY, owner="a/1/2", ttl=TTL, above=0, quarantine=QUARANTINE)
        await client.set(redis_name("lease"), lease, ex=60)
        found = await store.load(KEY)

    assert found is not None
    assert (found.value, found.refreshing_on) == (Secret("92_kept"), node)


# The budget


async def test_costly_calls_are_counted_by_all_nodes_together(reopen: Reopen) -> None:
    async with reopen() as one, reopen() as other:
        waits = [await node.spend(KEY, ALLOWANCE) for node in (one, other, one)]
        of_another_key = await other.spend(OTHER, ALLOWANCE)

    assert not waits[0]
    assert all(timedelta(seconds=55) < wait <= ALLOWANCE.pause for wait in waits[1:])
    assert not of_another_key


async def test_only_so_many_costly_calls_a_day_are_granted_and_more_to_an_operator(
    any_store: Store,
) -> None:
    automatic = Allowance(pause=timedelta(0), daily=3)
    operator = Allowance(pause=timedelta(0), daily=5)

    waits = [await any_store.spend(KEY, automatic) for _ in range(5)]
    of_operator = [await any_store.spend(KEY, operator) for _ in range(3)]

    assert not any(waits[:3])
    assert all(timedelta(hours=23) < wait <= timedelta(days=1) for wait in waits[3:])
    assert not any(of_operator[:2])
    assert of_operator[2] > timedelta(hours=23)
