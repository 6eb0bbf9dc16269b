"""All keys: whose time has come, and that no bell is needed to find out."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.alarmed import due_in
from kit.clock import settle
from kit.scene import KEY, Scene, started
from structlog.testing import capture_logs

from tokend.errors import NotReady, RefreshLimited, StoreError
from tokend.follower import Follower
from tokend.model import State
from tokend.schedule import Schedule
from tokend.store.local import LocalStore

if TYPE_CHECKING:
    from kit.clock import ManualClock


async def test_what_is_due_is_started_and_what_is_not_is_not(clock: ManualClock) -> None:
    schedule = Schedule(clock)
    now, later = due_in(clock, 0), due_in(clock, 60)
    schedule.plan(later)
    schedule.plan(now)

    await schedule.look()

    assert (len(now.starts), len(later.starts)) == (1, 0)


async def test_of_who_changes_their_mind_before_it_begins_the_last_word_counts(
    clock: ManualClock,
) -> None:
    """As keepers do that are made, and then find a token in the store."""
    schedule = Schedule(clock)
    keeper, other = due_in(clock, 0), due_in(clock, 30)
    schedule.plan(keeper)
    schedule.plan(other)
    keeper.next_at = other.next_at + timedelta(seconds=60)
    schedule.plan(keeper)

    async with schedule.running():
        await clock.advance(45)
        assert (len(keeper.starts), len(other.starts)) == (0, 1)
        await clock.advance(60)
        assert (len(keeper.starts), len(other.starts)) == (1, 1)


async def test_what_became_due_while_a_caller_was_refused_is_started_after_that(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(clock, method="token")
    keeper, schedule = await started(scene)
    gate = asyncio.Event()

    async def spend(*_: object) -> timedelta:
        await gate.wait()
        return timedelta(seconds=30)

    monkeypatch.setattr(LocalStore, "spend", spend)
    asking = asyncio.create_task(keeper.refresh(rejected=None, by="operator"))
    await settle()
    clock.suspend(timedelta(seconds=6950))
    await schedule.look()
    gate.set()
    with pytest.raises(RefreshLimited):
        await asking

    await schedule.look()
    await settle()

    assert scene.calls() == 2


async def test_without_the_bell_the_watchdog_finds_what_is_due(clock: ManualClock) -> None:
    """The host's clock was set back: APScheduler waits for a moment that is hours away."""
    schedule = Schedule(clock)
    clock.jump_wall(timedelta(days=300))
    keeper = due_in(clock, 30)
    async with schedule.running():
        schedule.plan(keeper)
        await settle()

        await clock.advance(46)

        assert len(keeper.starts) == 1


async def test_a_follower_brings_the_token_that_another_node_stored(clock: ManualClock) -> None:
    scene = Scene(clock)
    (one, schedule), (other, _) = scene.node(), scene.node()
    follower = Follower(LocalStore(scene.table, clock), {KEY.record: other}, clock)
    await schedule.look()
    await settle()

    await follower.look()

    assert other.current().token == one.current().token
    assert scene.calls() == 1


async def test_a_follower_outlives_a_store_that_is_away(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(clock)
    (_, schedule), (other, _) = scene.node(), scene.node()
    store = LocalStore(scene.table, clock)
    follower = Follower(store, {KEY.record: other}, clock)

    async def away(_: int) -> None:
        raise StoreError("away")

    with monkeypatch.context() as patched:
        patched.setattr(store, "changes", away)
        await follower.look()
    await schedule.look()
    await settle()
    await follower.look()

    assert other.status().state is State.FRESH


async def test_after_a_sleep_of_the_machine_a_dead_token_is_not_served_and_soon_replaced(
    clock: ManualClock,
) -> None:
    scene = Scene(clock)
    keeper, schedule = scene.node()
    async with schedule.running():
        await settle()
        assert scene.is_valid(keeper)

        clock.suspend(timedelta(hours=3))
        with pytest.raises(NotReady, match="expired"):
            keeper.current()
        await clock.advance(5)

        assert scene.is_valid(keeper)


async def test_a_jump_of_the_wall_clock_is_told_and_moves_nothing(clock: ManualClock) -> None:
    scene = Scene(clock)
    keeper, schedule = scene.node()
    with capture_logs() as logs:
        async with schedule.running():
            await settle()
            before = keeper.status().next_refresh_in
            for hours in (1, -2, 24 * 365):
                clock.jump_wall(timedelta(hours=hours))
                await clock.advance(6)
            after = keeper.status().next_refresh_in

    jumps = [entry["seconds"] for entry in logs if entry["event"] == "wall_clock_jumped"]
    assert jumps == [3600, -7200, 24 * 365 * 3600]
    assert before - after == timedelta(seconds=18)
    assert scene.calls() == 1


async def test_a_follower_that_has_stood_still_looks_before_a_token_is_read(
    clock: ManualClock,
) -> None:
    """Stopped, it has missed two refreshes of another node: what it remembers is dead."""
    scene = Scene(clock, method="token")
    (one, _), (other, schedule) = scene.node(), scene.node()
    follower = Follower(LocalStore(scene.table, clock), {KEY.record: other}, clock)
    await schedule.look()
    await settle()
    await scene.notice(one)
    following = asyncio.create_task(follower.run())
    await settle()
    clock.suspend(timedelta(seconds=400))
    for _ in range(2):
        await one.refresh(rejected=None, by="shopper")
        clock.suspend(timedelta(seconds=61))
    stale = scene.is_valid(other)

    reading = asyncio.create_task(follower.awake())
    await settle()
    waited = not reading.done()
    await clock.advance(3)
    await reading
    following.cancel()

    assert not stale
    assert waited
    assert scene.is_valid(other)


async def test_the_watchdog_is_fed_only_while_the_schedule_looks(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hangs in the middle of a look must not be taken for alive."""
    fed: list[timedelta] = []
    schedule = Schedule(clock, on_watch=lambda: fed.append(clock.elapsed()))

    async def hang() -> None:
        await asyncio.Event().wait()

    async with schedule.running():
        await settle()
        for _ in range(3):
            await clock.advance(5)
        monkeypatch.setattr(schedule, "look", hang)
        for _ in range(3):
            await clock.advance(5)

    assert len(fed) == 3
