"""Steps in turn, the next one under way while one is used; and work beside something."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import chain

import pytest
from kit.clock import settle

from tokend import tasks


class Steps:
    """Each comes to its number, once it may end."""

    def __init__(self, number: int) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.may_end = [asyncio.Event() for _ in range(number)]

    async def step(self, number: int) -> int:
        self.begun.append(number)
        try:
            await self.may_end[number].wait()
        finally:
            self.ended.append(number)
        return number

    def __iter__(self):
        return map(self.step, range(len(self.may_end)))


async def test_the_next_step_is_under_way_and_no_other() -> None:
    steps = Steps(4)
    for each in steps.may_end[:2]:
        each.set()

    async with aclosing(tasks.ahead(steps)) as results:
        assert await anext(results) == 0
        await settle()

        assert (steps.begun, steps.ended) == ([0, 1], [0, 1])
        assert await anext(results) == 1
        await settle()
        assert (steps.begun, steps.ended) == ([0, 1, 2], [0, 1])


async def test_results_come_in_turn() -> None:
    steps = Steps(5)
    for each in steps.may_end:
        each.set()

    assert [each async for each in tasks.ahead(steps)] == [0, 1, 2, 3, 4]
    assert [each async for each in tasks.ahead(())] == []


async def test_with_who_used_them_the_next_step_ends_too() -> None:
    steps = Steps(3)
    steps.may_end[0].set()

    async with aclosing(tasks.ahead(steps)) as results:
        await anext(results)
        await settle()

    assert steps.ended == [0, 1]


async def test_after_a_step_that_fails_nothing_is_left_running() -> None:
    steps = Steps(2)

    async def fail() -> int:
        raise OSError("away")

    async with aclosing(tasks.ahead(chain([fail()], steps))) as results:
        with pytest.raises(OSError, match="away"):
            await anext(results)

    assert steps.ended == steps.begun
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_runs_beside_something_has_ended_with_it() -> None:
    steps = Steps(1)

    async with tasks.running(steps.step(0)):
        await settle()
        assert (steps.begun, steps.ended) == ([0], [])

    assert steps.ended == [0]
