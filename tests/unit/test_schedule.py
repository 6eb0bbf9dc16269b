"""All keys: whose time has come, and that no bell is needed to find out."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from kit.alarmed import due_in
from kit.clock import settle
from kit.scene import KEY, Scene

from tokend.errors import StoreError
from tokend.follower import Follower
from tokend.model import State
from tokend.schedule import Schedule
from tokend.store.local import LocalStore

if TYPE_CHECKING:
    import pytest
    from kit.clock import ManualClock


async def test_what_is_due_is_started_and_what_is_not_is_not(clock: ManualClock) -> None:
    schedule = Schedule(clock)
    now, later = due_in(clock, 0), due_in(clock, 60)
    schedule.plan(later)
    schedule.plan(now)

    await schedule.look()

    assert (len(now.starts), len(later.starts)) == (1, 0)


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
    follower = Follower(LocalStore(scene.table, clock), {KEY.record: other}, scene.terms, clock)
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
    follower = Follower(store, {KEY.record: other}, scene.terms, clock)

    async def away(_: int) -> None:
        raise StoreError("away")

    with monkeypatch.context() as patched:
        patched.setattr(store, "changes", away)
        await follower.look()
    await schedule.look()
    await settle()
    await follower.look()

    assert other.status().state is State.FRESH
