"""Whom a request is for, who passed it on, and where it comes from, over real sockets."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from kit.served import Served, connected, said, served, statuses, until_over

from tokend.addresses import address, neighbourhood
from tokend.api.problems import problems
from tokend.api.screen import Screen
from tokend.api.source import Proxies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PROXY, OTHER_PROXY, CALLER = "127.0.0.7", "127.0.8.1", "203.0.113.9"
PROXIES = Proxies([ip_network(PROXY), ip_network("127.0.8.0/24")])
HOST = "Host: localhost"


@pytest.fixture
async def here(folder: Path) -> AsyncIterator[Served]:
    """What answers with the address that counts."""
    screen = Screen(hosts=["Tokend.Internal"], proxies=PROXIES)

    async def source(request: web.Request) -> web.Response:
        return web.Response(text=f"from {screen.proxies.source(request)}")

    app = web.Application(middlewares=[problems, screen.look])
    app.router.add_get("/", source)
    async with served(app, folder, proxies=PROXIES) as here:
        yield here


def request(*headers: str, target: str = "/", version: str = "1.1") -> bytes:
    lines = [f"GET {target} HTTP/{version}", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("localhost", 200, id="localhost"),
        pytest.param("LocalHost:8390", 200, id="in any case, with a port"),
        pytest.param("localhost.", 200, id="with the dot of the root"),
        pytest.param("tokend.internal", 200, id="a configured name"),
        pytest.param("127.0.0.1:8390", 200, id="IPv4"),
        pytest.param("[::1]:8390", 200, id="IPv6"),
        pytest.param("[::ffff:127.0.0.1]", 200, id="IPv4 in IPv6"),
        pytest.param("::1", 403, id="IPv6 without brackets"),
        pytest.param("[127.0.0.1]", 403, id="IPv4 in brackets"),
        pytest.param("[::1", 403, id="half a bracket"),
        pytest.param("[fe80::1%25eth0]", 403, id="a zone"),
        pytest.param("2130706433", 403, id="an address as one number"),
        pytest.param("0x7f.1", 403, id="an address in parts"),
        pytest.param("127.1", 403, id="half an address"),
        pytest.param("evil.example", 403, id="a rebound name"),
        pytest.param("localhost.evil.example", 403, id="a name that begins well"),
        pytest.param("evil.example.localhost", 403, id="a name that ends well"),
        pytest.param("localhost..", 403, id="two dots"),
        pytest.param("evil@localhost", 403, id="a user"),
        pytest.param("localhost@evil.example", 403, id="for a user"),
        pytest.param("localhost:8390:8390", 403, id="two ports"),
        pytest.param("localhost:", 403, id="a port of no digits"),
        pytest.param("localhost:evil", 403, id="a port of letters"),
        pytest.param("localhost, evil.example", 403, id="a list"),
        pytest.param("localhost/evil", 403, id="a path"),
        pytest.param("", 403, id="nothing"),
    ],
)
async def test_a_host_is_an_address_or_a_name_of_tokends(
    here: Served, host: str, status: int
) -> None:
    heard = await said(here.tcp, request(f"Host: {host}"))

    assert statuses(heard) == (status,)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(request(HOST, "Host: evil.example"), 400, id="two Hosts"),
        pytest.param(request(), 400, id="none"),
        pytest.param(request(version="1.0"), 200, id="none, before there was one"),
        pytest.param(request(HOST, version="2.0"), 400, id="HTTP/2.0"),
        pytest.param(request(HOST, version="0.9"), 400, id="HTTP/0.9"),
        pytest.param(request(HOST, target="http://localhost/"), 400, id="a URL"),
        pytest.param(request(HOST, target="http://evil@localhost/"), 400, id="a URL with a user"),
        pytest.param(request(HOST, "Origin: null"), 403, id="a page from nowhere"),
    ],
)
async def test_a_request_says_once_and_plainly_whom_it_is_for(
    here: Served, sent: bytes, status: int
) -> None:
    assert statuses(await said(here.tcp, sent)) == (status,)


async def test_a_page_under_a_rebound_name_is_none_of_tokends_at_the_socket_either(
    here: Served,
) -> None:
    """As one that a tunnel leads there would be."""
    own = request(HOST, "Origin: http://localhost")
    rebound = request("Host: evil.example", "Origin: http://evil.example")

    assert statuses(await said(here.unix, own)) == (200,)
    assert statuses(await said(here.unix, rebound)) == (403,)


MARKS = (
    "X-Forwarded-For: 203.0.113.9",
    "Forwarded: for=203.0.113.9",
    "Via: 1.1 p",
    "X-Real-IP: ::1",
)


@pytest.mark.parametrize("mark", [*MARKS, "x-forwarded-for:", "VIA: x"])
@pytest.mark.parametrize("by", ["tcp", "unix"])
async def test_what_an_unknown_proxy_passes_on_is_refused(here: Served, mark: str, by: str) -> None:
    heard = await said(getattr(here, by), request(HOST, mark))

    assert statuses(heard) == (403,)
    assert b'"code": "proxied"' in heard
    assert b"server.proxies" in heard
    assert b"203.0.113.9" not in heard


@pytest.mark.parametrize("mark", MARKS)
async def test_a_known_proxy_may_pass_on(here: Served, mark: str) -> None:
    assert statuses(await passed_on(here, mark)) == (200,)


@pytest.mark.parametrize(
    ("hops", "source"),
    [
        pytest.param([CALLER], CALLER, id="one proxy"),
        pytest.param([f"{CALLER}, {OTHER_PROXY}"], CALLER, id="two proxies"),
        pytest.param([f"1.1.1.1, {CALLER}"], CALLER, id="what the caller wrote does not count"),
        pytest.param(["1.1.1.1", CALLER], CALLER, id="in two headers"),
        pytest.param([f"{PROXY}, {CALLER}"], CALLER, id="nor if it names a proxy"),
        pytest.param(["canary"], PROXY, id="no address"),
        pytest.param([""], PROXY, id="nothing"),
        pytest.param([], PROXY, id="no header"),
        pytest.param([OTHER_PROXY], OTHER_PROXY, id="proxies alone"),
        pytest.param(["2001:db8::9"], "2001:db8::9", id="IPv6"),
        pytest.param([f"::ffff:{CALLER}"], CALLER, id="IPv4 in IPv6"),
    ],
)
async def test_the_last_address_that_is_no_proxys_counts(
    here: Served, hops: list[str], source: str
) -> None:
    heard = await passed_on(here, *(f"X-Forwarded-For: {each}" for each in hops))

    assert heard.endswith(f"from {source}".encode())


async def passed_on(here: Served, *headers: str) -> bytes:
    async with connected(here.tcp, come_from=PROXY) as (reader, writer):
        writer.write(request(HOST, *headers))
        return await until_over(reader)


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("203.0.113.9", "203.0.113.9", True),
        ("203.0.113.9", "203.0.113.10", False),
        ("203.0.113.9", "::ffff:203.0.113.9", True),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_a_site_of_ipv6_counts_as_one_address(one: str, other: str, near: bool) -> None:  # noqa: FBT001
    assert (neighbourhood(address(one)) == neighbourhood(address(other))) is near
