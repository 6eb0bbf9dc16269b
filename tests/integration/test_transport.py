"""How credentials are asked for: what is sent, what is refused, and that nothing leaks."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from kit.upstream import CLOSE, http, request, scripted, upstream

from tokend.errors import UpstreamError, UpstreamUnclear, UpstreamUnreachable
from tokend.model import App, Secret
from tokend.wechat import recipes
from tokend.wechat.transport import open_transport
from tokend.wechat.trouble import ConnectionBroken

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from tokend.wechat.transport import Transport

APP = App(name="shop", appid="wx0123456789abcdef", secret=Secret("canary-app-secret"))
CLASSIC = recipes.token(APP)
STABLE = recipes.stable_token(APP)
GOOD = http(b'{"access_token":"92_good","expires_in":7200}')


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def send(request: recipes.Request, *urls: str, deadline: float = 8, proxy: str = "") -> bytes:
    async with open_transport(urls, deadline=timedelta(seconds=deadline), proxy=proxy) as transport:
        return await transport.send(request)


async def test_the_classic_call_is_a_get_with_the_documented_query() -> None:
    async with upstream(GOOD) as wechat:
        await send(CLASSIC, wechat.url)

    assert wechat.requests[0].startswith(
        b"GET /cgi-bin/token?grant_type=client_credential&appid=wx0123456789abcdef"
        b"&secret=canary-app-secret HTTP/1.1\r\n"
    )


async def test_the_stable_call_is_json_with_a_content_length() -> None:
    """WeChat answers 412 to a chunked body."""
    async with upstream(GOOD) as wechat:
        await send(STABLE, wechat.url)

    head, _, body = wechat.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /cgi-bin/stable_token HTTP/1.1\r\n")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert b"chunked" not in head.lower()
    assert json.loads(body) == {
        "grant_type": "client_credential",
        "appid": "wx0123456789abcdef",
        "secret": "canary-app-secret",
        "force_refresh": False,
    }


async def test_nobody_there_means_never_asked() -> None:
    with pytest.raises(UpstreamUnreachable, match="Connect"):
        await send(CLASSIC, closed_port())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(CLOSE, "closed without an answer", id="closed"),
        pytest.param(http(b"<html>", status="502 Bad Gateway"), "HTTP status 502", id="502"),
        pytest.param(http(b"", status="412 Precondition Failed"), "HTTP status 412", id="412"),
        pytest.param(b"not HTTP at all\r\n\r\n", "an answer that is not HTTP", id="not HTTP"),
        pytest.param(GOOD[:-5], "broke off", id="cut off"),
        pytest.param(http(b"x" * 16_385), "more than 16384 bytes", id="too much"),
    ],
)
async def test_a_broken_answer_is_unclear_and_the_call_is_not_repeated(
    answer: bytes, said: str
) -> None:
    """cgi-bin/token may have acted; aiohttp by itself would send a GET again."""
    async with upstream(answer) as wechat:
        with pytest.raises(UpstreamUnclear, match=said):
            await send(CLASSIC, wechat.url)

    assert len(wechat.requests) == 1


async def test_a_redirect_is_not_followed() -> None:
    """The secret would be sent on."""
    async with upstream(GOOD) as elsewhere:
        moved = http(
            b"", status="307 Temporary Redirect", headers=f"Location: {elsewhere.url}/\r\n"
        )
        async with upstream(moved) as wechat:
            with pytest.raises(UpstreamUnclear, match="HTTP status 307"):
                await send(STABLE, wechat.url)

    assert elsewhere.requests == []


async def test_a_compressed_answer_is_not_inflated() -> None:
    """A few bytes can inflate to any number."""
    compressed = gzip.compress(b" " * 10_000)
    async with upstream(http(compressed, headers="Content-Encoding: gzip\r\n")) as wechat:
        body = await send(STABLE, wechat.url)

    assert body == compressed
    assert b"accept-encoding: identity" in wechat.requests[0].lower()


async def test_a_dripping_answer_ends_at_the_deadline() -> None:
    async with upstream(GOOD, pause=0.05) as wechat:
        started = time.monotonic()
        with pytest.raises(UpstreamUnclear, match=r"no answer within 0\.3 s"):
            await send(CLASSIC, wechat.url, deadline=0.3)

    assert time.monotonic() - started < 3


async def test_a_host_that_cannot_be_reached_is_followed_by_the_next() -> None:
    async with upstream(GOOD) as second:
        body = await send(CLASSIC, closed_port(), second.url)

    assert b"92_good" in body


async def test_a_harmless_call_that_broke_goes_to_the_next_host() -> None:
    async with upstream(CLOSE) as first, upstream(GOOD) as second:
        body = await send(STABLE, first.url, second.url)

    assert b"92_good" in body


async def test_a_call_that_may_have_acted_does_not_go_to_the_next_host() -> None:
    async with upstream(CLOSE) as first, upstream(GOOD) as second:
        with pytest.raises(UpstreamUnclear):
            await send(CLASSIC, first.url, second.url)

    assert second.requests == []


async def test_the_next_call_begins_with_the_host_that_has_not_failed() -> None:
    async with (
        upstream(CLOSE) as first,
        upstream(GOOD) as second,
        open_transport([first.url, second.url], deadline=timedelta(seconds=8)) as transport,
    ):
        with pytest.raises(UpstreamUnclear):
            await transport.send(CLASSIC)
        await transport.send(CLASSIC)

    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_calls_that_fail_together_at_one_host_all_go_to_the_next() -> None:
    """As those of keys do that are due at once."""
    async with (
        upstream(GOOD) as second,
        open_transport([closed_port(), second.url], deadline=timedelta(seconds=8)) as transport,
    ):
        bodies = await asyncio.gather(*(transport.send(CLASSIC) for _ in range(4)))

    assert all(b"92_good" in body for body in bodies)


@pytest.mark.parametrize(
    ("failing", "outcome"),
    [
        pytest.param(partial(upstream, CLOSE), ConnectionBroken, id="it hangs up"),
        pytest.param(partial(upstream, GOOD, pause=0.05), UpstreamUnclear, id="it is slow"),
    ],
)
async def test_calls_that_fail_together_leave_the_next_one_to_another_host(
    failing: partial[Any], outcome: type[UpstreamError]
) -> None:
    async with (
        failing() as first,
        upstream(GOOD) as second,
        open_transport([first.url, second.url], deadline=timedelta(seconds=1)) as transport,
    ):
        calls = (transport.send(CLASSIC) for _ in range(2))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        body = await transport.send(CLASSIC)

    assert [type(each) for each in outcomes] == [outcome] * 2
    assert b"92_good" in body


async def test_a_configured_proxy_is_used() -> None:
    async with upstream(GOOD) as proxy:
        await send(STABLE, "http://api.weixin.example", proxy=proxy.url)

    assert proxy.requests[0].startswith(b"POST http://api.weixin.example/cgi-bin/stable_token ")


async def test_a_proxy_of_the_environment_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream(GOOD) as wechat, upstream(GOOD) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        await send(STABLE, wechat.url)

    assert proxy.requests == []


async def test_a_host_without_tls_where_tls_is_due_is_never_asked() -> None:
    async with upstream(GOOD) as wechat:
        with pytest.raises(UpstreamUnreachable):
            await send(CLASSIC, wechat.url.replace("http:", "https:"))

    assert not any(b"canary" in request for request in wechat.requests)


@pytest.mark.parametrize("answer", [CLOSE, http(b"<html>", status="500 Oops"), GOOD[:-5]])
@pytest.mark.parametrize("request_", [CLASSIC, STABLE], ids=["token", "stable_token"])
async def test_no_exception_carries_the_secret(
    answer: bytes, request_: recipes.Request, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in its message nor in what it was raised from."""
    asyncio.get_running_loop().set_debug(enabled=True)
    async with upstream(answer) as wechat:
        try:
            await send(request_, wechat.url)
        except UpstreamError as error:
            told = "".join(traceback.format_exception(error)) + repr(error) + repr(request_)

    assert "canary" not in told + caplog.text


# Connections that are kept open


KEPT = GOOD.replace(b"Connection: close\r\n", b"")


@dataclass
class Closing:
    """Answers the first request on each connection, and at another one closes it."""

    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    begun: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(1))

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.requests.append(await request(reader))
        await self.begun.wait()
        writer.write(KEPT)
        self.requests.append(await request(reader))


async def test_calls_take_turns_on_connections_that_are_kept_open() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await request(reader):
            writer.write(KEPT)

    connections: list[asyncio.StreamWriter] = []
    async with scripted(answer) as url, kept_open(url) as transport:
        for _ in range(3):
            await transport.send(CLASSIC)

    assert len(connections) == 1


async def test_what_meets_the_end_of_a_kept_connection_goes_on_another() -> None:
    """A code of wx.login is good for one exchange, but the other side may never have seen it."""
    closing = Closing()
    async with scripted(closing) as url, kept_open(url) as transport:
        await transport.send(CLASSIC)
        body = await transport.send(CLASSIC)

    assert b"92_good" in body
    assert (closing.connections, len(closing.requests)) == (2, 3)


async def test_all_kept_connections_may_have_ended() -> None:
    closing = Closing(begun=asyncio.Barrier(3))
    async with scripted(closing) as url, kept_open(url) as transport:
        await asyncio.gather(*(transport.send(CLASSIC) for _ in range(3)))
        closing.begun = asyncio.Barrier(1)
        body = await transport.send(CLASSIC)

    assert b"92_good" in body
    assert (closing.connections, len(closing.requests)) == (4, 7)


async def test_what_breaks_on_a_new_connection_is_unclear_and_not_sent_again() -> None:
    async with upstream(CLOSE) as wechat, kept_open(wechat.url) as transport:
        with pytest.raises(UpstreamUnclear, match="closed without an answer"):
            await transport.send(CLASSIC)

    assert len(wechat.requests) == 1


async def test_what_has_half_an_answer_is_unclear_and_not_sent_again() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in (KEPT, KEPT[:-5]):
            asked.append(await request(reader))
            writer.write(each)

    asked: list[bytes] = []
    async with scripted(answer) as url, kept_open(url) as transport:
        await transport.send(CLASSIC)
        with pytest.raises(UpstreamUnclear, match="broke off"):
            await transport.send(CLASSIC)

    assert len(asked) == 2


def kept_open(url: str) -> AbstractAsyncContextManager[Transport]:
    return open_transport([url], deadline=timedelta(seconds=8), connections=3)


# The date


async def ask_date(url: str, deadline: float = 8) -> datetime | None:
    async with open_transport([url], deadline=timedelta(seconds=deadline)) as transport:
        return await transport.ask_date(url)


async def test_asking_for_the_date_is_a_head_of_the_front_page_and_nothing_else() -> None:
    async with upstream(http(b"", headers="Date: Fri, 20 Nov 2026 08:00:00 GMT\r\n")) as wechat:
        date = await ask_date(wechat.url)

    head, _, body = wechat.requests[0].partition(b"\r\n\r\n")
    assert date == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert head.startswith(b"HEAD / HTTP/1.1\r\n")
    assert body == b""


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Date: yesterday\r\n",
        "Date: Fri, 20 Nov 2026 08:00:00 -0000\r\n",
        "Date: Fri, 20 Nov 2026 08:00:00 +99999999999999999999\r\n",
        "Date: Fri, 20 Nov 99999 08:00:00 GMT\r\n",
    ],
    ids=["none", "words", "of no zone", "of a far zone", "of a far year"],
)
async def test_an_answer_without_a_date_that_can_be_read_is_an_answer(header: str) -> None:
    async with upstream(http(b"", headers=header)) as wechat:
        assert await ask_date(wechat.url) is None


async def test_asking_for_the_date_ends_at_the_deadline() -> None:
    async with upstream(GOOD, pause=0.05) as wechat:
        with pytest.raises(UpstreamUnclear, match=r"no answer within 0\.3 s"):
            await ask_date(wechat.url, deadline=0.3)


async def test_asking_for_the_date_follows_no_redirect() -> None:
    async with upstream(GOOD) as elsewhere:
        moved = http(b"", status="302 Found", headers=f"Location: {elsewhere.url}/\r\n")
        async with upstream(moved) as wechat:
            await ask_date(wechat.url)

    assert elsewhere.requests == []
