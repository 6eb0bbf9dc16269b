"""What one key serves, and when WeChat is asked for another token."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from kit.clock import settle
from kit.scene import APP, APPID, SECRET, Scene, started

from tokend.errors import (
    NotReady,
    RefreshLimited,
    StoreError,
    UpstreamRefused,
    UpstreamUnclear,
    UpstreamUnreachable,
)
from tokend.model import Issued, Secret, State, Token
from tokend.policy import PACES
from tokend.store.local import LocalStore
from tokend.terms import Terms

if TYPE_CHECKING:
    from kit.clock import ManualClock

    from tokend.model import Lease, TokenKey
    from tokend.schedule import Schedule

QUARANTINE = Terms().quarantine
PATIENCE = timedelta(seconds=5)


async def live(scene: Scene, schedule: Schedule, seconds: int, step: int = 1) -> None:
    """Let time pass, the schedule looking every *step* seconds."""
    for _ in range(0, seconds, step):
        await scene.clock.advance(step)
        await schedule.look()
        await settle()


# What is served


async def test_before_the_first_refresh_there_is_nothing_to_serve(scene: Scene) -> None:
    keeper, _ = scene.node()

    with pytest.raises(NotReady, match="the token is missing"):
        keeper.current()


async def test_two_hundred_cold_readers_ask_wechat_once(scene: Scene) -> None:
    keeper, schedule = scene.node()
    scene.wechat.hold()
    await schedule.look()
    readers = [asyncio.create_task(keeper.ready(PATIENCE)) for _ in range(200)]
    await settle()

    scene.wechat.let_go()
    answers = await asyncio.gather(*readers)

    assert scene.calls() == 1
    assert len({answer.token.value for answer in answers}) == 1


async def test_a_reader_that_leaves_does_not_end_the_refresh(scene: Scene) -> None:
    keeper, schedule = scene.node()
    scene.wechat.hold()
    await schedule.look()
    reader = asyncio.create_task(keeper.ready(PATIENCE))
    await settle()

    reader.cancel()
    scene.wechat.let_go()
    await settle()

    assert scene.is_valid(keeper)


async def test_expires_in_counts_from_the_asking(scene: Scene) -> None:
    keeper, schedule = scene.node()
    scene.wechat.hold()
    await schedule.look()
    await settle()
    asked_at = scene.clock.now()
    await scene.clock.advance(5)
    scene.wechat.let_go()
    await settle()

    token = keeper.current().token

    assert token.expires_at <= asked_at + timedelta(seconds=7200)


async def test_the_old_token_is_served_while_wechat_is_being_asked(scene: Scene) -> None:
    keeper, schedule = await started(scene)
    old = keeper.current().token
    await live(scene, schedule, 6890, 10)
    scene.wechat.hold()
    await live(scene, schedule, 60)

    answer = keeper.current()

    assert answer.token.value == old.value
    assert answer.state is State.STALE
    assert scene.is_valid(keeper)
    scene.wechat.let_go()
    await settle()
    assert keeper.current().token.generation > old.generation


async def test_over_two_days_no_dead_token_is_served_and_one_call_a_window_is_made(
    scene: Scene,
) -> None:
    keeper, schedule = await started(scene)

    for _ in range(2 * 86400 // 10):
        await live(scene, schedule, 10, 10)
        assert scene.is_valid(keeper)

    windows = 2 * 86400 / 6900
    assert windows - 1 <= scene.calls() <= windows + 2


async def test_a_token_is_not_served_in_its_last_second(scene: Scene) -> None:
    keeper, _ = await started(scene)

    await scene.clock.advance(7199.5)

    with pytest.raises(NotReady, match="the token is expired"):
        keeper.current()


async def test_a_kept_token_that_is_not_due_is_served_without_asking_wechat(scene: Scene) -> None:
    first, _ = await started(scene)
    await scene.clock.advance(3000)

    restarted, _ = await started(scene)

    assert restarted.current().token.value == first.current().token.value
    assert restarted.current().expires_in <= timedelta(seconds=4200)
    assert scene.calls() == 1


async def test_the_wall_clock_may_jump_without_a_token_dying_or_living_longer(
    scene: Scene,
) -> None:
    keeper, schedule = await started(scene)
    before = keeper.current().expires_in

    scene.clock.jump_wall(timedelta(hours=9))
    await schedule.look()
    await settle()
    scene.clock.jump_wall(timedelta(hours=-20))
    await schedule.look()
    await settle()

    assert keeper.current().expires_in == before
    assert scene.calls() == 1


async def test_who_watches_is_told_of_each_new_token_and_of_nothing_else(scene: Scene) -> None:
    keeper, schedule = await started(scene)
    told = [keeper.generation]
    keeper.watchers[lambda: told.append(keeper.generation)] = None

    await live(scene, schedule, 14_000, 10)

    assert len(told) == 3
    assert told == sorted(set(told))


async def test_a_refresh_that_is_running_is_not_started_again(scene: Scene) -> None:
    keeper, _ = scene.node()
    scene.wechat.hold()
    keeper.refresh_if_due()
    await settle()

    keeper.refresh_if_due()

    assert len(scene.tasks) == 1
    scene.wechat.let_go()
    await settle()


# When a refresh fails


@pytest.mark.parametrize(
    "trouble",
    [UpstreamUnreachable("away"), UpstreamUnclear("broken"), RuntimeError("a bug")],
    ids=["unreachable", "unclear", "bug"],
)
async def test_a_failed_refresh_keeps_the_good_token(scene: Scene, trouble: Exception) -> None:
    keeper, schedule = await started(scene)
    old = keeper.current().token
    await live(scene, schedule, 6890, 10)
    scene.wechat.troubles.append(trouble)

    await live(scene, schedule, 31)

    assert scene.wechat.troubles == type(scene.wechat.troubles)()
    assert keeper.status().failures <= 1
    assert scene.is_valid(keeper)
    await live(scene, schedule, 120)
    assert keeper.current().token.generation > old.generation


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param({"errcode": 40125, "errmsg": "invalid appsecret"}, id="refused"),
        pytest.param({"access_token": "92_x", "expires_in": 0}, id="no life"),
        pytest.param({"access_token": "92_x", "expires_in": 7200, "errcode": 1}, id="both"),
        pytest.param({"expires_in": 7200}, id="no token"),
        pytest.param({}, id="nothing"),
    ],
)
async def test_a_bad_answer_keeps_the_good_token(stable: Scene, reply: dict[str, object]) -> None:
    keeper, schedule = await started(stable)
    old = keeper.current().token
    await live(stable, schedule, 6890, 10)
    stable.wechat.replies.append(reply)

    await live(stable, schedule, 30)

    assert not stable.wechat.replies
    assert keeper.current().token.value == old.value or stable.is_valid(keeper)
    assert stable.is_valid(keeper)


async def test_a_refused_secret_is_not_tried_in_a_hurry(stable: Scene) -> None:
    stable.account.secret = "another"
    keeper, schedule = stable.node()

    await live(stable, schedule, 86400, 15)

    assert keeper.status().state is State.MISSING
    assert 40 <= stable.calls() <= 60


async def test_a_refusal_of_the_old_secret_is_not_held_against_the_new_one(scene: Scene) -> None:
    """Also where it comes when the new one is there already."""
    keeper, schedule = scene.node()
    scene.wechat.hold()
    await schedule.look()
    await settle()
    scene.account.secret = "canary-new-secret"
    app = replace(APP, secret=Secret(scene.account.secret))
    store = LocalStore(scene.table, scene.clock)
    pace = PACES[scene.method](timedelta(seconds=300), scene.terms)

    keeper.reconfigure(scene.refresher(store, app), pace)
    scene.wechat.let_go()
    await live(scene, schedule, 1)

    assert scene.is_valid(keeper)
    assert scene.calls() == 2


@pytest.mark.parametrize(
    ("secret", "failures"),
    [pytest.param(SECRET, 0, id="right"), pytest.param("0" * 32, 1, id="wrong again")],
)
async def test_whether_a_new_secret_is_any_good_is_known_at_once(
    clock: ManualClock, secret: str, failures: int
) -> None:
    """Though the token is good for long: nobody is told that all is well because of a reload."""
    scene = Scene(clock, terms=Terms())
    keeper, schedule = await started(scene)
    scene.account.secret = "was reset"
    with pytest.raises(UpstreamRefused):
        await keeper.refresh(rejected=None, by="x")
    scene.account.secret = SECRET
    store = LocalStore(scene.table, scene.clock)
    pace = PACES[scene.method](timedelta(seconds=300), scene.terms)

    keeper.reconfigure(scene.refresher(store, replace(APP, secret=Secret(secret))), pace)
    await live(scene, schedule, 1)

    assert keeper.status().failures == failures


async def test_a_used_up_quota_is_looked_at_every_15_minutes_once_nothing_is_left(
    stable: Scene,
) -> None:
    keeper, schedule = stable.node()
    stable.wechat.replies.extend([{"errcode": 45009, "errmsg": "limit"}] * 1000)

    await live(stable, schedule, 86400, 15)

    assert keeper.status().state is State.MISSING
    assert len(stable.wechat.sent) <= 4 * 24 * 1.15


async def test_an_administrator_who_refused_twice_is_left_alone_for_a_day(stable: Scene) -> None:
    _, schedule = stable.node()
    stable.account.administrator = 89506

    await live(stable, schedule, 86400, 60)

    assert stable.calls() == 1


async def test_what_fails_in_another_way_begins_with_the_first_wait_of_that(stable: Scene) -> None:
    """After a night without a network the first refusal is no reason to wait half an hour."""
    keeper, schedule = stable.node()
    stable.wechat.troubles.extend([UpstreamUnreachable("away")] * 8)
    while stable.wechat.troubles:
        await live(stable, schedule, 1)

    stable.wechat.coming = ["refused"]
    while stable.wechat.coming:
        await live(stable, schedule, 1)
    status = keeper.status()

    assert status.failures == 9
    assert status.next_refresh_in <= timedelta(seconds=66)


async def test_what_fails_in_another_way_in_between_shortens_no_wait(stable: Scene) -> None:
    keeper, schedule = stable.node()
    waits = []

    for trouble in ("refused", "unreachable") * 3:
        stable.wechat.coming = [trouble]
        while stable.wechat.coming:
            await live(stable, schedule, 1)
        waits.append(keeper.status().next_refresh_in)

    refused, unreachable = waits[::2], waits[1::2]
    assert all(2 * earlier - timedelta(seconds=2) <= later for earlier, later in pairwise(refused))
    assert all(earlier < later for earlier, later in pairwise(unreachable))


async def test_failures_are_forgotten_by_success_only(stable: Scene) -> None:
    keeper, schedule = stable.node()
    stable.wechat.troubles.extend([UpstreamUnreachable("away")] * 3)

    await live(stable, schedule, 4)
    failures = keeper.status().failures
    await live(stable, schedule, 20)

    assert failures >= 2
    assert keeper.status().failures == 0
    assert keeper.status().error is None


async def test_after_a_success_the_first_wait_is_the_first_again(stable: Scene) -> None:
    keeper, schedule = stable.node()
    stable.wechat.troubles.extend([UpstreamUnreachable("away")] * 3)
    await live(stable, schedule, 24)
    assert keeper.status().failures == 0
    stable.wechat.troubles.append(UpstreamUnreachable("away"))

    stable.clock.suspend(timedelta(seconds=6950))
    await live(stable, schedule, 1)

    assert keeper.status().failures == 1
    assert keeper.status().next_refresh_in <= timedelta(seconds=1)


async def test_an_expired_key_says_why_and_when_to_come_back(stable: Scene) -> None:
    keeper, schedule = stable.node()
    stable.account.ip_whitelist = ("203.0.113.0/24",)
    await schedule.look()
    await settle()

    with pytest.raises(NotReady) as caught:
        keeper.current()

    assert "errcode 40164" in str(caught.value)
    assert isinstance(caught.value.cause, UpstreamRefused)
    assert timedelta(seconds=60) <= caught.value.retry_after <= timedelta(seconds=66)


async def test_the_same_answer_when_due_keeps_the_generation_and_is_asked_again_soon(
    stable: Scene,
) -> None:
    """WeChat's clock is behind ours: its window has not opened yet."""
    keeper, schedule = await started(stable)
    first = keeper.current().token
    same = {"access_token": first.value.reveal(), "expires_in": 310}
    await live(stable, schedule, 6890, 10)
    stable.wechat.replies.append(same)

    await live(stable, schedule, 30)
    unchanged = keeper.current().token
    await live(stable, schedule, 20)

    assert not stable.wechat.replies
    assert unchanged.generation == first.generation
    assert keeper.current().token.generation > first.generation
    assert stable.calls() == 2


async def test_after_an_unclear_classic_answer_wechat_is_left_alone_for_90_seconds(
    classic: Scene,
) -> None:
    """The call may still be acted on; another one beside it could be superseded by it."""
    keeper, schedule = await started(classic)
    await live(classic, schedule, 6890, 10)
    classic.wechat.troubles.append(UpstreamUnclear("no answer"))
    await live(classic, schedule, 12)
    sent = len(classic.wechat.sent)

    await live(classic, schedule, 85)

    assert not classic.wechat.troubles
    assert len(classic.wechat.sent) == sent
    await live(classic, schedule, 40)
    assert len(classic.wechat.sent) == sent + 1
    assert classic.is_valid(keeper)


# When a token was rejected


async def test_two_hundred_reports_of_the_same_token_ask_wechat_once(classic: Scene) -> None:
    keeper, _ = await started(classic)
    rejected = keeper.current().token.value

    outcomes = await asyncio.gather(
        *(keeper.refresh(rejected=rejected, by="x") for _ in range(200))
    )

    assert classic.calls() == 2
    assert all(outcome.refreshed for outcome in outcomes)
    assert {outcome.answer.token.value for outcome in outcomes} == {keeper.current().token.value}


async def test_a_reporter_that_leaves_does_not_end_the_refresh(scene: Scene) -> None:
    keeper, _ = await started(scene)
    rejected = keeper.current().token.value
    scene.wechat.hold()
    leaver, stayer = (
        asyncio.create_task(keeper.refresh(rejected=rejected, by="x")) for _ in range(2)
    )
    await settle()

    leaver.cancel()
    scene.wechat.let_go()
    outcome = await stayer

    assert outcome.answer.token.value != rejected
    assert scene.is_valid(keeper)


async def test_late_reports_of_that_token_ask_wechat_nothing(scene: Scene) -> None:
    keeper, _ = await started(scene)
    rejected = keeper.current().token.value
    await keeper.refresh(rejected=rejected, by="x")
    sent = len(scene.wechat.sent)

    outcomes = await asyncio.gather(
        *(keeper.refresh(rejected=rejected, by="x") for _ in range(200))
    )

    assert len(scene.wechat.sent) == sent
    assert not any(outcome.refreshed for outcome in outcomes)


async def test_a_report_may_name_the_generation(scene: Scene) -> None:
    keeper, _ = await started(scene)
    known = keeper.current().token

    outcome = await keeper.refresh(rejected=known.generation, by="x")

    assert outcome.refreshed
    assert outcome.answer.token.value != known.value


async def test_a_report_after_a_rotation_behind_our_back_costs_no_forced_refresh(
    stable: Scene,
) -> None:
    keeper, _ = await started(stable)
    rejected = keeper.current().token.value
    stable.world.rotate(APPID, stable.clock.now())

    outcome = await keeper.refresh(rejected=rejected, by="x")

    assert outcome.refreshed
    assert stable.is_valid(keeper)
    assert stable.account.forced_at is None


async def test_a_report_of_the_token_wechat_still_gives_forces_a_new_one(stable: Scene) -> None:
    keeper, _ = await started(stable)
    rejected = keeper.current().token.value

    outcome = await keeper.refresh(rejected=rejected, by="x")

    assert outcome.answer.token.value != rejected
    assert stable.account.forced_at == stable.clock.now()


@pytest.mark.parametrize(("callers", "new"), [(1, 3), (300, 5)])
async def test_a_loop_of_reports_gets_one_new_token_a_minute_and_three_a_caller(
    scene: Scene, callers: int, new: int
) -> None:
    """A client under a permanent 40001 reports whatever it is given."""
    keeper, schedule = await started(scene)
    generations = {keeper.current().token.generation}
    sent = len(scene.wechat.sent)

    for n in range(300):
        with contextlib.suppress(RefreshLimited):
            await keeper.refresh(rejected=keeper.current().token.value, by=str(n % callers))
        generations.add(keeper.current().token.generation)
        await live(scene, schedule, 1)

    assert len(generations) == 1 + new
    assert len(scene.wechat.sent) - sent <= 3 * new


async def test_a_refused_report_says_when_to_come_back_and_the_token_stays(scene: Scene) -> None:
    keeper, _ = await started(scene)
    await keeper.refresh(rejected=keeper.current().token.value, by="x")
    current = keeper.current().token
    await scene.clock.advance(20)

    with pytest.raises(RefreshLimited) as caught:
        await keeper.refresh(rejected=current.value, by="x")

    assert caught.value.retry_after == timedelta(seconds=40)
    assert keeper.current().token == current


async def test_a_forced_refresh_gives_a_new_token_under_the_same_guard(scene: Scene) -> None:
    keeper, _ = await started(scene)
    old = keeper.current().token

    outcome = await keeper.refresh(rejected=None, by="x")

    assert outcome.answer.token.value != old.value
    assert scene.is_valid(keeper)
    with pytest.raises(RefreshLimited):
        await keeper.refresh(rejected=None, by="x")


async def test_scheduled_refreshes_do_not_use_up_the_guard(scene: Scene) -> None:
    keeper, schedule = await started(scene)
    await live(scene, schedule, 6940, 10)

    outcome = await keeper.refresh(rejected=keeper.current().token.value, by="x")

    assert outcome.refreshed


async def test_a_report_that_wechat_refuses_keeps_the_token(scene: Scene) -> None:
    keeper, _ = await started(scene)
    token = keeper.current().token
    scene.account.secret = "was reset"

    with pytest.raises(UpstreamRefused, match="40125"):
        await keeper.refresh(rejected=token.value, by="x")

    assert keeper.current().token == token


async def test_after_a_refusal_reports_wait_and_an_operator_need_not(scene: Scene) -> None:
    keeper, _ = await started(scene)
    token = keeper.current().token
    scene.account.secret, right = "was reset", scene.account.secret
    with pytest.raises(UpstreamRefused):
        await keeper.refresh(rejected=token.value, by="x")
    scene.account.secret = right
    await scene.clock.advance(60.5)
    scene.wechat.replies.append({"errcode": 40125, "errmsg": "invalid appsecret"})
    with pytest.raises(UpstreamRefused):
        await keeper.refresh(rejected=None, by="x")
    await scene.clock.advance(61)

    with pytest.raises(RefreshLimited, match="40125"):
        await keeper.refresh(rejected=token.value, by="x")
    outcome = await keeper.refresh(rejected=None, by="x")

    assert outcome.refreshed


async def test_a_report_joins_the_refresh_that_is_running(classic: Scene) -> None:
    keeper, schedule = await started(classic)
    rejected = keeper.current().token.value
    await live(classic, schedule, 6890, 10)
    classic.wechat.hold()
    await live(classic, schedule, 15)
    report = asyncio.create_task(keeper.refresh(rejected=rejected, by="x"))
    await settle()

    classic.wechat.let_go()
    outcome = await report

    assert outcome.refreshed
    assert classic.calls() == 2


async def test_a_report_without_a_usable_token_adds_no_call(scene: Scene) -> None:
    keeper, _ = scene.node()

    with pytest.raises(NotReady):
        await keeper.refresh(rejected=Secret("92_whatever"), by="x")

    assert scene.wechat.sent == []


# Several nodes


async def test_of_three_nodes_one_refreshes_and_the_others_take_its_token(scene: Scene) -> None:
    nodes = [await started(scene) for _ in range(3)]

    for _ in range(7000):
        await scene.clock.advance(1)
        for _, schedule in nodes:
            await schedule.look()
        await settle()

    assert scene.calls() == 2
    assert len({keeper.current().token.value for keeper, _ in nodes}) == 1


async def test_a_node_waits_for_the_one_that_is_refreshing(classic: Scene) -> None:
    """It asks WeChat nothing, and has the new token as soon as that is stored."""
    first, first_schedule = classic.node()
    second, second_schedule = classic.node()
    classic.wechat.hold()
    await first_schedule.look()
    await settle()
    await second_schedule.look()
    await settle()

    classic.wechat.let_go()
    await classic.clock.advance(3)

    assert classic.calls() == 1
    assert second.current().token.value == first.current().token.value


async def test_a_refresh_by_another_node_just_before_the_lease_is_seen(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It happens between the look at the store and the lease."""
    first, first_schedule = scene.node()
    second, second_schedule = scene.node()
    acquire = LocalStore.acquire

    async def late(store: LocalStore, key: TokenKey, **more: Any) -> Lease:
        monkeypatch.undo()
        await first_schedule.look()
        await settle()
        return await acquire(store, key, **more)

    monkeypatch.setattr(LocalStore, "acquire", late)
    await second_schedule.look()
    await asyncio.gather(*scene.tasks)

    assert scene.calls() == 1
    assert second.current().token == first.current().token


async def test_a_change_by_another_node_is_noticed(scene: Scene) -> None:
    first, _ = await started(scene)
    second, _ = await started(scene)
    await first.refresh(rejected=None, by="x")

    await scene.notice(second)

    assert second.current().token.value == first.current().token.value


async def test_a_token_is_served_from_memory_while_the_store_is_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WeChat has superseded the old one: the new one must not be lost with the store."""
    keeper, _ = await started(scene)

    async def away(*_: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(LocalStore, "save", away)
    refreshing = asyncio.create_task(keeper.refresh(rejected=None, by="x"))
    await settle()
    await scene.clock.advance(1)
    outcome = await refreshing

    assert outcome.refreshed
    assert scene.is_valid(keeper)


async def test_a_refresh_that_was_cut_short_is_not_hidden(classic: Scene) -> None:
    """WeChat may have given a token that nobody has: what comes next is marked."""
    _, schedule = await started(classic)
    await live(classic, schedule, 6890, 10)
    classic.wechat.hold()
    await live(classic, schedule, 12)
    (flight,) = classic.tasks

    flight.cancel()
    classic.wechat.let_go()
    await classic.clock.advance(31)
    heir, _ = await started(classic)

    assert heir.current().state is State.SUSPECT


async def test_a_token_that_could_not_be_stored_leaves_its_intent(
    classic: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's token has been superseded, and the store does not know."""
    keeper, _ = await started(classic)

    async def away(*_: object) -> None:
        raise StoreError("away")

    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "save", away)
        refreshing = asyncio.create_task(keeper.refresh(rejected=None, by="x"))
        await settle()
        await classic.clock.advance(1)
        await refreshing
    await classic.clock.advance(31)
    lease = await LocalStore(classic.table, classic.clock).acquire(
        keeper.key, owner="heir", ttl=timedelta(seconds=30), above=0, quarantine=QUARANTINE
    )
    loaded = await LocalStore(classic.table, classic.clock).load(lease.key)

    assert loaded is not None
    assert loaded.suspect


@pytest.fixture
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreError("away")

    for step in ("load", "acquire", "save", "release", "spend"):
        monkeypatch.setattr(LocalStore, step, away)


@pytest.mark.usefixtures("no_store")
async def test_without_a_store_a_stable_token_is_asked_for_and_served_all_the_same(
    stable: Scene,
) -> None:
    """The call gives everybody the same token: no lease is needed."""
    nodes = [await started(stable) for _ in range(2)]

    for _ in range(3 * 7200 // 10):
        await stable.clock.advance(10)
        for _, schedule in nodes:
            await schedule.look()
        await settle()
        assert all(stable.is_valid(keeper) for keeper, _ in nodes)

    assert stable.calls() <= 2 * (1 + 4)


@pytest.mark.usefixtures("no_store")
async def test_without_a_store_a_rejected_token_is_looked_up_but_never_forced(
    stable: Scene,
) -> None:
    keeper, _ = await started(stable)
    token = keeper.current().token

    with pytest.raises(StoreError):
        await keeper.refresh(rejected=token.value, by="x")
    kept = keeper.current().token
    stable.world.rotate(APPID, stable.clock.now())
    outcome = await keeper.refresh(rejected=token.value, by="x")

    assert kept.value == token.value
    assert outcome.answer.token.generation > token.generation
    assert stable.account.forced_at is None


@pytest.mark.usefixtures("no_store")
async def test_without_a_store_a_loop_of_reports_asks_wechat_hardly_ever(stable: Scene) -> None:
    keeper, _ = await started(stable)
    rejected = keeper.current().token.value

    for _ in range(59):
        with pytest.raises((StoreError, RefreshLimited)):
            await keeper.refresh(rejected=rejected, by="x")
        await stable.clock.advance(1)

    assert len(stable.wechat.sent) <= 3


@pytest.mark.usefixtures("no_store")
async def test_without_a_store_a_classic_token_is_not_asked_for(classic: Scene) -> None:
    """Another node may be asking: the two would kill each other's tokens."""
    keeper, schedule = classic.node()

    await live(classic, schedule, 60)

    assert classic.wechat.sent == []
    with pytest.raises(NotReady, match="away"):
        keeper.current()


# The life line


async def test_a_fence_that_is_seen_while_wechat_is_asked_without_the_store_stays_known(
    stable: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is back before the answer, with what a node has saved whose clock is ahead; and
    then it forgets everything.
    """
    node, _ = stable.node()
    fence = int((stable.clock.wall().timestamp() + 300) * 1_000_000)
    issued = Issued(value=Secret("92_ahead"), lifetime=timedelta(seconds=7200))
    ahead = replace(Token.of(issued, asked_at=stable.clock.now(), fence=fence), stored=True)

    async def away(*_: object, **__: object) -> None:
        raise StoreError("away")

    stable.wechat.hold()
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "acquire", away)
        asking = asyncio.create_task(node.refresh(rejected=None, by="operator"))
        await settle()
    node.notice(ahead)
    stable.wechat.let_go()
    await asking
    await stable.clock.advance(61)
    outcome = await node.refresh(rejected=None, by="operator")

    assert outcome.answer.token.fence > fence


async def test_generations_grow_with_every_new_value(scene: Scene) -> None:
    keeper, schedule = await started(scene)
    generations = [keeper.current().token.generation]

    for _ in range(5):
        await live(scene, schedule, 7000, 10)
        generations.append(keeper.current().token.generation)

    assert all(earlier < later for earlier, later in pairwise(generations))


async def test_a_lease_that_never_comes_free_is_no_failure_of_the_key(scene: Scene) -> None:
    keeper, schedule = scene.node()
    store = LocalStore(scene.table, scene.clock)
    await store.acquire(
        keeper.key, owner="another", ttl=timedelta(seconds=500), above=0, quarantine=QUARANTINE
    )

    await live(scene, schedule, 120)

    assert keeper.status().failures == 0
    assert scene.wechat.sent == []
    with pytest.raises(NotReady):
        keeper.current()
