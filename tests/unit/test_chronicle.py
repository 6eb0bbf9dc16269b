"""What happens to keys is told: each thing once, in order, and to who was away as well."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.clock import settle
from kit.scene import KEY, Scene, started

from tokend.chronicle import Chronicle
from tokend.errors import NotReady, RefreshLimited, UpstreamRefused, UpstreamUnreachable
from tokend.happening import Happening, What
from tokend.model import State
from tokend.plan import Purpose

if TYPE_CHECKING:
    from kit.clock import ManualClock

    from tokend.chronicle import Event
    from tokend.errors import TokendError
    from tokend.keeper import Keeper
    from tokend.schedule import Schedule

AWAY = UpstreamUnreachable("nobody there")


@pytest.fixture
def scene(clock: ManualClock) -> Scene:
    return Scene(clock)


def told(scene: Scene) -> list[tuple[str, str]]:
    """What, and how the key was then."""
    (events,) = scene.chronicle.of([KEY]).values()
    return [(event.happening.what, event.status.state) for event in reversed(events)]


async def later(scene: Scene, schedule: Schedule, seconds: float) -> None:
    scene.clock.suspend(timedelta(seconds=seconds))
    await schedule.look()
    await settle()


def watched(scene: Scene, keeper: Keeper) -> None:
    """As the roll call does, each time the watchdog looks."""
    scene.chronicle.look(keeper.status())


async def test_a_refresh_tells_what_it_was_for_and_how_long_it_took(scene: Scene) -> None:
    scene.wechat.hold()
    _, schedule = scene.node()
    await schedule.look()
    await settle()
    scene.clock.suspend(timedelta(seconds=2))
    scene.wechat.let_go()
    await settle()

    ((event,),) = scene.chronicle.of([KEY]).values()

    assert event.happening == Happening(
        what=What.REFRESHED, purpose=Purpose.REFRESH, took=timedelta(seconds=2)
    )
    assert (event.status.state, event.status.refreshing) == (State.FRESH, False)
    assert event.at == scene.clock.wall()


async def test_the_same_token_again_is_no_other_one(scene: Scene) -> None:
    keeper, _ = await started(scene)

    await keeper.check(timedelta(0))
    await settle()

    assert told(scene) == [("refreshed", "fresh"), ("unchanged", "fresh")]


async def test_trouble_is_told_from_its_beginning_to_its_end(scene: Scene) -> None:
    keeper, schedule = await started(scene)
    scene.wechat.troubles += [AWAY, AWAY]

    await later(scene, schedule, 6950)
    await later(scene, schedule, 10)
    await later(scene, schedule, 20)
    watched(scene, keeper)

    assert told(scene) == [
        ("refreshed", "fresh"),
        ("failed", "stale"),
        ("failed", "stale"),
        ("refreshed", "fresh"),
        ("recovered", "fresh"),
    ]


async def test_that_a_token_has_expired_is_told_once_though_nothing_happened_then(
    scene: Scene,
) -> None:
    keeper, schedule = await started(scene)
    scene.wechat.troubles += [AWAY]
    await later(scene, schedule, 7100)
    scene.clock.suspend(timedelta(seconds=200))

    watched(scene, keeper)
    watched(scene, keeper)
    await later(scene, schedule, 0)

    assert told(scene)[1:] == [
        ("failed", "stale"),
        ("expired", "expired"),
        ("refreshed", "fresh"),
        ("recovered", "fresh"),
    ]


async def test_a_key_that_never_had_a_token_is_in_trouble_once_that_has_failed(
    scene: Scene,
) -> None:
    scene.wechat.troubles += [AWAY]
    keeper, schedule = scene.node()
    watched(scene, keeper)
    await later(scene, schedule, 0)

    assert told(scene) == [("failed", "missing"), ("expired", "missing")]


async def test_what_other_nodes_do_is_told(scene: Scene) -> None:
    """What a node finds when it starts is not: it may be very many keys."""
    one, schedule = await started(scene)
    other, _ = scene.node()
    await scene.notice(other)
    at_first = scene.chronicle.last

    await later(scene, schedule, 6950)
    await scene.notice(other)
    scene.table.kept = replace(scene.table.kept, suspect=True)
    await scene.notice(other)
    scene.table.kept = replace(scene.table.kept, suspect=False)
    await scene.notice(other)
    scene.table.forget()
    await scene.notice(other)

    events = scene.chronicle.since(at_first)
    assert [event.happening.what for event in events] == [
        "refreshed",
        "adopted",
        "doubted",
        "cleared",
        "lost",
    ]
    assert one.generation == other.generation


async def test_who_asks_what_came_since_gets_each_once_and_in_order(scene: Scene) -> None:
    chronicle = scene.chronicle
    heard: list[Event] = []
    chronicle.listeners.append(heard.append)
    begun = chronicle.last

    keeper, _ = await started(scene)
    for _ in range(4):
        chronicle.add(keeper, Happening(what=What.LOST))

    numbers = [event.number for event in heard]
    assert numbers == list(range(begun + 1, begun + 6))
    assert chronicle.since(begun) == heard
    assert chronicle.since(numbers[2]) == heard[3:]
    assert chronicle.since(chronicle.last) == []


async def test_who_was_away_too_long_or_elsewhere_hears_that(
    scene: Scene, clock: ManualClock
) -> None:
    chronicle = scene.chronicle = Chronicle(clock, most=3)
    begun = chronicle.last
    keeper, _ = await started(scene)

    for _ in range(3):
        chronicle.add(keeper, Happening(what=What.LOST))

    assert chronicle.since(begun) is None
    assert len(chronicle.since(begun + 1)) == 3
    assert chronicle.since(chronicle.last + 1) is None
    clock.suspend(timedelta(seconds=1))
    assert Chronicle(clock).since(chronicle.last) is None


async def test_of_a_key_that_is_kept_no_more_no_trouble_is_known(scene: Scene) -> None:
    scene.wechat.troubles += [AWAY]
    keeper, schedule = scene.node()
    await later(scene, schedule, 0)

    scene.chronicle.forget(keeper)
    await later(scene, schedule, 60)

    assert told(scene)[-1] == ("refreshed", "fresh")


async def test_an_error_that_is_known_for_long_holds_on_to_nothing(scene: Scene) -> None:
    """Whoever waited for the refresh raises it, and so does the call that failed."""
    keeper, schedule = await started(scene)
    scene.wechat.troubles += [UpstreamUnreachable("nobody there")]
    with pytest.raises(UpstreamUnreachable, match="nobody there") as raised:
        await keeper.refresh(rejected=None, by="operator")

    error = keeper.status().error
    (events,) = scene.chronicle.of([KEY]).values()
    assert (type(error), str(error)) == (UpstreamUnreachable, "nobody there")
    assert raised.value is not error
    assert events[0].happening.error is error
    assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)
    await later(scene, schedule, 60)


@pytest.mark.parametrize(
    "error",
    [
        UpstreamRefused(errcode=40164, errmsg="invalid ip", advice="add it", rid="r"),
        NotReady("not yet", retry_after=timedelta(seconds=3), cause=AWAY),
        RefreshLimited("too often", retry_after=timedelta(seconds=9)),
    ],
    ids=type,
)
def test_an_error_that_is_raised_anew_says_the_same(error: TokendError) -> None:
    other = error.anew()

    assert other is not error
    assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))


async def test_of_a_key_that_is_kept_no_more_nothing_is_told_however_its_refresh_ends(
    scene: Scene,
) -> None:
    """Nobody would ever tell that it is well again."""
    keeper, schedule = await started(scene)
    before = told(scene)
    scene.wechat.troubles.append(AWAY)
    scene.wechat.hold()
    await later(scene, schedule, 7000)

    keeper.retire()
    scene.chronicle.forget(keeper)
    scene.wechat.let_go()
    await settle()

    assert told(scene) == before
