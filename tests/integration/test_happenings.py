"""What happens to keys is told to those who may see their status, as it happens; while hours pass
in virtual time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.house import House
from kit.served import ROOM, served
from kit.station import TOKEN, Station, Tell, now, station, telling
from kit.virtual import run

from tokend.cli.connection import to_socket
from tokend.errors import UpstreamRefused
from tokend.happening import Happening, What

if TYPE_CHECKING:
    from httpx_sse import ServerSentEvent
    from kit.station import Reader

    from tokend.keeper import Keeper

EVENTS = "/v1/events"
HEARTBEAT, HOUR = 15, 3600

READER = "onlooker"
SELLER = {"Authorization": "Bearer key-of-seller"}


@pytest.fixture
def tell(folder: Path) -> Tell:
    return telling(folder)


def happens(there: Station, name: str = "shop/access_token", times: int = 1) -> None:
    keeper: Keeper = there.house.fleet.keepers[name]
    for _ in range(times):
        there.house.chronicle.add(keeper, Happening(what=What.LOST))


def happenings(reader: Reader) -> list[ServerSentEvent]:
    """After the event that says where the reader is."""
    begin, *others = reader.events
    assert begin.event == "begin"
    return others


def told(reader: Reader) -> list[dict[str, object]]:
    return [json.loads(event.data) for event in happenings(reader)]


def ids(reader: Reader) -> list[int]:
    return [int(event.id) for event in happenings(reader)]


def may(there: Station, **changed: object) -> None:
    """A reload has changed what the reader may."""
    others = there.clients_but(READER)
    client = there.house.access.named(READER)
    there.house.access.change([*others, replace(client, **changed)])


# What is told


def test_a_refresh_is_told_with_the_status_as_the_route_for_it_has_it(tell: Tell) -> None:
    async def story(there: Station) -> None:
        async with there.reading(EVENTS, client=READER) as reader:
            generation = await there.rotate()
            await asyncio.sleep(0.2)
            headers = {"Authorization": "Bearer key-of-onlooker"}
            answer = await there.http.get("/v1/apps", headers=headers)
            at_last = there.house.chronicle.last
            there_is = there.house.tokens()

        (event,), (data,) = happenings(reader), told(reader)
        status = {key["app"]: key for key in answer.json()["keys"] if key["app"] == "shop"}
        assert (event.event, event.id) == ("refreshed", str(at_last))
        assert data.keys() == {
            *("number", "at", "app", "appid", "kind", "what"),
            *("purpose", "took", "error", "status"),
        }
        assert (data["number"], data["what"]) == (at_last, "refreshed")
        assert (data["app"], data["kind"]) == ("shop", "access_token")
        assert (data["purpose"], data["took"], data["error"]) == ("replace", 0.0, None)
        assert data["status"]["generation"] == generation
        assert data["status"].keys() == status["shop"].keys()
        assert not [value for value in there_is.values() if value in event.data]

    tell(story)


def test_what_failed_is_told_with_what_wechat_said_and_what_to_do(tell: Tell) -> None:
    async def story(there: Station) -> None:
        async with there.reading(EVENTS, client=READER) as reader:
            refused = UpstreamRefused(40164, "invalid ip", advice="add it", advice_zh="请加入")
            happening = Happening(what=What.FAILED, took=timedelta(seconds=0.25), error=refused)
            there.house.chronicle.add(there.keeper, happening)
            await asyncio.sleep(0.2)

        (data,) = told(reader)
        assert data["error"] == {
            "message": str(refused),
            "errcode": 40164,
            "advice": "add it",
            "advice_zh": "请加入",
        }
        assert data["took"] == 0.25

    tell(story)


def test_all_that_happens_is_told_once_and_in_order_however_much_it_is(tell: Tell) -> None:
    async def story(there: Station) -> None:
        async with there.reading(EVENTS, client=READER) as reader:
            before = there.house.chronicle.last
            for _ in range(10):
                happens(there, times=70)
                await asyncio.sleep(0.03)
            await asyncio.sleep(5)

        assert ids(reader) == list(range(before + 1, before + 701))

    tell(story)


def test_it_begins_with_now_and_is_there_before_anything_happens(tell: Tell) -> None:
    async def story(there: Station) -> None:
        happens(there, times=3)
        async with there.reading(EVENTS, client=READER) as reader:
            assert reader.status == 200
            assert happenings(reader) == []
            happens(there)
            await asyncio.sleep(0.2)
            assert ids(reader) == [there.house.chronicle.last]

    tell(story)


@pytest.mark.parametrize("how", ["header", "query", "both"])
def test_who_was_away_hears_what_came_since(tell: Tell, how: str) -> None:
    async def story(there: Station) -> None:
        last = there.house.chronicle.last
        happens(there, times=120)
        older = f"?after={last - 1000}" if how == "both" else f"?after={last}"
        path = EVENTS if how == "header" else f"{EVENTS}{older}"
        given = "" if how == "query" else str(last)
        async with there.reading(path, last=given, client=READER) as reader:
            await asyncio.sleep(2)

        begin = reader.events[0]
        assert (begin.id, json.loads(begin.data)) == (str(last), {"number": last})
        assert ids(reader) == list(range(last + 1, last + 121))

    tell(story)


def test_who_has_heard_of_nothing_yet_knows_where_to_go_on(tell: Tell) -> None:
    """A reader that comes back by itself sends the id of the last event, whatever that was."""

    async def story(there: Station) -> None:
        last = there.house.chronicle.last
        async with there.reading(EVENTS, client=READER) as reader:
            (begin,) = reader.events
        happens(there, times=3)
        async with there.reading(EVENTS, last=begin.id, client=READER) as again:
            await asyncio.sleep(1)

        assert (begin.event, begin.id) == ("begin", str(last))
        assert json.loads(begin.data) == {"number": last}
        assert reader.names == ["begin"]
        assert ids(again) == [last + 1, last + 2, last + 3]

    tell(story)


def test_where_it_is_is_said_to_a_client_that_may_hear_of_nothing_that_came(tell: Tell) -> None:
    async def story(there: Station) -> None:
        last = there.house.chronicle.last
        happens(there, times=120)
        may(there, apps=frozenset({"blog"}))
        async with there.reading(EVENTS, last=str(last), client=READER) as reader:
            await asyncio.sleep(2)

        assert [(event.event, event.id) for event in reader.events] == [("begin", str(last))]

    tell(story)


@pytest.mark.parametrize("known", ["1", "another process", "long ago"])
def test_who_cannot_be_told_what_came_since_is_told_to_ask_anew(tell: Tell, known: str) -> None:
    async def story(there: Station) -> None:
        last = there.house.chronicle.last
        if known == "long ago":
            happens(there, times=2100)
        newest = there.house.chronicle.last
        given = {"1": "1", "another process": str(last + 10**9), "long ago": str(last)}[known]
        async with there.reading(EVENTS, last=given, client=READER) as reader:
            await asyncio.sleep(1)
            happens(there)
            await asyncio.sleep(1)

        assert reader.names == ["reset", "lost"]
        assert reader.ids == [newest, newest + 1]
        assert json.loads(reader.events[0].data) == {"number": newest}

    tell(story)


def test_while_nothing_happens_there_are_heartbeats(tell: Tell) -> None:
    async def story(there: Station) -> None:
        heard = b""
        headers = {"Authorization": "Bearer key-of-onlooker"}
        try:
            async with asyncio.timeout(4 * HEARTBEAT + 1):
                async with there.http.stream("GET", EVENTS, headers=headers) as got:
                    async for piece in got.aiter_bytes():
                        heard += piece
        except TimeoutError:
            pass

        assert heard.count(b"\n:") == 4
        assert heard.count(b"\n\n") == 1
        assert got.headers["Content-Type"] == "text/event-stream"

    tell(story)


# Who is told


def test_a_client_hears_of_its_own_apps_alone(tell: Tell) -> None:
    async def story(there: Station) -> None:
        may(there, apps=frozenset({"blog"}))
        async with there.reading(EVENTS, client=READER) as reader:
            for name in ("shop/access_token", "blog/access_token", "sales/access_token"):
                happens(there, name)
            await asyncio.sleep(1)

        assert [data["app"] for data in told(reader)] == ["blog"]

    tell(story)


def test_what_a_reload_takes_away_is_not_told_of_any_more(tell: Tell) -> None:
    async def story(there: Station) -> None:
        async with there.reading(EVENTS, client=READER) as reader:
            happens(there)
            await asyncio.sleep(1)
            happens(there)
            may(there, apps=frozenset({"blog"}))
            happens(there)
            happens(there, "blog/access_token")
            await asyncio.sleep(1)

            assert [data["app"] for data in told(reader)] == ["shop", "blog"]
            assert reader.ended_at is None

    tell(story)


@pytest.mark.parametrize("happens_more", [True, False])
def test_who_may_not_any_more_hears_nothing_and_the_stream_is_over(
    tell: Tell, *, happens_more: bool
) -> None:
    async def story(there: Station) -> None:
        async with there.reading(EVENTS, client=READER) as reader:
            began = now()
            may(there, can=frozenset({"read"}))
            happens(there, times=int(happens_more))
            await asyncio.sleep(HEARTBEAT + 1)

            assert happenings(reader) == []
            assert reader.ended_at is not None
            assert reader.ended_at - began <= (1 if happens_more else HEARTBEAT)

    tell(story)


@pytest.mark.parametrize(
    ("path", "headers", "refused"),
    [
        pytest.param(EVENTS, {"Authorization": "Bearer no"}, (401, "unauthorized"), id="no key"),
        pytest.param(EVENTS, SELLER, (403, "forbidden"), id="may not"),
        pytest.param(f"{EVENTS}?wait=9", {}, (400, "bad_request"), id="no such parameter"),
        pytest.param(f"{EVENTS}?after=1&after=2", {}, (400, "bad_request"), id="twice"),
        pytest.param(f"{EVENTS}?after=x", {}, (400, "bad_request"), id="no number"),
        pytest.param(EVENTS, {"Last-Event-ID": "9" * 99}, (400, "bad_request"), id="a huge id"),
    ],
)
def test_what_is_refused_is_a_problem_document_and_no_stream(
    tell: Tell, path: str, headers: dict[str, str], refused: tuple[int, str]
) -> None:
    async def story(there: Station) -> None:
        answer = await there.http.get(
            path, headers={"Authorization": "Bearer key-of-onlooker", **headers}
        )

        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert (answer.status_code, answer.json()["code"]) == refused

    tell(story)


def test_a_head_opens_no_stream(tell: Tell) -> None:
    async def story(there: Station) -> None:
        assert (await there.http.head(EVENTS)).status_code == 405

    tell(story)


# How many, and for how long


def test_it_counts_as_a_poll_and_ends_after_an_hour(folder: Path) -> None:
    async def story() -> None:
        async with station(folder, most_polls=1) as there:
            began = now()
            async with there.reading(EVENTS, client=READER) as reader:
                poll = await there.http.get(f"{TOKEN}?after={there.keeper.generation}&wait=1")
                while reader.ended_at is None and now() < began + 2 * HOUR:
                    await asyncio.sleep(1)

            assert (poll.status_code, poll.json()["code"]) == (503, "crowded")
            assert HOUR - 1 <= reader.ended_at - began <= HOUR + HEARTBEAT + 1

    run(story())


def test_it_ends_at_once_and_cleanly_when_tokend_does(tell: Tell) -> None:
    async def story(there: Station) -> None:
        async with there.reading(EVENTS, client=READER) as reader:
            await there.house.app.shutdown()
            await asyncio.sleep(0.1)

            assert reader.ended_at is not None

    tell(story)


# Very many


@pytest.fixture
async def house(folder: Path) -> House:
    house = House(folder, clients="", most_polls=300)
    await house.begin()
    return house


async def test_the_command_line_reads_events_over_the_socket_as_they_are(
    house: House, folder: Path
) -> None:
    async with served(house.app, folder) as where:
        pieces = to_socket(str(where.unix)).stream(EVENTS)
        heard = await asyncio.to_thread(lambda: next(pieces) + next(pieces))
        await asyncio.to_thread(pieces.close)

    assert heard.startswith(b"retry: ")


async def test_a_thousand_events_for_two_hundred_readers_keep_no_get_waiting(
    house: House, folder: Path
) -> None:
    room = replace(ROOM, tcp=300, per_address=300)
    keeper = house.fleet.keepers["shop/access_token"]
    async with served(house.app, folder, room=room) as where:
        url = f"http://127.0.0.1:{where.tcp}"
        readers = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kit.crowd", str(where.tcp), EVENTS, "200"),
            str(keeper.generation),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": str(Path(__file__).parents[1])},
            limit=2**24,
        )
        assert await readers.stdout.readline() == b"waiting\n"
        while house.polls.open < 200:
            await asyncio.sleep(0.01)
        hearing = asyncio.create_task(readers.stdout.readline())
        took = []
        async with aiohttp.ClientSession(url) as session:
            for _ in range(1000):
                house.chronicle.add(keeper, Happening(what=What.LOST))
            await keeper.refresh(rejected=None, by="shopper")
            began = time.monotonic()
            while not hearing.done():
                asked = time.monotonic()
                async with session.get(TOKEN) as response:
                    assert response.status == 200
                took.append(time.monotonic() - asked)
        met = json.loads(await hearing)
        readers.stdin.close()
        await readers.wait()

    print(  # noqa: T201
        f"\n1000 events to 200 readers in {max(met['heard']) - began:.2f} s; {len(took)} GETs "
        f"meanwhile, p99 {quantiles(took, n=100)[98] * 1000:.1f} ms, at most {max(took):.3f} s"
    )
    assert (len(met["heard"]), met["lost"]) == (200, 0)
    assert len(took) > 20
    assert quantiles(took, n=100)[98] < 0.5
    assert not keeper.watchers
