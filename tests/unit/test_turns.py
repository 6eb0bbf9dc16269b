"""Many who wait are woken a few at a time, in their order, and everything else runs in between."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from tokend.api.turns import Turns

NUMBER = 1000
MOST_AT_ONCE = 16


def waiting(number: int) -> list[asyncio.Future[None]]:
    return [asyncio.get_running_loop().create_future() for _ in range(number)]


async def test_no_turn_of_the_loop_wakes_more_than_a_few() -> None:
    turns, waiters = Turns(), waiting(NUMBER)
    woken = [0]
    for waiter in waiters:
        turns.add(waiter)

    while woken[-1] < NUMBER:
        await asyncio.sleep(0)
        woken.append(sum(waiter.done() for waiter in waiters))

    assert max(b - a for a, b in pairwise(woken)) <= MOST_AT_ONCE
    assert len(woken) <= NUMBER / MOST_AT_ONCE + 3


async def test_who_came_first_is_woken_first() -> None:
    turns, waiters = Turns(), waiting(NUMBER)
    order: list[int] = []
    for number, waiter in enumerate(waiters):
        waiter.add_done_callback(lambda _, number=number: order.append(number))
        turns.add(waiter)

    await asyncio.gather(*waiters)
    await asyncio.sleep(0)

    assert order == list(range(NUMBER))


async def test_who_comes_later_is_woken_too_and_not_before_the_others() -> None:
    turns, (*first, late) = Turns(), waiting(3 * MOST_AT_ONCE)
    for waiter in first:
        turns.add(waiter)
    await asyncio.sleep(0)

    turns.add(late)
    await late

    assert all(waiter.done() for waiter in first)


async def test_who_has_gone_meanwhile_or_is_named_twice_does_no_harm() -> None:
    turns, (gone, twice, other) = Turns(), waiting(3)
    for waiter in (gone, twice, twice, other):
        turns.add(waiter)
    gone.cancel()

    await asyncio.gather(twice, other)

    assert gone.cancelled()


async def test_after_all_were_woken_others_may_come() -> None:
    turns, (one, two) = Turns(), waiting(2)
    turns.add(one)
    await one

    turns.add(two)
    async with asyncio.timeout(10):
        await two
