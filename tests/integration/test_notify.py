"""A receiver hears everything there is to tell, however often it is away, and once.

On an event loop whose time passes by itself, against real sockets.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING

import pytest
from kit import virtual
from kit.robot import SILENCE, WELL, Robot, robot
from kit.upstream import http, request, scripted
from kit.virtual import LoopClock

from tokend.chronicle import Chronicle
from tokend.errors import UpstreamUnreachable
from tokend.model import Secret, State, Status, TokenKey
from tokend.notify.formats import FORMATS, Answer, Call, Format, Outcome
from tokend.notify.notifiers import Notifiers, notifying
from tokend.notify.receiver import Receiver, Topic
from tokend.notify.webhook import open_webhooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

AWAY = UpstreamUnreachable("nobody there")
DOWN = http(b"", status="502 Bad Gateway")
BUSY = http(b'{"errcode":45009,"errmsg":"api freq out of limit"}')
GONE = http(b'{"errcode":93000,"errmsg":"invalid webhook url"}')


def story(told: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    @wraps(told)
    def run(**fixtures: object) -> None:
        virtual.run(told(**fixtures))

    return run


class Operators:
    """What happens to keys, and who is told of it."""

    def __init__(self, notifiers: Notifiers, chronicle: Chronicle) -> None:
        self.notifiers = notifiers
        self.chronicle = chronicle
        chronicle.listeners.append(notifiers.hear)

    def tell(self, *receivers: Receiver) -> None:
        self.notifiers.change({each.name: each for each in receivers}, lambda _: True)

    def breaks(self, *apps: str) -> None:
        for app in apps:
            self.chronicle.look(status(app, State.EXPIRED))

    def mends(self, *apps: str) -> None:
        for app in apps:
            self.chronicle.look(status(app, State.FRESH))


def status(app: str, state: State) -> Status:
    return Status(
        key=TokenKey(app=app, appid="wx0123456789abcdef", kind="access_token"),
        state=state,
        token=None,
        expires_in=timedelta(0),
        refreshing=False,
        next_refresh_in=timedelta(0),
        failures=int(state is State.EXPIRED),
        error=AWAY if state is State.EXPIRED else None,
    )


def receiver(there: Robot, name: str = "ops", **more) -> Receiver:
    topics = more.pop("topics", frozenset(Topic))
    more = {"format": "wecom", **more}
    return Receiver(name=name, url=Secret(there.url), topics=topics, **more)


@asynccontextmanager
async def operators(*receivers: Receiver) -> AsyncIterator[Operators]:
    clock = LoopClock()
    async with notifying(lambda _: 0, clock) as notifiers:
        there = Operators(notifiers, Chronicle(clock))
        there.tell(*receivers)
        yield there


def texts(messages: list[dict]) -> list[str]:
    return [each["text"]["content"] for each in messages]


def named(messages: list[dict]) -> list[list[str]]:
    """The apps of each message."""
    return [sorted(set(re.findall(r"(\w+)/access_token", text))) for text in texts(messages)]


@story
async def test_what_happens_at_once_is_one_message_after_ten_seconds() -> None:
    async with robot() as there, operators(receiver(there)) as they:
        they.breaks("a", "b")
        await asyncio.sleep(5)
        they.breaks("c")
        await asyncio.sleep(4)
        early = len(there.seen)
        await asyncio.sleep(2)
        assert named(there.taken) == [["a", "b"]]
        await asyncio.sleep(70)

    assert early == 0
    assert named(there.taken) == [["a", "b"], ["c"]]


@story
async def test_there_is_never_more_than_a_message_a_minute() -> None:
    """Robots take twenty, of all nodes together."""
    async with robot() as there, operators(receiver(there, format="json")) as they:
        for number in range(600):
            they.breaks(f"app{number}")
            await asyncio.sleep(1)
        assert 9 <= len(there.seen) <= 11
        await asyncio.sleep(120)

    assert sum(message["counts"]["expired"] for message in there.taken) == 600


@story
async def test_who_fails_twice_and_then_accepts_hears_it_once() -> None:
    async with robot(DOWN, DOWN) as there, operators(receiver(there)) as they:
        they.breaks("a")
        await asyncio.sleep(600)

    assert len(there.seen) == 3
    assert named(there.taken) == [["a"]]


@story
async def test_nothing_is_lost_over_a_restart_of_the_receiver_and_nothing_told_twice() -> None:
    async with robot() as there, operators(receiver(there)) as they:
        they.breaks("a")
        await asyncio.sleep(15)
        await there.end()
        they.breaks("b")
        await asyncio.sleep(200)
        they.breaks("c")
        they.mends("a")
        await asyncio.sleep(3600)
        await there.begin()
        await asyncio.sleep(400)

    assert named(there.taken) == [["a"], ["a", "b", "c"]]
    assert "Well again: a/access_token\n- Why: had expired" in texts(there.taken)[1]


@story
async def test_who_never_answers_keeps_nobody_waiting() -> None:
    async with (
        robot(*[SILENCE] * 1000) as silent,
        robot() as there,
        operators(receiver(silent, "silent"), receiver(there)) as they,
    ):
        they.breaks("a")
        await asyncio.sleep(30)
        heard = named(there.taken)
        await asyncio.sleep(3600)
        tries = len(silent.seen)
        ended = asyncio.get_running_loop().time()

    assert heard == [["a"]]
    assert 10 <= tries <= 20
    assert asyncio.get_running_loop().time() - ended < 3


@story
async def test_a_robot_that_is_busy_by_its_code_is_asked_again_a_minute_later() -> None:
    async with robot(BUSY) as there, operators(receiver(there)) as they:
        they.breaks("a")
        await asyncio.sleep(60)
        assert len(there.seen) == 1
        await asyncio.sleep(30)
        assert len(there.seen) == 2


@story
async def test_a_robot_that_refuses_by_its_code_is_not_asked_again_but_hears_later_that_it_missed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with robot(GONE, GONE) as there, operators(receiver(there)) as they:
        they.breaks("a", "b")
        await asyncio.sleep(3600)
        assert len(there.seen) == 1
        they.breaks("c")
        await asyncio.sleep(3600)
        assert len(there.seen) == 2
        they.breaks("d")
        await asyncio.sleep(3600)
        they.breaks("e")
        await asyncio.sleep(3600)

    missed, last = texts(there.taken)[-2:]
    assert missed.endswith("Changes before this that could not be told: 3")
    assert "e/access_token" in last
    assert "could not be told" not in last
    logged = capfd.readouterr().out
    assert logged.count("notifier_refused") == 1
    assert "code 93000" in logged


@story
async def test_a_4xx_is_told_in_the_log_once(capfd: pytest.CaptureFixture[str]) -> None:
    nowhere = http(b"", status="404 Not Found")
    async with robot(*[nowhere] * 9) as there, operators(receiver(there, format="json")) as they:
        for app in "abc":
            they.breaks(app)
            await asyncio.sleep(3600)

    assert len(there.seen) == 3
    logged = capfd.readouterr().out
    assert logged.count("notifier_refused") == 1
    assert "404" in logged
    assert "canary" not in logged
    assert "/hook" not in logged


@story
async def test_a_redirect_is_not_followed() -> None:
    async with robot() as elsewhere:
        there_is = http(b"", status="307 X", headers=f"Location: {elsewhere.url}\r\n")
        async with robot(there_is) as there, operators(receiver(there)) as they:
            they.breaks("a")
            await asyncio.sleep(3600)

    assert (len(there.seen), elsewhere.seen) == (1, [])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(WELL[:-5], id="cut off"),
        pytest.param(http(b"x" * 1_000_000), id="huge"),
        pytest.param(http(b"<html>"), id="not JSON"),
    ],
)
def test_after_a_2xx_a_message_is_not_sent_again_whatever_is_wrong_with_it(answer: bytes) -> None:
    async def told() -> None:
        async with robot(answer) as there, operators(receiver(there)) as they:
            they.breaks("a")
            await asyncio.sleep(3600)
        assert len(there.seen) == 1

    virtual.run(told())


@story
async def test_who_asks_to_be_left_alone_is_for_ten_minutes_at_most() -> None:
    limited = http(b"", status="429 X", headers="Retry-After: 99999\r\n")
    async with robot(limited) as there, operators(receiver(there, format="slack")) as they:
        they.breaks("a")
        await asyncio.sleep(590)
        assert len(there.seen) == 1
        await asyncio.sleep(60)
        assert len(there.seen) == 2


@story
async def test_at_the_end_what_waits_gets_one_last_chance() -> None:
    async with robot() as there, operators(receiver(there)) as they:
        they.breaks("a")
        await asyncio.sleep(1)

    assert named(there.taken) == [["a"]]


@story
async def test_what_was_not_heard_in_the_end_is_counted_in_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with robot(*[SILENCE] * 9) as there, operators(receiver(there)) as they:
        they.breaks("a", "b")
        await asyncio.sleep(12)

    logged = capfd.readouterr().out
    assert "changes_never_told" in logged
    assert "changes=2" in logged


@story
async def test_a_storm_of_ten_thousand_changes_is_one_message_and_holds_nobody_up() -> None:
    async with robot() as there, operators(receiver(there, format="json")) as they:
        they.breaks(*(f"app{number}" for number in range(10_000)))
        await asyncio.sleep(200)

    (message,) = there.taken
    assert message["counts"] == {"expired": 10_000}
    assert "10000 keys of 10000 apps: app0/access_token, " in message["text"]
    assert "and 9995 more" in message["text"]
    assert len(message["changes"]) == 100


@story
async def test_each_is_told_what_it_wants_to_hear() -> None:
    async with (
        robot() as all_of_shop,
        robot() as recoveries,
        operators(
            receiver(all_of_shop, "one", apps=frozenset({"shop"}), language="zh"),
            receiver(recoveries, "two", topics=frozenset({Topic.EXPIRED})),
        ) as they,
    ):
        they.breaks("shop", "blog")
        await asyncio.sleep(100)
        they.mends("shop", "blog")
        await asyncio.sleep(100)

    assert named(all_of_shop.taken) == [["shop"], ["shop"]]
    assert "已恢复" in texts(all_of_shop.taken)[1]
    assert named(recoveries.taken) == [["blog", "shop"]]


@story
async def test_a_receiver_that_is_changed_is_told_at_its_new_address_what_waits() -> None:
    async with robot(*[DOWN] * 99) as old, robot() as new, operators(receiver(old)) as they:
        they.breaks("a")
        await asyncio.sleep(500)
        they.tell(receiver(new))
        await asyncio.sleep(11)
        assert named(new.taken) == [["a"]]


@story
async def test_one_that_is_changed_while_it_does_not_answer_is_told_what_was_under_way() -> None:
    async with robot(SILENCE) as old, robot() as new, operators(receiver(old)) as they:
        they.breaks("a")
        await asyncio.sleep(12)
        assert len(old.seen) == 1
        they.tell(receiver(new))
        await asyncio.sleep(11)
        assert named(new.taken) == [["a"]]


async def test_no_more_is_read_of_an_endless_answer_than_any_robot_gives() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    started = time.monotonic()
    async with scripted(endless) as url, open_webhooks() as webhooks:
        answer = await webhooks.send(Call(Secret(url), b"{}"), FORMATS["wecom"])

    assert answer.outcome is Outcome.REFUSED
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("host", ["a..b", "[::1", "h:99999999", "-" * 80])
async def test_an_address_that_no_library_can_make_anything_of_is_refused_and_not_shown(
    host: str,
) -> None:
    async with open_webhooks() as webhooks:
        call = Call(Secret(f"http://{host}/canary-robot-key"), b"{}")
        answer = await webhooks.send(call, FORMATS["json"])

    assert answer.outcome is not Outcome.TOLD
    assert "canary" not in answer.said


class Crashing:
    """A way on which the first message ends in a bug."""

    def __init__(self) -> None:
        self.came: list[Call] = []

    async def send(self, call: Call, as_in: Format) -> Answer:
        self.came.append(call)
        if len(self.came) == 1:
            raise RuntimeError
        return as_in.read(200, b'{"errcode":0}')


@story
async def test_a_bug_costs_a_message_and_not_all_later_ones(
    capfd: pytest.CaptureFixture[str],
) -> None:
    way, chronicle = Crashing(), Chronicle(LoopClock())
    they = Operators(Notifiers(way, lambda _: 0, LoopClock()), chronicle)
    they.tell(receiver(Robot()))
    for app in "ab":
        they.breaks(app)
        await asyncio.sleep(100)
    await they.notifiers.finish()

    assert b"not be told: 1" in way.came[1].body
    assert "notifier_crashed" in capfd.readouterr().out


@story
async def test_one_that_is_taken_out_hears_no_more_and_a_new_one_does(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with robot() as old, robot() as new, operators(receiver(old, "old")) as they:
        they.breaks("a")
        they.tell(receiver(new, "new"))
        they.breaks("b")
        await asyncio.sleep(100)

    assert old.seen == []
    assert named(new.taken) == [["b"]]
    assert "changes_never_told" in capfd.readouterr().out


@story
async def test_of_those_that_were_changed_or_taken_out_nothing_goes_on() -> None:
    async with robot() as there, operators() as they:
        before = asyncio.all_tasks()
        for language in ("en", "zh", "en"):
            they.tell(receiver(there, language=language))
        they.tell()
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == before


@story
async def test_one_that_stays_does_not_notice_a_reload() -> None:
    async with robot(DOWN) as there, operators(receiver(there)) as they:
        they.breaks("a")
        await asyncio.sleep(10.5)
        for _ in range(15):
            they.tell(receiver(there))
            await asyncio.sleep(1)
        assert len(there.seen) == 2


@story
async def test_signatures_are_of_the_time_of_the_call() -> None:
    async with (
        robot(DOWN) as there,
        operators(
            replace(receiver(there), format="dingtalk", secret=Secret("canary-robot-secret"))
        ) as they,
    ):
        they.breaks("a")
        await asyncio.sleep(300)

    first, second = (int(re.search(r"timestamp=(\d+)", line)[1]) for line in there.lines)
    assert second - first >= 10_000
