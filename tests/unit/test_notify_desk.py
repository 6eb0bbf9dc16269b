"""What operators are told of keys: what lasts, once, and how it is in the end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.clock import ManualClock, settle
from kit.house import House
from kit.scene import KEY, Forgetful, Scene, started

from tokend.budget import Budgets
from tokend.errors import (
    MinuteQuotaReached,
    RefreshLimited,
    UpstreamRefused,
    UpstreamUnreachable,
)
from tokend.model import Secret, State, Status, TokenKey
from tokend.notify.desk import GRACE, Desk
from tokend.notify.receiver import Receiver, Topic
from tokend.store.local import LocalStore
from tokend.summary import RollCall
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tokend.keeper import Keeper
    from tokend.notify.news import News
    from tokend.schedule import Schedule

AWAY = UpstreamUnreachable("nobody there")
NOW = timedelta(0)


def refused(errcode: int = 40164) -> UpstreamRefused:
    return UpstreamRefused(errcode, "no", "mend it")


def receiver(*topics: Topic, apps: Iterable[str] | None = None) -> Receiver:
    return Receiver(
        name="ops",
        url=Secret("https://h/"),
        format="json",
        topics=frozenset(topics or Topic),
        apps=None if apps is None else frozenset(apps),
    )


class Story:
    """A key in trouble, and the desk of one who is told."""

    def __init__(self, clock: ManualClock, *topics: Topic, apps: Iterable[str] | None = None):
        self.clock = clock
        self.scene = Scene(clock)
        self.desk = Desk(receiver(*topics, apps=apps))
        self.scene.chronicle.listeners.append(self._hear)
        self.keeper: Keeper
        self.schedule: Schedule

    async def begin(self) -> Story:
        self.keeper, self.schedule = await started(self.scene)
        self.clock.suspend(timedelta(seconds=6950))
        return self

    async def meets(self, *troubles: Exception) -> None:
        """At one look after the other, each later than any wait."""
        for trouble in troubles:
            self.scene.wechat.troubles.append(trouble)
            await self.looks(20)

    async def looks(self, seconds: float) -> None:
        await self.schedule.look()
        await settle()
        self.clock.suspend(timedelta(seconds=seconds))
        self.scene.chronicle.look(self.keeper.status())

    def told(self) -> list[News]:
        """All that is ripe."""
        now = self.clock.elapsed()
        news = self.desk.take(now - GRACE, now)
        self.desk.settled()
        return news

    def topics(self) -> list[Topic]:
        return [each.topic for each in self.told()]

    def _hear(self, event) -> None:
        self.desk.hear(event, percent=0, now=self.clock.elapsed())


async def test_one_failure_is_nobodys_business(clock: ManualClock) -> None:
    story = await Story(clock).begin()

    await story.meets(AWAY)
    await story.looks(20)

    assert story.topics() == []


async def test_a_second_failure_in_a_row_is_told_and_no_further_one(clock: ManualClock) -> None:
    story = await Story(clock).begin()

    await story.meets(AWAY, AWAY)
    (news,) = story.told()
    await story.meets(AWAY, AWAY)

    assert (news.topic, str(news.error)) == (Topic.FAILING, "nobody there")
    assert timedelta(seconds=200) < news.left < timedelta(seconds=250)
    assert story.topics() == []


async def test_what_was_told_is_told_to_be_over(clock: ManualClock) -> None:
    story = await Story(clock).begin()

    await story.meets(AWAY, AWAY)
    story.told()
    await story.looks(20)
    (news,) = story.told()

    assert (news.topic, news.ended) == (Topic.RECOVERED, Topic.FAILING)


async def test_trouble_that_is_over_within_seconds_is_told_neither_at_its_beginning_nor_end(
    clock: ManualClock,
) -> None:
    story = await Story(clock).begin()
    story.scene.wechat.troubles += [AWAY, AWAY]

    for seconds in (4, 4, 30):
        await story.looks(seconds)

    assert story.topics() == []


async def test_to_who_was_away_a_recovery_says_what_it_ended(clock: ManualClock) -> None:
    story = await Story(clock).begin()

    await story.meets(AWAY, AWAY)
    await story.looks(3600)
    (news,) = story.told()

    assert (news.topic, news.ended) == (Topic.RECOVERED, Topic.FAILING)


async def test_a_refusal_is_told_at_once_and_by_its_errcode(clock: ManualClock) -> None:
    story = await Story(clock).begin()

    await story.meets(refused())
    (first,) = story.told()
    clock.suspend(timedelta(seconds=61))
    await story.meets(refused())

    assert story.keeper.status().failures == 2
    assert story.topics() == []
    assert first.topic is Topic.REFUSED
    assert (first.error.errcode, first.error.advice) == (40164, "mend it")


async def test_a_minute_in_which_wechat_takes_no_more_calls_is_over_before_it_is_read(
    clock: ManualClock,
) -> None:
    story = await Story(clock).begin()

    await story.meets(MinuteQuotaReached(45011, "api minute-quota reach limit", "wait"))

    assert story.topics() == []


async def test_trouble_that_gets_worse_and_is_over_within_seconds_is_not_told(
    clock: ManualClock,
) -> None:
    story = await Story(clock).begin()
    clock.suspend(timedelta(seconds=240))
    story.scene.wechat.troubles += [AWAY, AWAY]

    for seconds in (2, 8.5):
        await story.looks(seconds)
    state = story.keeper.state(clock.now())
    await story.looks(20)

    assert state is State.EXPIRED
    assert story.topics() == []


async def test_that_a_token_has_expired_is_told_after_its_failing(clock: ManualClock) -> None:
    story = await Story(clock).begin()
    await story.meets(AWAY, AWAY)
    before = story.topics()
    story.scene.wechat.troubles += [AWAY] * 100

    for _ in range(30):
        await story.looks(15)

    assert (before, story.topics()) == ([Topic.FAILING], [Topic.EXPIRED])


async def test_who_does_not_want_refusals_hears_that_the_key_fails(clock: ManualClock) -> None:
    story = await Story(clock, Topic.FAILING).begin()

    await story.meets(refused())
    story.clock.suspend(timedelta(seconds=61))
    await story.meets(refused())

    assert story.topics() == [Topic.FAILING]


async def test_nobody_hears_that_something_is_over_of_which_he_never_heard(
    clock: ManualClock,
) -> None:
    story = await Story(clock, Topic.EXPIRED, Topic.RECOVERED).begin()

    await story.meets(AWAY, AWAY)
    await story.looks(20)

    assert story.topics() == []


async def test_other_apps_are_not_told_of(clock: ManualClock) -> None:
    story = await Story(clock, apps=["blog"]).begin()

    await story.meets(AWAY, AWAY)

    assert story.topics() == []


async def test_what_was_not_taken_is_told_later_as_it_is_then(clock: ManualClock) -> None:
    story = await Story(clock).begin()
    await story.meets(AWAY, AWAY)
    now = clock.elapsed()

    (failing,) = story.desk.take(now - GRACE, now)
    await story.looks(20)
    story.desk.given_back()
    (news,) = story.told()

    assert failing.topic is Topic.FAILING
    assert (news.topic, news.ended) == (Topic.RECOVERED, Topic.FAILING)


async def test_what_nobody_could_be_told_for_a_day_is_dropped_and_counted(
    clock: ManualClock,
) -> None:
    story = await Story(clock).begin()
    await story.meets(AWAY, AWAY)

    clock.suspend(timedelta(days=1))

    assert (story.topics(), story.desk.dropped) == ([], 1)


async def test_of_a_key_that_is_kept_no_more_nothing_is_told(clock: ManualClock) -> None:
    story = await Story(clock).begin()
    await story.meets(AWAY, AWAY)

    story.desk.keep(lambda key: key != KEY)

    assert story.topics() == []


async def test_more_changes_than_there_is_room_for_are_counted(clock: ManualClock) -> None:
    scene, desk = Scene(clock), Desk(receiver(), most=10)
    scene.chronicle.listeners.append(lambda event: desk.hear(event, percent=0, now=NOW))

    for number in range(25):
        scene.chronicle.look(expired(number))
    first = desk.take(NOW, NOW)
    for number in range(25, 30):
        scene.chronicle.look(expired(number))

    assert len(first) == 10
    assert desk.dropped == 20
    desk.given_back()
    assert len(desk.take(NOW, NOW)) == 10


def expired(number: int) -> Status:
    return Status(
        key=TokenKey(app=f"app{number}", appid=f"wx{number:016x}", kind="access_token"),
        state=State.EXPIRED,
        token=None,
        expires_in=timedelta(0),
        refreshing=False,
        next_refresh_in=timedelta(0),
        failures=1,
        error=AWAY,
    )


async def test_a_days_new_tokens_are_told_of_at_a_half_four_fifths_and_all(
    clock: ManualClock, tmp_path: Path
) -> None:
    house = House(tmp_path, clock=clock)
    desk = Desk(receiver(Topic.QUOTA))
    house.chronicle.listeners.append(
        lambda event: desk.hear(
            event, percent=house.fleet.budgets.percent(event.status.key), now=NOW
        )
    )
    await house.begin()
    keeper = house.fleet.keepers["shop/access_token"]

    told = []
    for number in range(15):
        await house.live(300, step=10)
        await keeper.refresh(rejected=None, by=f"operator-{number}")
        await settle()
        told += [(number + 1, each.percent) for each in desk.take(NOW, NOW)]
        desk.settled()

    assert told == [(8, 50), (12, 80), (15, 100)]


async def test_what_another_node_has_spent_is_known_once_the_store_refuses_more(
    clock: ManualClock,
) -> None:
    store = LocalStore(Forgetful(), clock)
    one, other = Budgets(store, Terms(), clock), Budgets(store, Terms(), clock)
    for number in range(15):
        clock.suspend(timedelta(minutes=2))
        await one.of(KEY).spend(f"client-{number}", by_operator=False)
    clock.suspend(timedelta(minutes=2))
    before = other.percent(KEY)
    with pytest.raises(RefreshLimited):
        await other.of(KEY).spend("client", by_operator=False)

    assert (before, one.percent(KEY), other.percent(KEY)) == (0, 100, 100)
    clock.suspend(timedelta(days=1))
    assert (one.percent(KEY), other.percent(KEY)) == (0, 0)


async def test_that_wecom_gives_its_old_token_once_more_is_not_told(
    clock: ManualClock, tmp_path: Path
) -> None:
    """It does so at the end of each."""
    house = House(tmp_path, clock=clock)
    desk = Desk(receiver(apps=["stock"]))
    house.chronicle.listeners.append(lambda event: desk.hear(event, percent=0, now=clock.elapsed()))
    watchdog = RollCall(house.fleet.keepers, house.chronicle.look)
    await house.begin()

    failed = []
    house.chronicle.listeners.append(
        lambda event: failed.append(event) if event.status.failures else None
    )
    await house.live(7150, step=50)
    for _ in range(100):
        await house.live(1)
        watchdog.go_on()
        assert desk.take(clock.elapsed() - GRACE, clock.elapsed()) == []

    assert "stock" in [event.status.key.app for event in failed]
    assert not desk


@pytest.mark.parametrize("errcode", [40164, 40125, 89503])
async def test_another_refusal_is_told_again(clock: ManualClock, errcode: int) -> None:
    story = await Story(clock).begin()
    await story.meets(refused(50002))
    story.told()
    clock.suspend(timedelta(minutes=5))

    await story.meets(refused(errcode))

    assert errcode in [each.error.errcode for each in story.told()]
