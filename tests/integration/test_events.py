"""Server-sent events, as a parser that is not ours reads them, while hours pass in virtual time."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from kit.house import key
from kit.served import NO_PROXIES, ROOM, connected, until_over
from kit.station import TOKEN, Tell, now, station, telling
from kit.virtual import run
from structlog.testing import capture_logs

from tokend.api.listeners import serving
from tokend.api.warden import Warden

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.station import Station

HEARTBEAT, HOUR, LIFE = 15, 3600, 7200


@pytest.fixture
def tell(folder: Path) -> Tell:
    return telling(folder)


# What is told


def test_the_current_token_comes_at_once_as_a_get_gives_it(tell: Tell) -> None:
    async def story(there: Station) -> None:
        got = (await there.get()).json()
        async with there.reading() as reader:
            (event,) = reader.events

            assert json.loads(event.data) == got
            assert event.event == "token"
            assert event.id == str(got["generation"])

    tell(story)


def test_who_comes_back_with_the_last_id_hears_of_each_token_once_and_in_time(tell: Tell) -> None:
    """As those libraries do that connect again by themselves."""

    async def story(there: Station) -> None:
        last, retry, heard = "", 0, []
        while now() < 8 * HOUR:
            async with there.reading(last=last) as reader:
                while reader.ended_at is None:
                    assert there.house.is_valid(there.house.token("shop/access_token"))
                    await asyncio.sleep(10)
            for event in reader.events:
                assert event.event == "token"
                retry = event.retry or retry
                last = event.id
                heard.append(json.loads(event.data))
            assert 1000 <= retry <= 5000
            await asyncio.sleep(retry / 1000)
        generations = [token["generation"] for token in heard]

        assert len(generations) >= 4
        assert generations == sorted(set(generations))
        assert len({token["access_token"] for token in heard}) == len(heard)
        assert heard[-1]["access_token"] == there.house.token("shop/access_token")
        assert all(token["expires_in"] > 6000 for token in heard[1:])

    tell(story)


@pytest.mark.parametrize("ahead", [0, 1000], ids=["the current one", "one of another node"])
def test_who_has_the_token_hears_of_newer_ones_alone(tell: Tell, ahead: int) -> None:
    async def story(there: Station) -> None:
        async with there.reading(last=str(there.keeper.generation + ahead)) as reader:
            await asyncio.sleep(100)
            before = reader.names[:]
            generation = await there.rotate()
            await asyncio.sleep(1)

            assert before == []
            assert reader.ids == [generation]

    tell(story)


def test_between_events_there_are_heartbeats_that_no_parser_takes_for_an_event(tell: Tell) -> None:
    async def story(there: Station) -> None:
        heard = b""
        async with there.http.stream("GET", TOKEN, headers={"Accept": "text/event-stream"}) as got:
            with suppress(TimeoutError):
                async with asyncio.timeout(4 * HEARTBEAT + 1):
                    async for piece in got.aiter_bytes():
                        heard += piece

        assert heard.count(b"\n:") == heard.count(b":\n") == 4
        assert heard.count(b"\n\n") == 1
        assert got.headers["Content-Type"] == "text/event-stream"
        assert got.headers["Cache-Control"] == "no-store"

    tell(story)


def test_the_end_of_a_token_is_told_once_and_then_what_comes_after_it(tell: Tell) -> None:
    async def story(there: Station) -> None:
        there.house.wechat.hold()
        await asyncio.sleep(LIFE - 100 - now())
        async with there.reading() as reader:
            while there.keeper.status().state != "expired":
                await asyncio.sleep(0.5)
            await asyncio.sleep(2)
            told_in_time = reader.names[:]
            problem = (await there.get()).json()
            await asyncio.sleep(300)
            told_once = reader.names[:]
            there.house.wechat.let_go()
            await asyncio.sleep(60)

        assert told_in_time == told_once == ["token", "expired"]
        assert reader.names == ["token", "expired", "token"]
        expired = json.loads(reader.events[1].data)
        assert expired["code"] == problem["code"] == "not_ready"
        assert expired["status"] == 503
        assert reader.ids[0] == reader.ids[1] < reader.ids[2]
        assert json.loads(reader.events[2].data)["access_token"] == there.house.token(
            "shop/access_token"
        )

    tell(story)


def test_over_http_1_0_the_stream_ends_with_the_connection(tell: Tell) -> None:
    async def story(there: Station) -> None:
        ask = (
            f"GET {TOKEN} HTTP/1.0\r\nAuthorization: Bearer {key('shopper')}\r\n"
            "Accept: text/event-stream\r\n\r\n"
        )
        async with connected(there.served.tcp) as (reader, writer):
            writer.write(ask.encode())
            await reader.readuntil(b"event: token\n")
            await there.house.app.shutdown()
            rest = await until_over(reader)

        assert rest.startswith(b"data: {")
        assert rest.endswith(b"}\n\n")

    tell(story)


def test_after_a_standstill_nothing_is_told_before_a_look_at_the_store(tell: Tell) -> None:
    """What is in memory may have been replaced twice meanwhile."""

    async def story(there: Station) -> None:
        async with there.reading() as reader:
            there.house.looked.clear()
            await there.rotate()
            await asyncio.sleep(1)
            before = len(reader.events)
            there.house.looked.set()
            await asyncio.sleep(1)

            assert (before, len(reader.events)) == (1, 2)

    tell(story)


# Who is told


def test_permission_lost_is_noticed_at_the_next_heartbeat(tell: Tell) -> None:
    async def story(there: Station) -> None:
        async with there.reading() as reader:
            there.house.access.change(there.clients_but("shopper"))
            began = now()
            await asyncio.sleep(HEARTBEAT + 1)

            assert reader.ended_at is not None
            assert reader.ended_at - began <= HEARTBEAT
            assert (await there.get()).status_code == 401

    tell(story)


@pytest.mark.parametrize("change", ["gone", "blind"])
def test_no_token_is_told_after_the_permission_is_lost(tell: Tell, change: str) -> None:
    async def story(there: Station) -> None:
        left = {
            "gone": there.clients_but("shopper"),
            "blind": [replace(each, sees_tokens=False) for each in there.clients_but("")],
        }[change]
        async with there.reading() as reader:
            there.house.access.change(left)
            await there.rotate()
            await asyncio.sleep(1)

            assert len(reader.events) == 1
            assert reader.ended_at is not None

    tell(story)


def test_a_stream_ends_with_its_app(tell: Tell) -> None:
    async def story(there: Station) -> None:
        async with there.reading() as reader:
            there.house.fleet.apply(
                {name: app for name, app in there.house.config.apps.items() if name != "shop"}
            )
            await asyncio.sleep(HEARTBEAT + 1)

            assert reader.ended_at is not None

    tell(story)


def test_a_stream_ends_after_an_hour(tell: Tell) -> None:
    async def story(there: Station) -> None:
        async with there.reading() as reader:
            began = now()
            await asyncio.sleep(HOUR + HEARTBEAT)

            assert reader.ended_at is not None
            assert HOUR - 1 <= reader.ended_at - began <= HOUR + HEARTBEAT

    tell(story)


def test_a_stream_ends_at_once_and_cleanly_when_tokend_does(tell: Tell) -> None:
    async def story(there: Station) -> None:
        async with there.reading() as reader:
            await there.house.app.shutdown()
            await asyncio.sleep(0.1)

            assert reader.ended_at is not None
            assert reader.names == ["token"]

    tell(story)


# Who does not read


@asynccontextmanager
async def unread(there: Station) -> AsyncIterator[socket.socket]:
    """A stream that was asked for and is not read yet, with next to no room on the way."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    warden = Warden(ROOM, NO_PROXIES)
    where = listener.getsockname()
    async with serving(
        there.house.app, addresses=[where], unix=None, warden=warden, passed=[listener]
    ):
        with socket.socket() as reader:
            reader.setblocking(False)  # noqa: FBT003, its name is the call's
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.get_running_loop().sock_connect(reader, where)
            head = f"Host: localhost\r\nAuthorization: Bearer {key('shopper')}\r\n"
            ask = f"GET {TOKEN} HTTP/1.1\r\n{head}Accept: text/event-stream\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(reader, ask.encode())
            await asyncio.sleep(0.1)
            yield reader


async def read(reader: socket.socket) -> bytes:
    """What comes within five seconds."""
    heard = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            while piece := await asyncio.get_running_loop().sock_recv(reader, 1024):
                heard += piece
    return heard


async def another(there: Station, number: int) -> None:
    """Other nodes refresh so many times, one soon after the other."""
    for _ in range(number):
        kept = there.house.table.kept
        generation = kept.generation + 1
        there.house.table.kept = replace(
            kept, value=f"{generation:0>400}", generation=generation, fence=generation
        )
        await there.house.notice(there.keeper)
        for _ in range(10):
            await asyncio.sleep(0)


def test_a_slow_reader_hears_of_the_newest_and_not_of_all_that_he_has_missed(tell: Tell) -> None:
    async def story(there: Station) -> None:
        async with unread(there) as reader:
            await another(there, 300)
            heard = await read(reader)
        told = [int(found) for found in re.findall(rb"^id: (\d+)$", heard, re.MULTILINE)]

        assert told[-1] == there.keeper.generation
        assert told == sorted(set(told))
        assert len(told) < 100

    tell(story)


def test_who_does_not_read_at_all_is_cut_and_makes_room(folder: Path) -> None:
    async def story() -> None:
        async with station(folder, most_polls=1) as there, unread(there) as reader:
            await another(there, 300)
            await asyncio.sleep(HEARTBEAT)
            async with there.reading() as other:
                assert other.names == ["token"]

            with pytest.raises(ConnectionResetError):
                await read(reader)

    run(story())


# What is refused, and how many there may be


@pytest.mark.parametrize(
    ("path", "headers", "refused"),
    [
        pytest.param(TOKEN, {"Authorization": "Bearer no"}, (401, "unauthorized"), id="no key"),
        pytest.param("/v1/apps/blog/access_token", {}, (403, "forbidden"), id="not allowed"),
        pytest.param("/v1/apps/shop/no", {}, (404, "unknown_key"), id="no such key"),
        pytest.param(f"{TOKEN}?after=1&wait=9", {}, (400, "bad_request"), id="a poll"),
        pytest.param(TOKEN, {"Last-Event-ID": "x"}, (400, "bad_request"), id="an id of others"),
        pytest.param(TOKEN, {"Last-Event-ID": "9" * 99}, (400, "bad_request"), id="a huge id"),
    ],
)
def test_what_is_refused_is_a_problem_document_and_no_stream(
    tell: Tell, path: str, headers: dict[str, str], refused: tuple[int, str]
) -> None:
    async def story(there: Station) -> None:
        answer = await there.http.get(path, headers={"Accept": "text/event-stream", **headers})

        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert (answer.status_code, answer.json()["code"]) == refused

    tell(story)


def test_without_a_token_there_is_no_stream_but_the_reason(tell: Tell) -> None:
    async def story(there: Station) -> None:
        there.house.wechat.hold()
        await asyncio.sleep(LIFE + 10)

        answer = await there.get(Accept="text/event-stream")

        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert int(answer.headers["Retry-After"]) >= 1

    tell(story)


@pytest.mark.parametrize("accept", ["application/json, text/event-stream", "*/*"])
def test_who_takes_json_gets_json(tell: Tell, accept: str) -> None:
    async def story(there: Station) -> None:
        answer = await there.get(Accept=accept)

        assert answer.json()["generation"] == there.keeper.generation

    tell(story)


def test_a_head_is_answered_and_opens_no_stream(folder: Path) -> None:
    async def story() -> None:
        async with station(folder, most_polls=1) as there:
            answer = await there.http.head(TOKEN, headers={"Accept": "text/event-stream"})
            async with there.reading() as reader:
                assert reader.names == ["token"]

            assert answer.status_code == 200

    run(story())


def test_a_stream_counts_as_a_poll_until_it_ends_or_its_reader_is_gone(
    folder: Path,
) -> None:
    async def story() -> None:
        async with station(folder, most_polls=1) as there:
            async with there.reading():
                second = await there.get(Accept="text/event-stream")
                poll = await there.http.get(f"{TOKEN}?after={there.keeper.generation}&wait=1")
            await asyncio.sleep(HEARTBEAT + 1)
            async with there.reading() as again:
                assert again.names == ["token"]

            assert (second.status_code, second.json()["code"]) == (503, "crowded")
            assert (poll.status_code, poll.json()["code"]) == (503, "crowded")

    run(story())


# The audit trail


def test_each_token_that_is_told_is_a_read(tell: Tell) -> None:
    async def story(there: Station) -> None:
        with capture_logs() as lines:
            async with there.reading(), there.reading():
                second = await there.rotate()
                await asyncio.sleep(1)
                there.house.access.change(there.clients_but("shopper"))
                await asyncio.sleep(HEARTBEAT)
            there.house.trail.end()
        told = [line for line in lines if line["event"] == "audit" and line.get("what") == "read"]
        first = min(line.get("generation", second) for line in told)

        assert [(line["outcome"], line.get("generation"), line.get("times")) for line in told] == [
            ("ok", first, None),
            ("ok", first, 1),
            ("ok", second, None),
            ("unauthorized", None, None),
            ("ok", second, 1),
            ("unauthorized", None, 1),
        ]
        assert {(line["who"], line["key"]) for line in told} == {("shopper", "shop/access_token")}

    tell(story)


def test_who_hung_up_while_he_polled_is_not_taken_for_a_stranger(tell: Tell) -> None:
    """What he was known by went with his connection."""

    async def story(there: Station) -> None:
        ask = f"GET {TOKEN}?after={there.keeper.generation}&wait=60 HTTP/1.1\r\nHost: x\r\n\r\n"
        async with connected(there.served.unix) as (_, writer):
            writer.write(ask.encode())
            await asyncio.sleep(1)
        with capture_logs() as lines:
            await there.rotate()
            await asyncio.sleep(1)
            there.house.trail.end()

        assert not [line for line in lines if line.get("what") == "read"]

    tell(story)
