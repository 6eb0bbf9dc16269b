"""What is no request is refused, and what is one is one: over TCP, over the Unix socket, and with
nginx in front.
"""

from __future__ import annotations

import asyncio
import tempfile
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp import web
from kit.corpus import CORPUS, H2C, HOST, LAST, REFUSED, Case
from kit.house import House, key
from kit.nginx import PROGRAM, Nginx, nginx
from kit.served import Served, connected, said, served, statuses, until_over

from tokend.api.source import Proxies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

pytestmark = pytest.mark.asyncio(loop_scope="module")
by_name = pytest.mark.parametrize("case", CORPUS, ids=[case.name for case in CORPUS])
READ = (
    b"GET /v1/apps/shop/access_token HTTP/1.1\r\n"
    + HOST
    + (f"Authorization: Bearer {key('shopper')}\r\n\r\n".encode())
)
SEEN: list[str] = []
# What nginx says of its own accord: it was sent what it does not know, or tokend hung up.
OF_NGINX = {501, 502, 505}
PROXIES = Proxies([ip_network("127.0.0.1")])


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def house() -> AsyncIterator[House]:
    """One for all: whatever was said to it before, it goes on."""
    with tempfile.TemporaryDirectory(prefix="tokend-") as folder:
        house = House(Path(folder), proxies=PROXIES)
        house.app.middlewares.insert(0, count)
        yield house


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here(house: House) -> AsyncIterator[Served]:
    with tempfile.TemporaryDirectory(prefix="tokend-") as folder:
        async with served(house.app, Path(folder), proxies=PROXIES) as here:
            await house.begin()
            await house.clock.advance(0.5)
            yield here


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def front(here: Served) -> AsyncIterator[Nginx]:
    with tempfile.TemporaryDirectory(prefix="tokend-") as folder:
        async with nginx(Path(folder), here.tcp) as front:
            yield front


@web.middleware
async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
    SEEN.append(request.path)
    return await handler(request)


@by_name
@pytest.mark.parametrize("by", ["tcp", "unix"])
async def test_a_connection_is_read_as_it_was_meant_or_not_at_all(
    house: House, here: Served, case: Case, by: str
) -> None:
    async with asyncio.timeout(30):
        heard = await said(getattr(here, by), case.sent + LAST)

    if case.answers == REFUSED:
        (status,) = statuses(heard)
        assert 400 <= status < 500
        assert b"Connection: close" in heard
        assert b"application/problem+json" in heard
        assert b"canary" not in heard.lower()
    else:
        assert statuses(heard) == (*case.answers, 200)
    assert house.token("shop/access_token").encode() not in heard
    assert heard.count(b"\r\nServer: tokend\r\n") == len(statuses(heard))


@pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")
@by_name
async def test_what_is_one_request_for_nginx_is_one_for_us(
    house: House, front: Nginx, case: Case
) -> None:
    seen, passed_on = len(SEEN), front.passed_on()

    async with asyncio.timeout(30):
        heard = await said(front.port, case.sent + LAST)
        again = await said(front.port, LAST)

    assert statuses(again) == (200,)
    assert len(SEEN) - seen <= front.passed_on() - passed_on
    assert all(status < 500 or status in OF_NGINX for status in statuses(heard))
    assert house.token("shop/access_token").encode() not in heard


@by_name
async def test_after_a_read_that_was_repeated_it_is_the_same(
    house: House, here: Served, case: Case
) -> None:
    async with asyncio.timeout(30), connected(here.tcp) as (reader, writer):
        seen = -1
        while len(SEEN) > seen:  # until one is repeated; a case before may be counted late
            seen = len(SEEN)
            writer.write(READ)
            await reader.readuntil(b'"fresh"}')
        writer.write(case.sent + LAST)
        heard = await until_over(reader)
    alone = await said(here.tcp, case.sent + LAST)

    assert statuses(heard) == statuses(alone)
    assert house.token("shop/access_token").encode() not in heard


async def test_who_offers_http_2_is_answered_in_http_1(here: Served) -> None:
    async with asyncio.timeout(30), connected(here.tcp) as (reader, writer):
        heard = []
        for _ in range(2):
            writer.write(H2C)
            heard.append(statuses(await reader.readuntil(b"}")))

    assert heard == [(200,), (200,)]
