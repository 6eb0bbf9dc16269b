"""What a reader of events is told, by what he knows: on a clock moved by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.clock import settle
from kit.scene import Scene, started

from tokend.api.rendered import Rendered
from tokend.api.stream import Stream, retry

if TYPE_CHECKING:
    from kit.clock import ManualClock

    from tokend.keeper import Keeper

NOTHING = b":\n"
LIFE = 7200
MICROSECONDS = 1_000_000


class Telling:
    """A reader of a node of its own; *given* are the generations that he got."""

    def __init__(self, scene: Scene, keeper: Keeper, known: int = 0) -> None:
        self.scene = scene
        self.keeper = keeper
        self.given: list[int] = []
        self.stream = Stream(keeper, known, Rendered(), self.given.append)

    def event(self) -> str:
        """The name of what he is told now."""
        told = self.stream.news(self.scene.clock.wall())
        if told == NOTHING:
            return ""
        number, name, data, *rest = told.decode().split("\n")
        assert number == f"id: {self.keeper.generation}"
        assert data.startswith("data: {")
        assert json.loads(data.removeprefix("data: "))
        assert rest == ["", ""]
        return name.removeprefix("event: ")

    async def rotated(self, *, alive: bool = True) -> None:
        """Another node has refreshed it."""
        kept = self.scene.table.kept
        generation = kept.generation + 1
        self.scene.table.kept = replace(
            kept,
            value=f"value{generation}",
            generation=generation,
            fence=generation,
            stored_at=self._now(),
            expires_at=self._now() + LIFE * MICROSECONDS * alive,
        )
        await self.scene.notice(self.keeper)

    async def prolonged(self) -> None:
        """Another node was given the same token, with a new life."""
        kept = self.scene.table.kept
        self.scene.table.kept = replace(
            kept,
            fence=kept.fence + 1,
            stored_at=self._now(),
            expires_at=self._now() + LIFE * MICROSECONDS,
        )
        await self.scene.notice(self.keeper)

    async def renumbered(self) -> None:
        """Another node has stored the same token under a number of its own."""
        kept = self.scene.table.kept
        number = kept.generation + 1
        self.scene.table.kept = replace(kept, generation=number, fence=number)
        await self.scene.notice(self.keeper)

    def _now(self) -> int:
        return int(self.scene.clock.wall().timestamp()) * MICROSECONDS


@pytest.fixture
async def telling(clock: ManualClock) -> Telling:
    scene = Scene(clock)
    keeper, _ = await started(scene)
    return Telling(scene, keeper)


async def test_each_token_is_told_once(telling: Telling) -> None:
    told = [telling.event(), telling.event()]
    await telling.rotated()
    told += [telling.event(), telling.event()]

    assert told == ["token", "", "token", ""]
    assert telling.given == sorted(set(telling.given))
    assert len(telling.given) == 2


async def test_of_several_that_were_missed_the_newest_is_told(telling: Telling) -> None:
    telling.event()
    for _ in range(3):
        await telling.rotated()

    assert [telling.event(), telling.event()] == ["token", ""]
    assert telling.given[-1] == telling.keeper.generation


async def test_the_end_is_told_once_whichever_token_the_reader_had(telling: Telling) -> None:
    telling.event()
    await telling.rotated()
    await telling.scene.clock.advance(LIFE)

    assert [telling.event(), telling.event()] == ["expired", ""]
    assert telling.stream.known == telling.keeper.generation


async def test_a_token_that_comes_dead_leaves_nothing_to_tell(telling: Telling) -> None:
    """Else the stream would look again and again for what is newer."""
    telling.event()
    await telling.scene.clock.advance(LIFE)
    telling.event()
    await telling.rotated(alive=False)

    assert telling.event() == ""
    assert telling.stream.known == telling.keeper.generation


async def test_after_the_end_the_next_token_is_told(telling: Telling) -> None:
    await telling.scene.clock.advance(LIFE)
    before = telling.event()
    await telling.rotated()

    assert (before, telling.event(), telling.event()) == ("expired", "token", "")


async def test_a_token_that_lives_again_is_told_again(telling: Telling) -> None:
    telling.event()
    await telling.scene.clock.advance(LIFE)
    telling.event()
    await telling.prolonged()

    assert [telling.event(), telling.event()] == ["token", ""]


@pytest.mark.parametrize("lives", [True, False])
async def test_who_knows_more_than_this_node_is_told_nothing(
    telling: Telling, *, lives: bool
) -> None:
    knowing = Telling(telling.scene, telling.keeper, known=telling.keeper.generation + 1)
    if not lives:
        await telling.scene.clock.advance(LIFE)

    assert knowing.event() == ""


@pytest.mark.parametrize(
    ("passed", "patience"),
    [
        pytest.param(0, 15, id="heartbeat"),
        pytest.param(LIFE - 7, 7, id="the end of the token comes sooner"),
        pytest.param(LIFE - 1, 1, id="a second at least"),
        pytest.param(LIFE, 15, id="it has ended"),
    ],
)
async def test_it_has_something_to_tell_by_then(
    telling: Telling, passed: int, patience: int
) -> None:
    await telling.scene.clock.advance(passed)
    telling.event()

    assert telling.stream.patience == timedelta(seconds=patience)


def test_retry_is_in_milliseconds() -> None:
    assert retry(timedelta(seconds=2.5)) == b"retry: 2500\n"


async def test_the_json_is_written_once_a_second_for_all(telling: Telling) -> None:
    rendered, scene, keeper = Rendered(), telling.scene, telling.keeper

    def written() -> bytes:
        return rendered.json(keeper, keeper.current(), scene.clock.wall())

    first = written()
    same = written()
    await scene.clock.advance(1)
    later = written()
    await telling.rotated()
    await settle()
    other = written()

    assert same is first
    assert [json.loads(each)["expires_in"] for each in (first, later, other)] == [7200, 7199, 7200]
    assert json.loads(other)["access_token"] == keeper.current().token.value.reveal()
    assert b"\n" not in first


async def test_what_is_doubtful_or_told_by_another_clock_is_written_anew(telling: Telling) -> None:
    rendered, scene, keeper = Rendered(), telling.scene, telling.keeper
    before = rendered.json(keeper, keeper.current(), scene.clock.wall())
    await telling.renumbered()
    renumbered = rendered.json(keeper, keeper.current(), scene.clock.wall())
    scene.clock.jump_wall(timedelta(hours=1))
    jumped = rendered.json(keeper, keeper.current(), scene.clock.wall())
    scene.table.kept = replace(scene.table.kept, suspect=True)
    await scene.notice(keeper)
    doubtful = rendered.json(keeper, keeper.current(), scene.clock.wall())

    assert json.loads(renumbered)["generation"] == keeper.generation
    assert json.loads(jumped)["expires_at"] != json.loads(before)["expires_at"]
    assert [json.loads(each)["state"] for each in (before, doubtful)] == ["fresh", "suspect"]
