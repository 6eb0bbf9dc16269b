"""Very many keys: which goes first, how many at once, and what does not grow with their number."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest
from kit.clock import settle
from kit.scene import DirectTransport

from tokend.config import AppConfig
from tokend.config.accounts import SecretIn, Upkeep
from tokend.errors import NotReady
from tokend.fleet import Fleet
from tokend.follower import Follower
from tokend.model import App, Platform, Secret, State
from tokend.policy import stable_pace
from tokend.schedule import Schedule
from tokend.simulator.account import Account
from tokend.simulator.world import World
from tokend.store.local import LocalStore
from tokend.store.memory import MemoryTable
from tokend.summary import RollCall
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.clock import ManualClock

    from tokend.keeper import Keeper
    from tokend.model import TokenKey

TERMS = Terms(reconcile=timedelta(0), at_once=8)
PATIENCE = timedelta(seconds=5)


class Counting(LocalStore):
    """Counts in how many steps it is read, and how many records."""

    steps = 0
    read = 0

    async def load_many(self, keys: Sequence[TokenKey]):
        self.steps += 1
        self.read += len(keys)
        return await super().load_many(keys)


class Crowd:
    """So many apps on one node, the ``access_token`` of each."""

    def __init__(self, clock: ManualClock, apps: int) -> None:
        self.clock = clock
        names = [f"app{number}" for number in range(apps)]
        accounts = [
            Account(appid=f"wx{n:016x}", secret=name, random=Random(n))
            for n, name in enumerate(names)
        ]
        self.wechat = DirectTransport(World(accounts, Random(1)), clock)
        self.table = MemoryTable()
        self.tasks: set[asyncio.Task[object]] = set()
        upkeep = Upkeep(
            type="official",
            method="stable_token",
            ahead_seconds=300,
            terms=TERMS,
            paces=(("access_token", stable_pace(timedelta(seconds=300), TERMS)),),
        )
        self.apps = {
            name: AppConfig(
                app=App(name=name, appid=f"wx{n:016x}", secret=Secret(name)),
                upkeep=upkeep,
                secret_in=SecretIn("secret_file", f"{name}.secret"),
            )
            for n, name in enumerate(names)
        }
        self.node()

    def node(self) -> None:
        """One that has just started."""
        self.schedule = Schedule(self.clock, most_at_once=TERMS.at_once)
        self.planned: list[Keeper] = []
        self.store = Counting(self.table, self.clock)
        self.fleet = Fleet(
            store=self.store,
            transports=dict.fromkeys(Platform, self.wechat),
            terms=TERMS,
            on_plan=self._plan,
            on_token=lambda _, __: None,
            on_event=lambda _, __: None,
            on_retire=lambda _: None,
            spawn=self._spawn,
            clock=self.clock,
        )
        self.fleet.apply(self.apps)
        self.follower = Follower(self.store, self.fleet.records, self.clock)

    def keeper(self, number: int) -> Keeper:
        return self.fleet.keepers[f"app{number}/access_token"]

    @property
    def asked(self) -> list[int]:
        """Whom WeChat was asked for, in this order."""
        return [int(json.loads(request.body)["secret"][3:]) for request in self.wechat.sent]

    async def look(self) -> None:
        await self.schedule.look()
        await settle()

    async def land_all(self) -> None:
        self.wechat.let_go()
        while self.tasks:
            await settle()

    def _plan(self, keeper: Keeper) -> None:
        self.planned.append(keeper)
        self.schedule.plan(keeper)

    def _spawn(self, flight):
        task = asyncio.get_running_loop().create_task(flight)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


async def test_a_cold_start_of_many_keys_asks_for_a_few_at_once_until_all_are_there(
    clock: ManualClock,
) -> None:
    crowd = Crowd(clock, 100)
    crowd.wechat.hold()

    await crowd.look()
    at_once = len(crowd.wechat.sent)
    await crowd.land_all()

    assert at_once == TERMS.at_once
    assert sorted(crowd.asked) == list(range(100))


async def test_a_key_that_somebody_waits_for_comes_before_those_nobody_has_asked_for(
    clock: ManualClock,
) -> None:
    crowd = Crowd(clock, 100)
    crowd.wechat.hold()
    await crowd.look()
    wanted = next(number for number in range(100) if number not in crowd.asked)

    reader = asyncio.create_task(crowd.keeper(wanted).ready(PATIENCE))
    await settle()
    await crowd.look()
    crowd.wechat.let_go()
    answer = await reader
    position = crowd.asked.index(wanted)
    await crowd.land_all()

    assert answer.state is State.FRESH
    assert position == TERMS.at_once


async def test_what_a_caller_asks_for_does_not_wait_for_what_is_scheduled(
    clock: ManualClock,
) -> None:
    crowd = Crowd(clock, 100)
    crowd.wechat.hold()
    await crowd.look()
    wanted = next(number for number in range(100) if number not in crowd.asked)

    asking = asyncio.create_task(crowd.keeper(wanted).refresh(rejected=None, by="operator"))
    await settle()
    asked = crowd.asked[-1]
    await crowd.land_all()

    assert asked == wanted
    assert (await asking).refreshed


async def test_of_tokens_that_are_due_the_one_that_ends_first_is_replaced_first(
    clock: ManualClock,
) -> None:
    crowd = Crowd(clock, 40)
    await crowd.look()
    await crowd.land_all()
    for number in range(40):  # the greater its number the sooner it ends
        await _shorten(crowd, number, timedelta(seconds=6950 + number))
    crowd.node()
    await crowd.follower.look_at_all()
    del crowd.wechat.sent[:]

    await crowd.look()
    await crowd.land_all()

    first = crowd.asked[: TERMS.at_once]
    assert first == list(range(39, 39 - TERMS.at_once, -1))
    assert sorted(crowd.asked) == list(range(40))


async def test_a_living_token_that_is_due_comes_before_keys_nobody_has_asked_for(
    clock: ManualClock,
) -> None:
    crowd = Crowd(clock, 40)
    await crowd.look()
    await crowd.land_all()
    for number in range(40):
        await _shorten(crowd, number, timedelta(seconds=7000 if number == 7 else 8000))
    crowd.node()
    await crowd.follower.look_at_all()
    del crowd.wechat.sent[:]

    await crowd.look()

    assert crowd.asked[0] == 7


async def test_a_reader_of_a_key_that_waits_for_its_turn_gives_up_in_the_end(
    clock: ManualClock,
) -> None:
    crowd = Crowd(clock, 100)
    crowd.wechat.hold()
    await crowd.look()
    wanted = next(number for number in range(100) if number not in crowd.asked)

    with pytest.raises(NotReady, match="missing"):
        await crowd.keeper(wanted).ready(timedelta(seconds=0.05))
    await crowd.land_all()


async def test_a_full_store_is_read_in_few_steps_and_wechat_asked_nothing(
    clock: ManualClock,
) -> None:
    crowd = Crowd(clock, 1000)
    await crowd.look()
    await crowd.land_all()
    crowd.node()
    del crowd.wechat.sent[:]

    await crowd.follower.look_at_all()
    await crowd.look()

    assert all(keeper.state(clock.now()) is State.FRESH for keeper in crowd.fleet.keepers.values())
    assert crowd.store.steps == 4
    assert crowd.asked == []


@pytest.mark.parametrize("apps", [200, 2000])
async def test_a_turn_of_the_follower_costs_the_same_whatever_the_number_of_keys(
    clock: ManualClock, apps: int
) -> None:
    crowd = Crowd(clock, apps)
    await crowd.follower.look()

    for _ in range(10):
        await crowd.follower.look()

    assert crowd.store.steps <= 10
    assert crowd.store.read <= 10 * 50


async def test_whoever_alters_records_silently_is_found_out_within_a_round(
    clock: ManualClock,
) -> None:
    crowd = Crowd(clock, 120)
    await crowd.look()
    await crowd.land_all()
    await crowd.follower.look()
    for key in [each.key for each in crowd.fleet.keepers.values()]:
        crowd.table._records.pop(key.record)  # noqa: SLF001, and announces nothing

    for _ in range(6):
        clock.suspend(timedelta(seconds=2))
        await crowd.follower.look()

    tokens = [keeper.token for keeper in crowd.fleet.keepers.values()]
    assert not any(token.stored for token in tokens)


async def test_a_refresh_is_planned_once_it_has_ended(clock: ManualClock) -> None:
    """What it needs on the way, such as to be stored, it is about to do."""
    crowd = Crowd(clock, 1)
    crowd.planned.clear()

    await crowd.look()
    await crowd.land_all()

    assert crowd.planned == [crowd.keeper(0)]


async def test_what_others_announce_does_not_have_all_records_looked_through_sooner(
    clock: ManualClock,
) -> None:
    """With many nodes there is an announcement in each moment."""
    crowd = Crowd(clock, 400)
    await crowd.look()
    await crowd.land_all()
    await crowd.follower.look()
    before = crowd.store.read

    for _ in range(8):
        await crowd.follower.look()
        clock.suspend(timedelta(milliseconds=200))

    assert crowd.store.read - before <= 50


async def test_a_summary_of_very_many_keys_is_made_piece_by_piece(clock: ManualClock) -> None:
    crowd = Crowd(clock, 1)
    keeper = crowd.keeper(0)
    looks = 0

    class Watched:
        def status(self):
            nonlocal looks
            looks += 1
            return keeper.status()

    roll = RollCall({str(number): Watched() for number in range(10_000)})
    first, seen = roll.go_on(), looks
    second = roll.go_on()

    assert first is None
    assert seen == 5000
    assert second is not None
    line = second.line(mistakes=(), store_trouble=None, now=clock.wall())
    assert line.startswith("10000 keys: 10000 missing; next refresh app0/access_token")


async def _shorten(crowd: Crowd, number: int, by: timedelta) -> None:
    """Let the kept token of an app be older by so much."""

    def step(record):
        earlier = by // timedelta(microseconds=1)
        return replace(
            record, expires_at=record.expires_at - earlier, stored_at=record.stored_at - earlier
        )

    await crowd.table.update(crowd.keeper(number).key.record, step)


async def test_once_tokend_stops_what_waits_for_its_turn_is_not_begun(clock: ManualClock) -> None:
    """What is under way ends; else each refresh that ends would begin another one."""
    crowd = Crowd(clock, 100)
    crowd.wechat.hold()
    async with crowd.schedule.running():
        await settle()

    await crowd.land_all()

    assert len(crowd.asked) == TERMS.at_once
