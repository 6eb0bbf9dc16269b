"""What nodes make of a store in which somebody else alters, removes and puts back records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.clock import settle
from kit.scene import KEY, Scene, started
from structlog.testing import capture_logs

from tokend.errors import NotReady
from tokend.follower import Follower
from tokend.model import Secret, State
from tokend.store.local import LocalStore
from tokend.store.seal_key import parse_keys
from tokend.store.seals import TOLERANCE

if TYPE_CHECKING:
    from kit.clock import ManualClock

    from tokend.keeper import Keeper
    from tokend.schedule import Schedule

SEALS = parse_keys([Secret("0" * 64)])


@pytest.fixture(params=["stable_token", "token"])
def sealed(request: pytest.FixtureRequest, clock: ManualClock) -> Scene:
    return Scene(clock, method=request.param, seals=SEALS)


@pytest.fixture
def classic(clock: ManualClock) -> Scene:
    return Scene(clock, method="token", seals=SEALS)


def break_seal(scene: Scene) -> None:
    sound = scene.table.kept
    scene.table.kept = replace(sound, value=sound.value[:-8] + "AAAAAAAA")


async def look(schedule: Schedule) -> None:
    await schedule.look()
    await settle()


def alarms(logs: list[dict[str, object]]) -> list[dict[str, object]]:
    return [line for line in logs if line["event"] == "record_unreadable"]


async def stored(scene: Scene) -> str:
    token = await LocalStore(scene.table, scene.clock, scene.seals).load(KEY)
    assert token is not None
    return token.value.reveal()


async def test_a_broken_record_is_found_served_on_told_once_and_put_back(sealed: Scene) -> None:
    keeper, schedule = await started(sealed)
    before = keeper.current().token
    follower = Follower(
        LocalStore(sealed.table, sealed.clock, SEALS),
        {KEY.record: keeper},
        sealed.clock,
    )
    await follower.look()
    break_seal(sealed)

    with capture_logs() as logs:
        for _ in range(5):
            await follower.look()
            await sealed.clock.advance(11)
    trouble = keeper.status().record_trouble
    served = keeper.current().token
    await look(schedule)
    await sealed.notice(keeper)

    assert len(alarms(logs)) == 1
    assert "altered" in str(trouble)
    assert served.value == before.value
    assert await stored(sealed) == before.value.reveal()
    assert keeper.status().record_trouble is None
    assert keeper.current().token.generation == before.generation
    assert sealed.calls() == 1


async def test_a_record_that_changes_all_the_time_does_not_fill_the_log(classic: Scene) -> None:
    keeper, _ = await started(classic)

    with capture_logs() as logs:
        for n in range(60):
            classic.table.kept = replace(classic.table.kept, value=f"sealed:{n}")
            await classic.notice(keeper)
            await classic.clock.advance(1)

    assert 5 <= len(alarms(logs)) <= 7


async def restart(scene: Scene) -> tuple[Keeper, Schedule]:
    keeper, schedule = scene.node()
    await look(schedule)
    return keeper, schedule


async def test_nodes_that_start_on_a_broken_record_spend_no_more_than_the_budget(
    classic: Scene,
) -> None:
    await started(classic)
    await classic.clock.advance(61)

    refused = 0
    for _ in range(100):
        break_seal(classic)
        keeper, _ = await restart(classic)
        refused += keeper.status().state is State.MISSING
        await classic.clock.advance(7)

    assert refused + classic.calls() - 1 == 100
    assert 10 <= classic.calls() - 1 <= 100 * 7 / 60 + 1


async def test_a_node_that_may_not_ask_says_why_and_asks_when_it_may(classic: Scene) -> None:
    await started(classic)
    break_seal(classic)
    await restart(classic)
    break_seal(classic)
    keeper, schedule = await restart(classic)

    with pytest.raises(NotReady, match="less than 60 s ago"):
        keeper.current()
    for _ in range(59):
        await look(schedule)
        await classic.clock.advance(1)
    calls = classic.calls()
    await classic.clock.advance(2)
    await look(schedule)

    assert calls == 2
    assert keeper.current().state is State.FRESH
    assert classic.calls() == 3


async def test_a_node_that_may_not_ask_takes_what_another_puts_back(classic: Scene) -> None:
    one, schedule = await started(classic)
    break_seal(classic)
    await restart(classic)
    break_seal(classic)
    other, _ = await restart(classic)

    await classic.notice(one)
    await look(schedule)
    await classic.notice(other)

    assert other.current().state is State.FRESH
    assert classic.calls() == 2


async def test_where_asking_is_free_a_broken_record_costs_nothing(clock: ManualClock) -> None:
    stable = Scene(clock, seals=SEALS)
    one, _ = await started(stable)

    break_seal(stable)
    other, _ = await restart(stable)

    assert other.current().token.value == one.current().token.value


async def test_an_operator_gets_a_token_where_the_budget_refuses_one(classic: Scene) -> None:
    await started(classic)
    for _ in range(classic.terms.daily):
        break_seal(classic)
        await restart(classic)
        await classic.clock.advance(61)
    break_seal(classic)
    refused, _ = await restart(classic)

    answer = (await refused.refresh(rejected=None, by="x")).answer

    assert classic.world.is_valid(answer.token.value.reveal(), classic.clock.now())


@pytest.mark.parametrize("claim", ["as it was", "a newer generation", "a newer fence"])
async def test_an_older_record_does_not_replace_a_newer_token(sealed: Scene, claim: str) -> None:
    keeper, schedule = await started(sealed)
    old = sealed.table.kept
    await sealed.clock.advance(61)
    newer = (await keeper.refresh(rejected=None, by="x")).answer.token
    latest = sealed.table.kept
    changes = {
        "as it was": {},
        "a newer generation": {"generation": latest.generation + 5},
        "a newer fence": {"generation": latest.generation + 5, "fence": latest.fence + 5},
    }
    sealed.table.kept = replace(old, **changes[claim])

    await sealed.notice(keeper)
    served = keeper.current().token
    await look(schedule)

    assert served.value == newer.value
    assert await stored(sealed) == newer.value.reveal()


async def test_a_life_made_longer_in_the_store_ends_when_the_seal_says(sealed: Scene) -> None:
    first, _ = await started(sealed)
    ends = first.current().token.expires_at
    sound = sealed.table.kept
    day = 86_400_000_000
    sealed.table.kept = replace(sound, expires_at=sound.expires_at + day, stored_at=sound.stored_at)

    keeper, _ = await restart(sealed)

    assert keeper.current().token.expires_at <= ends + TOLERANCE


async def test_nodes_whose_clocks_differ_agree_on_the_end(sealed: Scene) -> None:
    first, _ = await started(sealed)
    sealed.clock.jump_wall(timedelta(minutes=4))

    loaded = await LocalStore(sealed.table, sealed.clock, SEALS).load(KEY)

    assert loaded is not None
    assert sealed.clock.to_wall(loaded.expires_at) - sealed.clock.wall() >= timedelta(seconds=6900)
    assert first.current().token.value == loaded.value


async def test_a_plain_record_that_somebody_planted_is_not_served(sealed: Scene) -> None:
    keeper, _ = await started(sealed)
    sealed.table.kept = replace(sealed.table.kept, value="92_planted")

    await sealed.notice(keeper)
    newcomer, _ = await restart(sealed)

    for node in (keeper, newcomer):
        assert sealed.is_valid(node) or sealed.method == "token"
        assert node.current().token.value != Secret("92_planted")


async def test_poisoned_numbers_end_with_the_record_that_has_them(sealed: Scene) -> None:
    keeper, schedule = await started(sealed)
    sealed.table.kept = replace(sealed.table.kept, generation=8 * 10**15)

    await sealed.notice(keeper)
    await look(schedule)
    await sealed.notice(keeper)

    assert keeper.status().record_trouble is None
    assert await stored(sealed) == keeper.current().token.value.reveal()
