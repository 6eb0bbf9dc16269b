"""What a refresh goes through when nodes, WeChat and the store fail in the middle of it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from itertools import count, pairwise
from typing import TYPE_CHECKING

import pytest
from kit.clock import settle
from kit.scene import APPID, KEY, NO_RECONCILE, Scene, started
from structlog.testing import capture_logs

from tokend.breaker import APP_LIMITS, Breaker, process_limits
from tokend.budget import SEVERAL
from tokend.errors import (
    BreakerOpen,
    NotReady,
    RefreshLimited,
    StoreError,
    UpstreamRefused,
    UpstreamUnclear,
    UpstreamUnreachable,
)
from tokend.follower import Follower
from tokend.model import Changes, State
from tokend.store.local import LocalStore
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.clock import ManualClock

    from tokend.model import Found, TokenKey
    from tokend.schedule import Schedule

WITH_RECONCILE = Terms()
ALONE = Terms(reconcile=timedelta(0), mints_alone=True)


async def live(scene: Scene, seconds: int, *schedules: Schedule, step: int = 1) -> None:
    for _ in range(0, seconds, step):
        await scene.clock.advance(step)
        for schedule in schedules:
            await schedule.look()
        await settle()


async def away(*_: object, **__: object) -> None:
    raise StoreError("away")


# The guard before the call


async def test_a_node_that_got_its_lease_too_late_does_not_ask_under_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still between the lease and the call: the lease may be another's by now."""
    keeper, _ = await started(scene)
    calls = scene.calls()
    acquire = LocalStore.acquire

    async def slowly(store: LocalStore, *args: object, **kwargs: object) -> object:
        lease = await acquire(store, *args, **kwargs)
        await scene.clock.sleep(NO_RECONCILE.guard + timedelta(seconds=1))
        return lease

    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "acquire", slowly)
        reporting = asyncio.create_task(keeper.refresh(rejected=None, by="x"))
        await settle()
        await scene.clock.advance(NO_RECONCILE.guard.total_seconds() + 2)
        asked_late = scene.calls() - calls
    await live(scene, 20)
    answer = await reporting

    assert asked_late == 0
    assert answer.refreshed
    assert scene.is_valid(keeper)


async def test_a_lost_answer_to_the_acquiring_is_asked_for_again_and_gets_the_same_lease(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, _ = await started(scene)
    acquire, fences = LocalStore.acquire, []

    async def deaf_once(store: LocalStore, *args: object, **kwargs: object) -> object:
        lease = await acquire(store, *args, **kwargs)
        fences.append(lease.fence)
        if len(fences) == 1:
            raise StoreError("the answer was lost")
        return lease

    monkeypatch.setattr(LocalStore, "acquire", deaf_once)
    await keeper.refresh(rejected=None, by="x")

    assert len(fences) == 2
    assert fences[0] == fences[1]
    assert keeper.current().state is not State.SUSPECT


async def test_a_save_that_fails_twice_is_tried_a_third_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, _ = await started(scene)
    save, failures = LocalStore.save, [StoreError("one"), StoreError("two")]

    async def failing(store: LocalStore, *args: object) -> object:
        if failures:
            raise failures.pop()
        return await save(store, *args)

    monkeypatch.setattr(LocalStore, "save", failing)
    refreshing = asyncio.create_task(keeper.refresh(rejected=None, by="x"))
    await settle()
    await scene.clock.advance(1)
    await refreshing
    stored = await LocalStore(scene.table, scene.clock).load(KEY)

    assert stored is not None
    assert stored.value == keeper.current().token.value


async def test_two_hundred_reports_in_one_process_take_one_lease(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, _ = await started(scene)
    rejected = keeper.current().token.value
    acquire, acquired = LocalStore.acquire, []

    async def counted(store: LocalStore, *args: object, **kwargs: object) -> object:
        acquired.append(kwargs["owner"])
        return await acquire(store, *args, **kwargs)

    monkeypatch.setattr(LocalStore, "acquire", counted)
    scene.wechat.hold()
    reports = [asyncio.create_task(keeper.refresh(rejected=rejected, by="x")) for _ in range(200)]
    await settle()
    scene.wechat.let_go()
    await live(scene, 5)
    await asyncio.gather(*reports)

    assert len(acquired) == 1


async def test_after_an_unclear_classic_answer_no_other_node_asks_for_90_seconds(
    classic: Scene,
) -> None:
    """WeChat may still act on it: a call that met it would leave nobody knowing which came last."""
    (one, _), (other, schedule) = await started(classic), await started(classic)
    await live(classic, 100, schedule)
    classic.wechat.coming.append("unanswered")
    with pytest.raises(UpstreamUnclear):
        await one.refresh(rejected=None, by="x")
    sent = len(classic.wechat.sent)

    await live(classic, 85, schedule)
    reporting = asyncio.create_task(other.refresh(rejected=other.current().token.value, by="x"))
    await live(classic, 4, schedule)
    early = len(classic.wechat.sent)
    await live(classic, 10, schedule)
    await reporting

    assert early == sent
    assert len(classic.wechat.sent) == sent + 1
    assert classic.is_valid(other)
    assert other.current().state is State.FRESH


# Suspect tokens


async def killed_in_a_refresh(scene: Scene) -> None:
    """A node reports its token and dies when WeChat has been asked."""
    keeper, _ = await started(scene)
    scene.wechat.hold()
    reporting = asyncio.create_task(keeper.refresh(rejected=None, by="x"))
    await settle()
    for flight in scene.flights_of(keeper):
        flight.cancel()
    reporting.cancel()
    scene.wechat.let_go()
    await settle()


async def test_the_token_of_a_node_that_died_in_a_refresh_becomes_suspect(scene: Scene) -> None:
    await killed_in_a_refresh(scene)
    await scene.clock.advance(NO_RECONCILE.lease.total_seconds() + 1)

    heir, _ = await started(scene)

    assert heir.current().state is State.SUSPECT


async def test_a_suspect_classic_token_is_replaced_once_after_the_quarantine(
    classic: Scene,
) -> None:
    await killed_in_a_refresh(classic)
    await classic.clock.advance(61)
    heir, schedule = await started(classic)
    calls = classic.calls()

    await live(classic, 89, schedule)
    before = classic.calls()
    await live(classic, 10, schedule)

    assert before == calls
    assert classic.calls() == calls + 1
    assert heir.current().state is State.FRESH


async def test_a_suspect_stable_token_is_compared_at_once(stable: Scene) -> None:
    await killed_in_a_refresh(stable)
    await stable.clock.advance(31)
    heir, schedule = await started(stable)

    await live(stable, 1, schedule)

    assert heir.current().state is State.FRESH
    assert [b"true" in request.body for request in stable.wechat.sent[-1:]] == [False]


async def test_of_two_nodes_with_a_suspect_token_one_confirms_it(classic: Scene) -> None:
    await killed_in_a_refresh(classic)
    await classic.clock.advance(61)
    (one, schedule), (other, second) = await started(classic), await started(classic)
    calls = classic.calls()

    await live(classic, 100, schedule, second)

    assert classic.calls() == calls + 1
    assert one.current().token.value == other.current().token.value


async def test_a_forced_call_that_wechat_did_not_answer_is_looked_into_soon(
    stable: Scene,
) -> None:
    """It may have ended the life of the token that is being served."""
    keeper, schedule = await started(stable)
    sent = len(stable.wechat.sent)
    answers = iter([None, UpstreamUnclear("lost")])
    send = stable.wechat.send

    async def unanswered(request: object) -> bytes:
        body = await send(request)
        if trouble := next(answers, None):
            raise trouble
        return body

    stable.wechat.send = unanswered
    with pytest.raises(UpstreamUnclear):
        await keeper.refresh(rejected=keeper.current().token.value, by="x")
    await live(stable, 5, schedule)

    # The free one and the forced one; one to find out, and one to be sure.
    assert len(stable.wechat.sent) == sent + 4
    newest = stable.world.issued(APPID, "stable_token")[-1]
    assert keeper.current().token.value.reveal() == newest.value


# Reconciling


async def test_a_token_that_somebody_else_replaced_is_found_out_before_the_old_one_dies(
    clock: ManualClock,
) -> None:
    scene = Scene(clock, terms=WITH_RECONCILE)
    keeper, schedule = await started(scene)
    old = keeper.current().token
    await live(scene, 600, schedule)

    scene.world.rotate(APPID, clock.now())
    for _ in range(300):
        await live(scene, 1, schedule)
        assert scene.is_valid(keeper)

    assert keeper.current().token.value != old.value


async def test_comparing_does_not_move_the_due_moment_nor_the_generation(
    clock: ManualClock,
) -> None:
    scene = Scene(clock, terms=WITH_RECONCILE)
    keeper, schedule = await started(scene)
    before = keeper.status()
    due_at = clock.now() + before.next_refresh_in

    await live(scene, 3000, schedule, step=5)
    after = keeper.status()

    assert scene.calls() >= 10
    assert after.token.generation == before.token.generation
    assert abs(clock.now() + after.next_refresh_in - due_at) < timedelta(seconds=1)


async def test_a_failed_comparison_is_no_failure_of_the_key(clock: ManualClock) -> None:
    scene = Scene(clock, terms=WITH_RECONCILE)
    keeper, schedule = await started(scene)
    scene.wechat.coming += ["unheard"] * 3

    await live(scene, 800, schedule, step=5)

    assert not scene.wechat.coming
    assert keeper.status().failures == 0
    assert keeper.current().state is State.FRESH


async def test_several_nodes_compare_about_as_often_as_one(clock: ManualClock) -> None:
    scene = Scene(clock, terms=WITH_RECONCILE)
    nodes = [await started(scene) for _ in range(3)]

    await live(scene, 2400, *(schedule for _, schedule in nodes), step=5)

    assert scene.calls() <= 3 * (2400 // 216 + 1)


async def test_the_classic_method_is_never_compared(clock: ManualClock) -> None:
    scene = Scene(clock, method="token", terms=WITH_RECONCILE)
    _, schedule = await started(scene)

    await live(scene, 3000, schedule, step=5)

    assert scene.calls() == 1


# While the store is away


async def test_a_token_that_could_not_be_stored_is_stored_once_the_store_is_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, schedule = await started(scene)
    with monkeypatch.context() as patched:
        for step in ("load", "acquire", "save", "release"):
            patched.setattr(LocalStore, step, away)
        if scene.method == "stable_token":
            await live(scene, 6960, schedule, step=5)
    if scene.method == "token":
        with monkeypatch.context() as patched:
            patched.setattr(LocalStore, "save", away)
            refreshing = asyncio.create_task(keeper.refresh(rejected=None, by="x"))
            await settle()
            await live(scene, 2)
            await refreshing
            await live(scene, 31)
    calls = scene.calls()

    await live(scene, 20, schedule)
    stored = await LocalStore(scene.table, scene.clock).load(KEY)

    assert scene.calls() == calls
    assert stored is not None
    assert stored.value == keeper.current().token.value


async def test_a_restored_token_keeps_its_generation(scene: Scene) -> None:
    keeper, schedule = await started(scene)
    generation = keeper.current().token.generation
    scene.table.forget()
    other, other_schedule = scene.node()

    await scene.notice(keeper)
    await live(scene, 3, schedule)
    await other_schedule.look()
    await settle()

    assert other.current().token.generation == generation
    assert scene.calls() == 1


@pytest.mark.parametrize("terms", [NO_RECONCILE, ALONE], ids=["any node", "standalone minter"])
async def test_without_a_store_only_the_standalone_minter_mints_and_only_at_the_last_moment(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, terms: Terms
) -> None:
    scene = Scene(clock, method="token", terms=terms)
    keeper, schedule = await started(scene)
    for step in ("load", "acquire", "save", "release", "spend"):
        monkeypatch.setattr(LocalStore, step, away)

    await live(scene, 7070, schedule, step=10)
    early = scene.calls()
    await live(scene, 120, schedule)
    with pytest.raises((StoreError, NotReady)):
        await keeper.refresh(rejected=None, by="x")

    assert early == 1
    assert scene.calls() == (2 if terms.mints_alone else 1)


# Budgets


async def test_two_nodes_share_one_minute_between_costly_calls(scene: Scene) -> None:
    (one, _), (other, _) = await started(scene), await started(scene)
    await one.refresh(rejected=None, by="x")
    await scene.notice(other)

    with pytest.raises(RefreshLimited) as refusal:
        await other.refresh(rejected=other.current().token.value, by="x")

    assert timedelta(seconds=55) < refusal.value.retry_after <= timedelta(seconds=60)
    assert scene.is_valid(other)


async def test_callers_get_fifteen_new_tokens_a_day_and_an_operator_five_more(
    classic: Scene,
) -> None:
    keeper, _ = await started(classic)

    names = map(str, count())

    async def ask(*, by_operator: bool) -> bool:
        await classic.clock.advance(61)
        rejected = None if by_operator else keeper.current().token.value
        try:
            return (await keeper.refresh(rejected=rejected, by=next(names))).refreshed
        except RefreshLimited:
            return False

    reports = [await ask(by_operator=False) for _ in range(17)]
    forces = [await ask(by_operator=True) for _ in range(7)]
    await classic.clock.advance(7000)
    later = await ask(by_operator=False)

    assert reports == [True] * 15 + [False] * 2
    assert forces == [True] * 5 + [False] * 2
    assert not later


async def test_no_caller_gets_more_than_three_in_ten_minutes_and_half_of_a_days(
    classic: Scene,
) -> None:
    keeper, _ = await started(classic)
    got: list[int] = []

    with capture_logs() as logs:
        for second in range(0, 7000, 61):
            await classic.clock.advance(61)
            with contextlib.suppress(RefreshLimited):
                await keeper.refresh(rejected=keeper.current().token.value, by="evil")
                got.append(second)
        others = await keeper.refresh(rejected=keeper.current().token.value, by="shopper")
    told = [line["event"] for line in logs if line["log_level"] in {"error", "warning"}]

    assert len(got) == 7
    assert all(later - early >= 600 for early, later in zip(got, got[3:], strict=False))
    assert others.refreshed
    assert told == ["caller_limited"] * 2 + ["half_of_budget_spent"]


async def test_an_operator_has_a_share_as_everybody_has(classic: Scene) -> None:
    keeper, _ = await started(classic)
    for _ in range(3):
        await classic.clock.advance(61)
        await keeper.refresh(rejected=None, by="socket uid=0")
    await classic.clock.advance(61)

    with pytest.raises(RefreshLimited, match="by socket uid=0, which gets 3 in 10") as refused:
        await keeper.refresh(rejected=None, by="socket uid=0")

    assert refused.value.retry_after == timedelta(seconds=600 - 3 * 61)


async def test_what_an_operator_reports_is_not_on_the_share_of_what_they_force(
    classic: Scene,
) -> None:
    keeper, _ = await started(classic)
    for _ in range(3):
        await classic.clock.advance(61)
        await keeper.refresh(rejected=keeper.current().token.value, by="socket uid=0")
    await classic.clock.advance(61)

    assert (await keeper.refresh(rejected=None, by="socket uid=0")).refreshed


async def test_the_reserve_is_there_for_one_operator_whatever_the_daily_limit(
    classic: Scene,
) -> None:
    classic.terms = replace(classic.terms, daily=1, reserve=2)
    keeper, _ = await started(classic)
    for _ in range(3):
        await classic.clock.advance(601)
        await keeper.refresh(rejected=None, by="socket uid=0")
    await classic.clock.advance(601)

    with pytest.raises(RefreshLimited):
        await keeper.refresh(rejected=None, by="socket uid=0")


async def test_who_hides_among_several_clients_gets_one_in_ten_minutes_and_a_quarter_of_a_days(
    classic: Scene,
) -> None:
    keeper, _ = await started(classic)
    got: list[int] = []

    for second in range(0, 7000, 61):
        await classic.clock.advance(61)
        with contextlib.suppress(RefreshLimited):
            await keeper.refresh(rejected=keeper.current().token.value, by=SEVERAL)
            got.append(second)

    assert len(got) == 3
    assert all(later - early >= 600 for early, later in pairwise(got))


async def test_what_never_got_to_wechat_is_on_nobodys_share(classic: Scene) -> None:
    keeper, _ = await started(classic)
    classic.wechat.coming += ["unreachable"] * 5
    for _ in range(5):
        await classic.clock.advance(61)
        with pytest.raises(UpstreamUnreachable):
            await keeper.refresh(rejected=None, by="x")

    assert (await keeper.refresh(rejected=None, by="x")).refreshed


async def test_the_minute_is_kept_by_a_node_whose_store_forgets(scene: Scene) -> None:
    keeper, _ = await started(scene)
    await keeper.refresh(rejected=None, by="x")
    (record,) = await scene.table.read([KEY.record])
    await scene.table.update(KEY.record, lambda _: type(record)())

    with pytest.raises(RefreshLimited):
        await keeper.refresh(rejected=None, by="x")


# The breaker


async def test_a_loop_that_nothing_planned_is_stopped_after_twenty_calls_a_minute(
    stable: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokend.plan.Plan._retry", lambda *_: None)
    keeper, schedule = stable.node()
    stable.wechat.coming += ["busy"] * 1000

    with capture_logs() as logs:
        await live(stable, 60, schedule)

    assert len(stable.wechat.sent) == 20
    assert [entry["log_level"] for entry in logs if entry["event"] == "breaker_open"] == ["error"]
    assert isinstance(keeper.status().error, BreakerOpen | None)


async def test_a_breaker_closes_again_after_five_minutes(clock: ManualClock) -> None:
    breaker = Breaker("shop", APP_LIMITS, clock)
    for _ in range(20):
        breaker.admit()
    with pytest.raises(BreakerOpen):
        breaker.admit()
    await clock.advance(299)
    with pytest.raises(BreakerOpen):
        breaker.admit()

    await clock.advance(2)
    breaker.admit()


async def test_a_breaker_lets_a_cold_start_of_many_keys_through(clock: ManualClock) -> None:
    breaker = Breaker("tokend", process_limits(1000), clock)

    for _ in range(12_000):
        breaker.admit()

    with pytest.raises(BreakerOpen):
        breaker.admit()


async def test_calls_that_never_got_to_wechat_open_no_breaker(scene: Scene) -> None:
    """Else a short outage when many tokens are due would become a long one."""
    scene.wechat.coming.extend(["unreachable"] * 200)
    keeper, schedule = scene.node()

    await live(scene, 3000, schedule, step=5)
    scene.wechat.coming.clear()
    await live(scene, 70, schedule)

    assert len(scene.wechat.sent) > 40
    assert keeper.current().state is State.FRESH


# An answer that does not change


async def test_a_token_that_wechat_will_not_replace_is_asked_for_ever_more_slowly(
    stable: Scene,
) -> None:
    keeper, schedule = await started(stable)
    value = keeper.current().token.value.reveal()
    same = {"access_token": value, "expires_in": 280}
    stable.wechat.replies.extend([same] * 50)

    with capture_logs() as logs:
        await live(stable, 6915 + 150, schedule)

    assert 6 <= stable.calls() + 50 - len(stable.wechat.replies) <= 12
    assert any(entry["event"] == "token_not_replaced" for entry in logs)


# What fresh eyes have found


async def test_a_flight_that_waited_for_the_lease_is_content_with_what_was_adopted_meanwhile(
    classic: Scene,
) -> None:
    """Its follower hears of the other node's token before it does; that is no reason to ask."""
    (one, first), (other, second) = await started(classic), await started(classic)
    await live(classic, 6895, first, second, step=5)
    classic.wechat.hold()
    await live(classic, 10, first)
    await live(classic, 2, second)
    classic.wechat.let_go()
    await settle()
    await classic.notice(other)

    await live(classic, 10, first, second)

    assert classic.calls() == 2
    assert one.current().token.value == other.current().token.value


async def test_an_older_token_that_is_restored_first_does_not_win(scene: Scene) -> None:
    """One node has not heard of the other's newer token when the store has lost both."""
    (one, first), (other, second) = await started(scene), await started(scene)
    await scene.notice(other)
    newer = (await one.refresh(rejected=None, by="x")).answer.token
    scene.table.forget()

    await scene.notice(other)
    await live(scene, 3, second)
    await scene.notice(one)
    await live(scene, 3, first)
    await scene.notice(other)

    stored = await LocalStore(scene.table, scene.clock).load(KEY)
    assert one.current().token.value == other.current().token.value == newer.value
    assert stored is not None
    assert stored.value == newer.value


async def test_a_suspect_token_is_suspect_still_when_it_was_restored(classic: Scene) -> None:
    await killed_in_a_refresh(classic)
    await classic.clock.advance(61)
    heir, schedule = await started(classic)
    calls = classic.calls()
    classic.table.forget()

    await classic.notice(heir)
    await live(classic, 3, schedule)
    doubtful = heir.current().state
    await live(classic, 95, schedule)

    assert doubtful is State.SUSPECT
    assert heir.current().state is State.FRESH
    assert classic.calls() == calls + 1


async def test_an_unclear_forced_call_is_known_to_every_node(stable: Scene) -> None:
    (one, _), (other, second) = await started(stable), await started(stable)
    await stable.notice(other)
    await stable.clock.advance(1)
    sent, send = len(stable.wechat.sent), stable.wechat.send

    async def unanswered(request: object) -> bytes:
        body = await send(request)
        if len(stable.wechat.sent) == sent + 2:
            raise UpstreamUnclear("lost")
        return body

    stable.wechat.send = unanswered
    with pytest.raises(UpstreamUnclear):
        await one.refresh(rejected=None, by="x")
    await stable.clock.advance(1)
    await stable.notice(other)
    doubtful = other.current().state
    await live(stable, 5, second)

    assert doubtful is State.SUSPECT
    assert other.current().state is State.FRESH
    assert (
        other.current().token.value.reveal() == stable.world.issued(APPID, "stable_token")[-1].value
    )


async def test_an_heir_that_could_not_ask_leaves_the_dead_nodes_intent_to_the_next(
    classic: Scene,
) -> None:
    await killed_in_a_refresh(classic)
    await classic.clock.advance(31)
    heir, schedule = await started(classic)
    await live(classic, 35, schedule)
    classic.wechat.coming.append("unreachable")
    with pytest.raises(UpstreamUnreachable):
        await heir.refresh(rejected=None, by="x")

    await heir.refresh(rejected=None, by="x")

    assert heir.current().state is State.SUSPECT


async def test_calls_that_never_got_to_wechat_cost_nothing(classic: Scene) -> None:
    keeper, _ = await started(classic)
    classic.wechat.coming += ["unreachable"] * 17

    for _ in range(17):
        with pytest.raises(UpstreamUnreachable):
            await keeper.refresh(rejected=keeper.current().token.value, by="x")
    answer = await keeper.refresh(rejected=keeper.current().token.value, by="x")

    assert answer.refreshed


async def test_a_token_that_could_not_be_saved_is_saved_under_its_own_lease_and_not_doubted(
    classic: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, schedule = await started(classic)
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "save", away)
        refreshing = asyncio.create_task(keeper.refresh(rejected=None, by="x"))
        await settle()
        await classic.clock.advance(1)
        await refreshing

    await live(classic, 200, schedule)

    assert keeper.current().state is State.FRESH
    assert classic.calls() == 2


async def test_what_wechat_forbade_stays_forbidden_when_a_token_is_restored(stable: Scene) -> None:
    keeper, schedule = await started(stable)
    stable.wechat.replies.append({"errcode": 89506, "errmsg": "refused twice"})
    with pytest.raises(UpstreamRefused):
        await keeper.refresh(rejected=keeper.current().token.value, by="x")
    sent = len(stable.wechat.sent)
    stable.table.forget()

    await stable.notice(keeper)
    await live(stable, 5, schedule)
    with pytest.raises(RefreshLimited):
        await keeper.refresh(rejected=None, by="x")

    assert len(stable.wechat.sent) == sent


async def test_comparing_without_a_store_keeps_the_generation(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(clock, terms=WITH_RECONCILE)
    keeper, schedule = await started(scene)
    generation = keeper.current().token.generation
    for step in ("load", "acquire", "save", "release", "spend"):
        monkeypatch.setattr(LocalStore, step, away)

    await live(scene, 1000, schedule, step=5)

    assert scene.calls() >= 4
    assert keeper.current().token.generation == generation


async def test_one_record_that_fails_keeps_no_other_from_being_heard_of_and_is_not_forgotten(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(Scene(clock).table, clock)
    told: list[str] = []

    class Hearing:
        def __init__(self, number: int) -> None:
            self.key = replace(KEY, appid=f"wx{number}")

        def notice(self, found: Found) -> bool:
            told.append("failing" if found else "hearing")
            if found:
                raise found
            return False

    async def load_many(keys: Sequence[TokenKey]) -> list[Found]:
        down = StoreError("this slot is down")
        return [down if key.appid == "wx3" else None for key in keys]

    monkeypatch.setattr(store, "load_many", load_many)
    keepers = {f"wx{n}": Hearing(n) for n in range(6)}
    follower = Follower(store, keepers, clock)

    async def everything(_: int) -> Changes:
        return Changes(cursor=1, records=frozenset(keepers if not told else ()))

    monkeypatch.setattr(store, "changes", everything)
    await follower.look()
    first = told.copy()
    follower.trouble = "it was away before"
    for _ in range(3):
        await follower.look()

    assert first.count("hearing") == 5
    assert first.count("failing") == 1
    assert told.count("failing") >= 4
    assert follower.trouble == "this slot is down"


async def test_a_new_token_is_served_before_it_is_saved(
    classic: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before may have died when WeChat gave it."""
    keeper, _ = await started(classic)
    old = keeper.current().token
    monkeypatch.setattr(LocalStore, "save", away)

    refreshing = asyncio.create_task(keeper.refresh(rejected=None, by="x"))
    await settle()
    served = keeper.current().token
    await classic.clock.advance(1)
    await refreshing

    assert served.value != old.value


async def test_an_unclear_classic_refresh_is_repeated_as_soon_as_the_quarantine_is_over(
    classic: Scene,
) -> None:
    """That the store then calls the token suspect puts it off no further."""
    keeper, schedule = await started(classic)
    old = keeper.current().token
    classic.wechat.coming.append("unanswered")
    with pytest.raises(UpstreamUnclear):
        await keeper.refresh(rejected=None, by="x")

    for _ in range(100):
        await live(classic, 1, schedule)
        await classic.notice(keeper)

    assert keeper.current().token.value != old.value
    assert classic.calls() == 3


async def test_nodes_that_got_one_value_without_the_store_come_to_rest_when_it_is_back(
    stable: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each made up a generation of its own; the one that is not in the store is not lost."""
    with monkeypatch.context() as outage:
        for step in ("load", "acquire", "save", "release", "spend"):
            outage.setattr(LocalStore, step, away)
        one, first = await started(stable)
        await stable.clock.advance(1)
        other, second = await started(stable)
    await live(stable, 3, first)
    await live(stable, 3, second)

    with capture_logs() as events:
        for _ in range(5):
            await stable.notice(one)
            await stable.notice(other)
            await live(stable, 2, first, second)

    assert one.current().token.value == other.current().token.value
    assert [event["event"] for event in events if event["log_level"] != "debug"] == []


async def test_a_store_that_was_written_to_by_a_wrong_clock_does_not_end_a_token_that_is_known(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes compared it with WeChat while the store was away, and then gave it back."""
    scene = Scene(clock, terms=WITH_RECONCILE)
    keeper, schedule = await started(scene)
    before = keeper.current().token
    with monkeypatch.context() as outage:
        for step in ("load", "acquire", "save", "release", "spend"):
            outage.setattr(LocalStore, step, away)
        await live(scene, 300, schedule, step=5)
    record = scene.table.kept
    scene.table.kept = replace(record, expires_at=record.expires_at - 3 * 3600 * 1_000_000)

    keeper.store_is_back()
    await live(scene, 10, schedule)

    after = keeper.current().token
    assert after.stored
    assert abs(after.expires_at - before.expires_at) < timedelta(seconds=1)
