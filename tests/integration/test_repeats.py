"""The same question on the same connection: what is repeated is what would be said anew.

``asked`` counts what went through aiohttp; everything else was repeated.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.clock import settle
from kit.corpus import HOST
from kit.house import BLOG, SHOP, House, key
from kit.served import Where, connected, served
from kit.tls import Authority
from structlog.testing import capture_logs

from tokend.api.repeats import _LONGEST, _MOST
from tokend.errors import UpstreamUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from ssl import SSLContext

    from aiohttp.typedefs import Handler

DATE = re.compile(rb"Date: [^\r]*\r\n")


def read(path: str, client: str = "shopper", *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", HOST.decode().strip(), *headers]
    if client:
        lines.append(f"Authorization: Bearer {key(client)}")
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def wechat(path: str, appid: str, client: str) -> bytes:
    query = f"grant_type=client_credential&appid={appid}&secret={key(client)}"
    return read(f"{path}?{query}", "")


TOKEN = read("/v1/apps/shop/access_token")
SHAPED = wechat("/cgi-bin/token", SHOP, "shopper")


@dataclass
class Line:
    """A connection that stays open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, *requests: bytes) -> bytes:
        """The answer to the last one; each is sent by itself."""
        heard = b""
        for request in requests:
            self.writer.write(request)
            heard = await self.hear()
        return heard

    async def hear(self) -> bytes:
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            return head + await self.reader.readexactly(int(length[1]) if length else 0)


class Place:
    """A house that is served, and a count of what aiohttp was asked."""

    def __init__(self, house: House, where: Where, trust: SSLContext | None) -> None:
        self.house = house
        self.where = where
        self.trust = trust
        self.asked = 0

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        async with connected(self.where, trust=self.trust) as (reader, writer):
            yield Line(reader, writer)

    async def anew(self, request: bytes) -> bytes:
        """The answer on a connection of its own, where nothing can be repeated."""
        async with self.line() as line:
            return await line.ask(request)


@asynccontextmanager
async def opened(folder: Path, authority: Authority | None = None) -> AsyncIterator[Place]:
    house = House(folder)
    place: Place

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        place.asked += 1
        return await handler(request)

    house.app.middlewares.insert(0, count)
    async with served(house.app, folder, authority=authority) as here:
        place = Place(house, here.tcp, authority.context() if authority else None)
        await house.begin()
        await house.clock.advance(0.5)
        yield place


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with opened(tmp_path) as place:
        yield place


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(TOKEN, id="json"),
        pytest.param(
            read("/v1/apps/shop/access_token", "shopper", "Accept: text/plain"), id="text"
        ),
        pytest.param(read("/v1/apps/shop/jsapi_ticket"), id="a ticket"),
        pytest.param(read("/v1/apps/blog/access_token", "everybody"), id="another client"),
        pytest.param(wechat("/cgi-bin/token", BLOG, "blogger"), id="as WeChat has it"),
    ],
)
async def test_a_repeated_answer_is_byte_for_byte_the_one_before(
    place: Place, request_: bytes
) -> None:
    async with place.line() as line:
        first = await line.ask(request_)
        again = [await line.ask(request_) for _ in range(5)]

    assert again == [first] * 5
    assert place.asked == 1


async def test_at_the_unix_socket_it_is_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as place:
        place.where = tmp_path / "tokend.sock"
        async with place.line() as line:
            first = await line.ask(read("/v1/apps/shop/access_token", ""))
            again = await line.ask(read("/v1/apps/shop/access_token", ""))

    assert again == first
    assert place.asked == 1


async def test_over_tls_it_is_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path, Authority(tmp_path)) as place, place.line() as line:
        first = await line.ask(TOKEN)
        again = await line.ask(TOKEN)

    assert again == first
    assert place.asked == 1


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(read("/v1/apps"), id="the status"),
        pytest.param(read("/healthz", ""), id="no token at all"),
        pytest.param(read("/v1/apps/shop/access_token?after=1"), id="a poll"),
        pytest.param(read("/v1/apps/blog/access_token"), id="forbidden"),
        pytest.param(read("/v1/apps/shop/access_token", "nobody"), id="a wrong key"),
        pytest.param(
            read("/v1/apps/shop/access_token", "shopper", "Content-Length: 0"), id="with a length"
        ),
        pytest.param(
            read("/v1/apps/shop/access_token", "shopper", f"X-Pad: {'x' * _LONGEST}"), id="long"
        ),
    ],
)
async def test_anything_else_is_asked_anew_each_time(place: Place, request_: bytes) -> None:
    async with place.line() as line:
        await line.ask(*[request_] * 3)

    assert place.asked == 3


async def test_who_asks_in_wechats_way_for_what_it_has_is_repeated_once_that_was_compared(
    place: Place,
) -> None:
    async with place.line() as line:
        await line.ask(SHAPED)
        calls = place.house.world.calls(SHOP, "stable_token")
        await line.ask(SHAPED)
        compared = place.house.world.calls(SHOP, "stable_token")
        await place.house.clock.advance(0.3)
        await line.ask(*[SHAPED] * 5)

    assert compared == calls + 1
    assert place.asked == 3


async def test_in_wechats_way_nothing_is_repeated_once_a_refresh_has_begun(place: Place) -> None:
    keeper = place.house.fleet.keepers["blog/access_token"]
    shaped = wechat("/cgi-bin/token", BLOG, "blogger")

    async with place.line() as line:
        await line.ask(shaped, shaped)
        asked = place.asked
        place.house.wechat.coming.append("unreachable")
        with pytest.raises(UpstreamUnreachable):
            await keeper.refresh(rejected=None, by="x")
        await line.ask(shaped)

    assert asked == 1
    assert place.asked == 2


async def test_who_waits_to_be_told_to_continue_is_told_each_time(place: Place) -> None:
    request = read("/v1/apps/shop/access_token", "shopper", "Expect: 100-continue")

    async with place.line() as line:
        for _ in range(3):
            told = await line.ask(request)
            await line.hear()

            assert told.startswith(b"HTTP/1.1 100")


async def test_a_second_later_it_is_asked_anew(place: Place) -> None:
    async with place.line() as line:
        first = json.loads((await line.ask(TOKEN)).partition(b"\r\n\r\n")[2])
        await place.house.clock.advance(1)
        second = json.loads((await line.ask(TOKEN)).partition(b"\r\n\r\n")[2])

    assert place.asked == 2
    assert second["expires_in"] == first["expires_in"] - 1


async def test_a_new_token_is_there_at_once(place: Place) -> None:
    keeper = place.house.fleet.keepers["shop/access_token"]

    async with place.line() as line:
        await line.ask(TOKEN, TOKEN)
        await keeper.refresh(rejected=None, by="x")
        heard = await line.ask(TOKEN)

    assert place.house.token("shop/access_token").encode() in heard


async def test_a_mark_in_the_store_is_there_at_once(place: Place) -> None:
    async with place.line() as line:
        await line.ask(TOKEN, TOKEN)
        await doubt(place.house, suspect=True)
        heard = await line.ask(TOKEN)

    assert b'"state": "suspect"' in heard


async def test_what_was_taken_away_by_a_reload_is_gone_at_once(place: Place) -> None:
    clients = place.house.config.clients
    shopper = replace(clients["shopper"], apps=frozenset({"blog"}))

    async with place.line() as line:
        await line.ask(TOKEN, TOKEN)
        place.house.access.change([shopper])
        heard = await line.ask(TOKEN)

    assert heard.startswith(b"HTTP/1.1 403")


async def test_two_requests_at_a_time_are_both_answered_and_nothing_is_repeated_after(
    place: Place,
) -> None:
    async with place.line() as line:
        first = await line.ask(TOKEN)
        line.writer.write(TOKEN + TOKEN)
        both = [await line.hear(), await line.hear()]
        later = await line.ask(TOKEN, TOKEN)

    assert [*both, later] == [first] * 3
    assert place.asked == 5


async def test_a_request_in_two_pieces_is_one_and_nothing_is_repeated_after(place: Place) -> None:
    async with place.line() as line:
        await line.ask(TOKEN)
        line.writer.write(TOKEN[:40])
        await settle()
        line.writer.write(TOKEN[40:])
        await line.hear()
        await line.ask(TOKEN, TOKEN)

    assert place.asked == 4


async def test_a_body_that_looks_like_the_request_before_it_is_a_body(place: Place) -> None:
    """Or else who shares a connection through a proxy could have others' answers moved by one."""
    post = (
        b"POST /v1/apps/shop/jsapi_signature HTTP/1.1\r\n%bAuthorization: Bearer %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    ) % (HOST, key("shopper").encode(), len(TOKEN))

    async with place.line() as line:
        await line.ask(TOKEN, TOKEN)
        line.writer.write(post)
        await settle()
        heard = await line.ask(TOKEN)

    assert heard.startswith(b"HTTP/1.1 400")
    assert b"the body is not JSON" in heard


async def test_many_that_differ_are_all_answered(place: Place) -> None:
    many = [read("/v1/apps/shop/access_token", "shopper", f"X-N: {n}") for n in range(_MOST * 3)]

    async with place.line() as line:
        await line.ask(*many, *many[-_MOST:])

    assert place.asked == len(many)


async def test_a_read_after_a_poll_that_hangs_is_answered_after_it(place: Place) -> None:
    keeper = place.house.fleet.keepers["shop/access_token"]
    poll = read(f"/v1/apps/shop/access_token?after={keeper.generation}&wait=60")

    async with place.line() as line:
        await line.ask(TOKEN)
        line.writer.write(poll)
        await settle()
        line.writer.write(TOKEN)
        await settle()
        await keeper.refresh(rejected=None, by="x")
        answers = [await line.hear(), await line.hear()]

    new = place.house.token("shop/access_token").encode()
    assert all(new in each for each in answers)


async def test_each_read_is_in_the_audit_trail(place: Place) -> None:
    with capture_logs() as logs:
        async with place.line() as line:
            await line.ask(*[TOKEN] * 10)
        await settle()
        place.house.trail.end()
    told = [each for each in logs if each["event"] == "audit" and each.get("what") == "read"]

    assert [each.get("times", 1) for each in told] == [1, 9]
    assert {each["who"] for each in told} == {"shopper"}


# Whatever happens


async def force(house: House) -> None:
    keeper = house.fleet.keepers["blog/access_token"]
    working = asyncio.ensure_future(keeper.refresh(rejected=None, by="x"))
    await house.live(2)
    await asyncio.gather(working, return_exceptions=True)


async def rotate(house: House) -> None:
    house.world.rotate(BLOG, house.clock.now())


async def reload(house: House, *, gone: str = "") -> None:
    house.access.change(client for name, client in house.config.clients.items() if name != gone)


async def doubt(house: House, *, suspect: bool) -> None:
    keeper = house.fleet.keepers["shop/access_token"]
    await house.table.update(keeper.key.record, lambda record: replace(record, suspect=suspect))
    await house.notice(keeper)


MOMENTS = {
    "a moment": lambda house: house.clock.advance(0.3),
    "seconds": lambda house: house.live(3),
    "an hour": lambda house: house.live(3600, step=200),
    "a forced refresh": force,
    "a rotation behind our back": rotate,
    "a client gone": lambda house: reload(house, gone="shopper"),
    "all clients there": reload,
    "a token in doubt": lambda house: doubt(house, suspect=True),
    "a token confirmed": lambda house: doubt(house, suspect=False),
}
QUESTIONS = {
    "a token": TOKEN,
    "as text": read("/v1/apps/shop/access_token", "shopper", "Accept: text/plain"),
    "another": read("/v1/apps/blog/access_token", "blogger"),
    "a ticket": read("/v1/apps/shop/jsapi_ticket"),
    "by WeChat's route": wechat("/cgi-bin/token", BLOG, "blogger"),
}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.one_of(
            st.sampled_from(sorted(QUESTIONS)),
            st.sampled_from(sorted(QUESTIONS)),
            st.sampled_from(sorted(MOMENTS)),
        ),
        max_size=30,
    )
)
async def test_whatever_happens_an_open_connection_gives_the_answers_of_a_new_one(
    steps: list[str],
) -> None:
    with tempfile.TemporaryDirectory(prefix="tokend-") as folder:
        async with opened(Path(folder)) as place, place.line() as line:
            for step in steps:
                if step in MOMENTS:
                    await MOMENTS[step](place.house)
                    continue
                one = await line.ask(QUESTIONS[step])
                other = await place.anew(QUESTIONS[step])

                assert DATE.sub(b"", one) == DATE.sub(b"", other), step
