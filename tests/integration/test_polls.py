"""How many long polls may wait, and that those who wait are not all answered at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from kit.clock import settle
from kit.scene import Scene

from tokend.api.access import OPERATOR
from tokend.api.polls import Polls
from tokend.errors import Crowded, TooManyPolls
from tokend.model import Client

if TYPE_CHECKING:
    from kit.clock import ManualClock

    from tokend.keeper import Keeper

MINUTE = timedelta(minutes=1)
NUMBER, MOST_AT_ONCE = 1000, 16
ONE, TWO = (Client(name=name, key_sha256="", apps=None, can=frozenset()) for name in ("one", "two"))


@pytest.fixture
async def keeper(clock: ManualClock) -> Keeper:
    keeper, schedule = Scene(clock).node()
    await schedule.look()
    await settle()
    return keeper


def room(*, most: int, most_per_client: int = 0) -> Polls:
    """For so many, and as many of one client if nothing else is said."""
    each = most_per_client or most
    return Polls(most=most, most_per_client=each, most_at_socket=each)


async def waiting(polls: Polls, keeper: Keeper, *clients: Client) -> list[asyncio.Task]:
    """A long poll of each."""
    after = keeper.current().token.generation
    tasks = [asyncio.create_task(polls.newer(keeper, after, MINUTE, client)) for client in clients]
    await settle()
    return tasks


async def test_a_client_leaves_room_for_the_others(keeper: Keeper) -> None:
    polls = room(most=10, most_per_client=2)

    *tasks, refused, other = await waiting(polls, keeper, ONE, ONE, ONE, TWO)

    with pytest.raises(TooManyPolls, match="one: 2 long polls wait already"):
        await refused
    await polls.end(None)
    assert await asyncio.gather(*tasks, other) == [None, None, None]


async def test_there_is_room_for_so_many(keeper: Keeper) -> None:
    polls = room(most=2)

    *tasks, refused = await waiting(polls, keeper, ONE, TWO, TWO)

    with pytest.raises(Crowded):
        await refused
    await polls.end(None)
    await asyncio.gather(*tasks)


async def test_who_was_answered_makes_room(keeper: Keeper) -> None:
    polls = room(most=1)
    older = keeper.current().token.generation - 1

    for _ in range(3):
        assert await polls.newer(keeper, older, MINUTE, ONE)


async def test_who_waits_no_longer_is_forgotten(keeper: Keeper) -> None:
    """However it ended: answered, tired of it, or gone."""
    polls = room(most=3)
    answered, gone, tired = await waiting(polls, keeper, ONE, ONE, ONE)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await keeper.refresh(rejected=None, by="x")
    await asyncio.gather(answered, tired)

    assert await polls.newer(keeper, keeper.generation, timedelta(0), ONE) is None
    assert not keeper.watchers
    assert all(await asyncio.gather(answered, tired))


async def test_others_have_their_turn_while_a_crowd_is_answered(keeper: Keeper) -> None:
    polls = room(most=NUMBER)
    tasks = await waiting(polls, keeper, *[ONE] * NUMBER)
    refresh = asyncio.create_task(keeper.refresh(rejected=None, by="x"))

    answered = await answered_by_turns(tasks)
    await refresh

    assert max(b - a for a, b in pairwise(answered)) <= MOST_AT_ONCE
    assert all(task.result() for task in tasks)


async def test_a_crowd_that_has_waited_in_vain_is_not_answered_at_once_either(
    keeper: Keeper,
) -> None:
    polls = room(most=NUMBER)
    after = keeper.generation
    tasks = [
        asyncio.create_task(polls.newer(keeper, after, timedelta(0), ONE)) for _ in range(NUMBER)
    ]

    answered = await answered_by_turns(tasks)

    assert max(b - a for a, b in pairwise(answered)) <= MOST_AT_ONCE
    assert not any(task.result() for task in tasks)


async def test_when_tokend_stops_a_crowd_is_answered_and_nobody_waits_any_more(
    keeper: Keeper,
) -> None:
    polls = room(most=NUMBER)
    tasks = await waiting(polls, keeper, *[ONE] * NUMBER)
    await polls.end(None)

    answered = await answered_by_turns(tasks)
    async with asyncio.timeout(10):
        late = await polls.newer(keeper, keeper.generation, MINUTE, ONE)

    assert max(b - a for a, b in pairwise(answered)) <= MOST_AT_ONCE
    assert not any(task.result() for task in tasks)
    assert late is None


async def test_those_at_the_socket_have_a_limit_of_their_own(keeper: Keeper) -> None:
    polls = Polls(most=10, most_per_client=2, most_at_socket=1)

    *tasks, refused = await waiting(polls, keeper, ONE, ONE, OPERATOR, OPERATOR)

    with pytest.raises(TooManyPolls, match="socket: 1 long polls wait already"):
        await refused
    await polls.end(None)
    await asyncio.gather(*tasks)


async def answered_by_turns(tasks: list[asyncio.Task]) -> list[int]:
    """How many were answered after each turn of the event loop."""
    answered = [0]
    async with asyncio.timeout(60):
        while answered[-1] < len(tasks):
            await asyncio.sleep(0)
            answered.append(sum(task.done() for task in tasks))
    return answered
