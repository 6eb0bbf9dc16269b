"""How many long polls may wait, and that those who wait are not all answered at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.clock import settle
from kit.scene import Scene

from tokend.api.polls import Polls
from tokend.errors import Crowded, TooManyPolls
from tokend.model import Client

if TYPE_CHECKING:
    from kit.clock import ManualClock

    from tokend.keeper import Keeper

MINUTE = timedelta(minutes=1)
ONE, TWO = (Client(name=name, key_sha256="", apps=None, can=frozenset()) for name in ("one", "two"))


@pytest.fixture
async def keeper(clock: ManualClock) -> Keeper:
    keeper, schedule = Scene(clock).node()
    await schedule.look()
    await settle()
    return keeper


async def waiting(polls: Polls, keeper: Keeper, *clients: Client) -> list[asyncio.Task]:
    """A long poll of each."""
    after = keeper.current().token.generation
    tasks = [asyncio.create_task(polls.newer(keeper, after, MINUTE, client)) for client in clients]
    await settle()
    return tasks


async def test_a_client_leaves_room_for_the_others(keeper: Keeper) -> None:
    polls = Polls(most=10, most_per_client=2)

    *tasks, refused, other = await waiting(polls, keeper, ONE, ONE, ONE, TWO)

    with pytest.raises(TooManyPolls, match="one: 2 long polls wait already"):
        await refused
    await polls.end(None)
    assert await asyncio.gather(*tasks, other) == [None, None, None]


async def test_there_is_room_for_so_many(keeper: Keeper) -> None:
    polls = Polls(most=2, most_per_client=2)

    *tasks, refused = await waiting(polls, keeper, ONE, TWO, TWO)

    with pytest.raises(Crowded):
        await refused
    await polls.end(None)
    await asyncio.gather(*tasks)


async def test_who_was_answered_makes_room(keeper: Keeper) -> None:
    polls = Polls(most=1, most_per_client=1)
    older = keeper.current().token.generation - 1

    for _ in range(3):
        assert await polls.newer(keeper, older, MINUTE, ONE)


@pytest.mark.parametrize(("number", "turns"), [(200, 0), (300, 100)])
async def test_a_crowd_is_answered_one_after_another(
    keeper: Keeper, number: int, turns: int
) -> None:
    drawn = []

    def draw() -> float:
        drawn.append(None)
        return 0.1

    polls = Polls(most=number, most_per_client=number, draw=draw)
    tasks = await waiting(polls, keeper, *[ONE] * number)
    await keeper.refresh(rejected=None, by="x")

    answers = await asyncio.gather(*tasks)

    assert all(answers)
    assert len(drawn) >= turns
    assert bool(drawn) is bool(turns)
