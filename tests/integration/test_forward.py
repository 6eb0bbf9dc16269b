"""Calls passed on to WeChat: what goes there, what comes back, and what never does."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import sys
import traceback
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.forwarding import KEY, OLD, Account, forwarding
from kit.process import SERVING, running
from kit.upstream import CLOSE, http, length, request, scripted, upstream
from multidict import CIMultiDict
from structlog.testing import capture_logs

from tokend.errors import NotReady, UpstreamError, UpstreamUnclear, UpstreamUnreachable
from tokend.model import Secret
from tokend.wechat.relay import open_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NEW = "92_token-canary-new"
OK = {"errcode": 0, "errmsg": "ok"}
GOOD = http(json.dumps(OK).encode(), headers="Content-Type: application/json\r\n")
MB = 1024 * 1024


def rejection(errcode: int) -> bytes:
    return http(b'{"errcode":%d,"errmsg":"invalid credential rid: 1-2-3"}' % errcode)


@asynccontextmanager
async def tokend(
    wechat: str, *tokens: str, **more
) -> AsyncIterator[tuple[Account, aiohttp.ClientSession]]:
    account = Account(wechat, list(tokens or (OLD, NEW)))
    async with (
        forwarding(account, **more) as url,
        aiohttp.ClientSession(url, auto_decompress=False) as session,
    ):
        yield account, session


def at(path: str, rest: str = "") -> str:
    return f"{path}?access_token={KEY}{rest}"


GET_IP = at("/cgi-bin/get_api_domain_ip")
UPLOAD = at("/cgi-bin/media/upload", "&type=video")
DOWNLOAD = at("/cgi-bin/media/get", "&media_id=1")


async def errcode(response: aiohttp.ClientResponse) -> int:
    """As WeChat says it."""
    assert response.status == 200
    answer = json.loads(await response.read())
    assert answer["errmsg"]
    return answer["errcode"]


async def raw(url: str, text: bytes) -> bytes:
    """All that is answered to *text*, which says that the connection is to be closed."""
    reader, writer = await connect(url)
    writer.write(text)
    answer = await reader.read()
    writer.close()
    return answer


async def connect(url: str | object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = str(url).removeprefix("http://").rstrip("/").partition(":")
    return await asyncio.open_connection(host, int(port))


def base(session: aiohttp.ClientSession) -> str:
    return str(session._base_url)  # noqa: SLF001  # it has no other name


def line(method: str, target: str, headers: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode()


# What goes to WeChat


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        pytest.param("access_token=K", "access_token=T", id="alone"),
        pytest.param("z=1&access_token=K&a=2", "z=1&access_token=T&a=2", id="between others"),
        pytest.param("b=%e4%bD%a0+x%20&access_token=K", "b=%e4%bD%a0+x%20&access_token=T", id="%"),
        pytest.param("access_token=K&&a&b=&=c&?/:@!'()*,;", None, id="odd"),
        pytest.param("access%5Ftoken=K&a=1", "access%5Ftoken=T&a=1", id="its name escaped"),
        pytest.param("ACCESS_TOKEN=x&access_token=K", "ACCESS_TOKEN=x&access_token=T", id="case"),
    ],
)
async def test_path_and_query_arrive_byte_for_byte_but_for_the_token(
    sent: str, came: str | None
) -> None:
    came = came or sent.replace("access_token=K", "access_token=T")
    target = "/cgi-bin/Some_path-1.2/x?" + sent.replace("=K", f"={KEY}")

    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        await raw(base(caller), line("GET", target, "Connection: close\r\n"))

    expected = "/cgi-bin/Some_path-1.2/x?" + came.replace("=T", f"={OLD}")
    assert wechat.requests[0].split(b"\r\n")[0] == f"GET {expected} HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", 41001, id="no query"),
        pytest.param("?a=1", 41001, id="missing"),
        pytest.param("?access_token=", 41001, id="empty"),
        pytest.param("?access_token", 41001, id="without a value"),
        pytest.param(f"?access_token={KEY}&access_token={KEY}", 47001, id="twice"),
        pytest.param(f"?access_token={KEY}&a=1&access_token=", 47001, id="twice, once empty"),
        pytest.param(f"?access_token={KEY}&access%5ftoken=x", 47001, id="twice, once escaped"),
        pytest.param(f"?access_token={KEY}&a=1;access_token=x", 47001, id="behind a semicolon"),
        pytest.param("?access_token=somebody", 40001, id="unknown"),
        pytest.param(f"?access_token={KEY}&a=%%01#x", 40066, id="a fragment"),
    ],
)
async def test_a_caller_is_known_by_its_one_access_token(query: str, expected: int) -> None:
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        text = line("GET", f"/cgi-bin/get_api_domain_ip{query}", "Connection: close\r\n")
        answer = await raw(base(caller), text)

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errcode"] == expected
    assert wechat.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "/cgi-bin/../cgi-bin/token",
        "/cgi-bin/./token",
        "/cgi-bin/x/..",
        "/cgi-bin//token",
        "//cgi-bin/x",
        "/cgi-bin/%2e%2e/x",
        "/cgi-bin/%2E/x",
        "/cgi-bin%2fx",
        "/cgi-bin/x%5cy",
        "/cgi-bin/%74oken",
        "/cgi-bin\\x",
        "/cgi-bin/x;y=1",
        "/cgi-bin/x/",
        "/cgi-bin/...",
        "/cgi-bin/.x",
        "/cgi-bin/x%00",
        "/cgi-bin/x%0dX:1",
        "http://127.0.0.1/cgi-bin/x",
        "https://evil.example/cgi-bin/x",
        "//evil.example/cgi-bin/x",
        "/@evil.example/x",
        "/cgi-bin/x@evil.example",
        "/cgi-bin/x:80",
        "/http://evil.example",
        "/",
    ],
)
async def test_a_path_that_can_be_read_in_two_ways_is_refused(path: str) -> None:
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        answer = await raw(base(caller), line("GET", at(path), "Connection: close\r\n"))

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errcode"] == 40066
    assert wechat.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "/cgi-bin/token",
        "/CGI-bin/Token",
        "/cgi-bin/token/x",
        "/cgi-bin/stable_token",
        "/cgi-bin/gettoken",
        "/cgi-bin/ticket/getticket",
        "/cgi-bin/ticket/getTicket",
        "/cgi-bin/ticket/get",
        "/cgi-bin/get_jsapi_ticket",
        "/cgi-bin/corpgroup/corp/gettoken",
        "/cgi-bin/clear_quota/v2",
        "/cgi-bin/openapi/rid/get",
        "/cgi-bin/component/api_authorizer_token",
        "/cgi-bin/service/get_suite_token",
        "/cgi-bin/service/get_provider_token",
        "/sns/jscode2session",
        "/sns/oauth2/access_token",
        "/sns/component/jscode2session",
    ],
)
async def test_what_gives_tokens_or_takes_secrets_is_never_passed_on(path: str) -> None:
    """Not to a client that may have anything else below."""
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        answer = await errcode(await caller.post(at(path)))

    assert answer == 48001
    assert wechat.requests == []


@pytest.mark.parametrize("path", ["/cgi-bin/clear_quota", "/cgi-bin/tokens", "/cgi-bin/tickets/x"])
async def test_what_only_begins_like_that_is_passed_on(path: str) -> None:
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        assert await errcode(await caller.post(at(path))) == 0


@pytest.mark.parametrize(
    "rest",
    ["secret=x", "SECRET=x", "appsecret=x", "corpsecret=x", "s%65cret=x", "a=1;secret=x", "secret"],
)
async def test_a_secret_in_the_query_does_not_go_to_wechat(rest: str) -> None:
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        text = line("GET", f"{GET_IP}&{rest}", "Connection: close\r\n")
        answer = await raw(base(caller), text)

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errcode"] == 48001
    assert wechat.requests == []


async def test_a_path_that_the_client_may_not_call_is_refused() -> None:
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        assert await errcode(await caller.get(at("/datacube/getusersummary"))) == 48001

    assert wechat.requests == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"])
async def test_a_method_that_wechat_does_not_use_is_not_passed_on(method: str) -> None:
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        response = await caller.request(method, GET_IP)

    assert response.status == 405
    assert wechat.requests == []


async def test_headers_about_the_caller_and_its_connection_stay_behind() -> None:
    kept_back = {
        "Authorization": "Bearer header-canary",
        "Cookie": "a=header-canary",
        "Accept-Encoding": "gzip, header-canary",
        "X-Forwarded-For": "header-canary",
        "X-Forwarded-Proto": "header-canary",
        "Forwarded": "for=header-canary",
        "Proxy-Authorization": "header-canary",
        "TE": "header-canary",
        "Connection": "keep-alive, X-Of-Connection",
        "X-Of-Connection": "header-canary",
    }
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        await caller.get(GET_IP, headers=kept_back)

    assert b"header-canary" not in wechat.requests[0]
    assert b"\r\naccept-encoding: identity\r\n" in wechat.requests[0].lower()
    assert f"\r\nHost: {wechat.url.removeprefix('http://')}\r\n".encode() in wechat.requests[0]


async def test_other_headers_go_along_and_none_is_made_up() -> None:
    text = line("GET", GET_IP, "wechatmp-appid: wx1\r\nuser-agent: shop/1\r\nConnection: close\r\n")
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        await raw(base(caller), text)

    names = {h.split(b":")[0].lower() for h in wechat.requests[0].split(b"\r\n")[1:] if h}
    assert names == {b"host", b"accept-encoding", b"wechatmp-appid", b"user-agent"}
    assert b"shop/1" in wechat.requests[0]


async def test_a_multipart_body_arrives_untouched_with_its_length() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="m"\r\n\r\n\x00\xff\r\n--b--\r\n'
    kind = "multipart/form-data; boundary=b"
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        await caller.post(UPLOAD, data=body, headers={"Content-Type": kind})

    head, _, came = wechat.requests[0].partition(b"\r\n\r\n")
    assert came == body
    assert f"content-type: {kind}".encode() in head.lower()
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert b"transfer-encoding" not in head.lower()


async def in_pieces(size: int, piece: bytes = b"x" * 1024) -> AsyncIterator[bytes]:
    for _ in range(size // len(piece)):
        yield piece


async def test_a_body_of_a_megabyte_arrives_with_its_length() -> None:
    """The API's own limit on bodies does not hold here."""
    body = b"0123456789abcdef" * 65536
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        assert await errcode(await caller.post(UPLOAD, data=body)) == 0

    head, _, came = wechat.requests[0].partition(b"\r\n\r\n")
    assert came == body
    assert b"transfer-encoding" not in head.lower()


async def test_a_small_chunked_body_gets_the_length_that_wechat_asks_for() -> None:
    """WeChat answers 412 to a chunked one."""
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        assert await errcode(await caller.post(UPLOAD, data=in_pieces(64 * 1024))) == 0

    head, _, came = wechat.requests[0].partition(b"\r\n\r\n")
    assert came == b"x" * 64 * 1024
    assert b"content-length: 65536" in head.lower()
    assert b"transfer-encoding" not in head.lower()


async def test_a_large_chunked_body_is_refused() -> None:
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        response = await caller.post(UPLOAD, data=in_pieces(66 * 1024))
        answer = await response.json()

    assert answer["errcode"] == 47001
    assert "needs a Content-Length" in answer["errmsg"]
    assert wechat.requests == []


async def test_a_caller_that_keeps_its_body_back_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokend.forward.call._KEPT_SECONDS", 0.1)
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        reader, writer = await connect(base(caller))
        writer.write(line("POST", UPLOAD, "Content-Length: 10\r\n"))
        answer = await reader.readuntil(b"(tokend)")
        writer.write(b"x" * 10)
        await ended(reader, writer)

    assert b'"errcode": -1' in answer
    assert wechat.requests == []


async def test_a_compressed_body_is_refused() -> None:
    """aiohttp would inflate it, and its length would be another."""
    body, headers = gzip.compress(b"{}"), {"Content-Encoding": "gzip"}
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        assert await errcode(await caller.post(UPLOAD, data=body, headers=headers)) == 47001

    assert wechat.requests == []


async def test_a_caller_that_waits_to_be_told_to_continue_is_told() -> None:
    """As curl does with a body of more than a kilobyte."""
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (_, caller):
        reader, writer = await connect(base(caller))
        writer.write(line("POST", UPLOAD, "Expect: 100-continue\r\nContent-Length: 2000\r\n"))
        told = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"x" * 2000)
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert told.startswith(b"HTTP/1.1 100 ")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"expect" not in wechat.requests[0].lower()
    assert wechat.requests[0].endswith(b"x" * 2000)


# What comes back


async def test_of_an_answer_come_back_its_body_and_what_tells_about_it() -> None:
    told = {
        "Content-Type": "image/jpeg",
        "Content-Disposition": 'attachment; filename="a.jpg"',
        "Error-Code": "0",
        "Error-Msg": "ok",
        "Wechatmp-Signature": "c2ln",
    }
    not_told = "Set-Cookie: a=1\r\nKeep-Alive: 5\r\nX-Powered-By: x\r\nLocation: /\r\n"
    sent = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    async with (
        upstream(http(b"\xff\xd8\xff" * 5000, headers=sent + not_told)) as wechat,
        tokend(wechat.url) as (_, caller),
    ):
        response = await caller.get(DOWNLOAD)
        body = await response.read()

    assert body == b"\xff\xd8\xff" * 5000
    of_http = {"Content-Length", "Date", "Server"}
    given = {n: v for n, v in response.headers.items() if n not in of_http}
    not_a_page = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
    assert given == told | not_a_page | {"Cache-Control": "no-store"}
    assert response.headers["Content-Length"] == "15000"


@pytest.mark.parametrize(
    "status", ["404 Not Found", "412 Precondition Failed", "500 Oops", "302 Found", "206 Partial"]
)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"errcode":40001}'], ids=repr)
async def test_a_status_other_than_200_is_passed_on_as_it_is(status: str, body: bytes) -> None:
    async with upstream(http(body, status=status)) as wechat, tokend(wechat.url) as (made, caller):
        response = await caller.get(GET_IP, allow_redirects=False)

        assert (response.status, await response.read()) == (int(status[:3]), body)
    assert made.reported == []


async def test_a_redirect_is_not_followed() -> None:
    """The token would be sent on; and its Location may hold the token."""
    async with upstream(GOOD) as elsewhere:
        moved = http(b"", status="307 Moved", headers=f"Location: {elsewhere.url}/\r\n")
        async with upstream(moved) as wechat, tokend(wechat.url) as (_, caller):
            response = await caller.get(GET_IP, allow_redirects=False)

    assert response.status == 307
    assert "Location" not in response.headers
    assert elsewhere.requests == []


async def test_a_compressed_answer_is_not_inflated() -> None:
    """A few bytes can inflate to any number."""
    compressed = gzip.compress(b" " * 10_000)
    answer = http(compressed, headers="Content-Encoding: gzip\r\n")
    async with upstream(answer) as wechat, tokend(wechat.url) as (_, caller):
        response = await caller.get(GET_IP)

        assert await response.read() == compressed
    assert response.headers["Content-Encoding"] == "gzip"


async def test_what_wechat_wants_remembered_is_not() -> None:
    async with (
        upstream(http(b"{}", headers="Set-Cookie: a=1\r\n")) as wechat,
        tokend(wechat.url) as (_, caller),
    ):
        await caller.get(GET_IP)
        await caller.get(GET_IP)

    assert b"cookie" not in wechat.requests[1].lower()


# A rejected token


REJECTIONS = pytest.mark.parametrize("code", [40001, 40014, 42001])


def tokens_in(requests: list[bytes]) -> list[str]:
    return [str(each.partition(b"access_token=")[2].split()[0].decode()) for each in requests]


@REJECTIONS
@pytest.mark.parametrize("body", [None, b"x" * 64 * 1024], ids=["GET", "POST"])
async def test_a_rejected_token_is_replaced_and_the_call_repeated(
    code: int, body: bytes | None
) -> None:
    async with (
        upstream(rejection(code), GOOD) as wechat,
        tokend(wechat.url) as (made, caller),
    ):
        method = "POST" if body else "GET"
        answer = await (await caller.request(method, GET_IP, data=body)).json()

    assert answer == OK
    assert tokens_in(wechat.requests) == [OLD, NEW]
    assert made.reported == [OLD]
    assert {each.partition(b"\r\n\r\n")[2] for each in wechat.requests} == {body or b""}


@pytest.mark.parametrize("size", [10, 100_000], ids=["whole", "streamed"])
async def test_no_answer_is_kept_by_anybody_on_the_way(size: int) -> None:
    async with upstream(http(b"x" * size)) as wechat, tokend(wechat.url) as (_, caller):
        response = await caller.get(GET_IP)
        await response.read()

    assert response.headers["Cache-Control"] == "no-store"


async def test_a_file_that_looks_like_a_rejection_is_none() -> None:
    """Whoever may upload files could otherwise have a good token replaced."""
    rejected = json.dumps({"errcode": 40001, "errmsg": "mine"}).encode()
    file = http(rejected, headers='Content-Disposition: attachment; filename="a.json"\r\n')
    async with upstream(file) as wechat, tokend(wechat.url) as (made, caller):
        body = await (await caller.get(GET_IP)).read()

    assert body == rejected
    assert made.reported == []


async def test_a_second_rejection_goes_back_as_it_is() -> None:
    async with (
        upstream(rejection(40001), rejection(42001)) as wechat,
        tokend(wechat.url, OLD, NEW, "third") as (made, caller),
    ):
        body = await (await caller.get(GET_IP)).read()

    assert body == rejection(42001).partition(b"\r\n\r\n")[2]
    assert tokens_in(wechat.requests) == [OLD, NEW]
    assert made.reported == [OLD]


@pytest.mark.parametrize(
    ("tokens", "trouble"),
    [
        pytest.param([OLD], None, id="the same token"),
        pytest.param(
            [OLD, NEW], NotReady("shop: none", retry_after=timedelta(seconds=1)), id="no token"
        ),
    ],
)
async def test_without_another_token_the_rejection_goes_back_as_it_is(tokens, trouble) -> None:
    async with (
        upstream(rejection(40001), GOOD) as wechat,
        tokend(wechat.url, *tokens) as (made, caller),
    ):
        made.trouble = trouble
        body = await (await caller.get(GET_IP)).read()

    assert body == rejection(40001).partition(b"\r\n\r\n")[2]
    assert made.reported == [OLD]
    assert len(wechat.requests) == 1


async def test_a_body_too_large_to_be_kept_is_not_sent_again_but_the_token_is_reported() -> None:
    async with (
        upstream(rejection(40001), GOOD) as wechat,
        tokend(wechat.url) as (made, caller),
    ):
        body = await (await caller.post(UPLOAD, data=b"x" * (64 * 1024 + 1))).read()

    assert body == rejection(40001).partition(b"\r\n\r\n")[2]
    assert made.reported == [OLD]
    assert len(wechat.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"errcode":41001,"errmsg":"access_token missing"}', id="41001"),
        pytest.param(b'{"errcode":40013}', id="40013"),
        pytest.param(b'{"errcode":48001}', id="48001"),
        pytest.param(b'{"errcode":42007}', id="42007"),
        pytest.param(b'{"errcode":0,"note":"40001"}', id="good"),
        pytest.param(b'[{"errcode":40001}]', id="a list"),
        pytest.param(b'{"errcode":40001', id="not JSON"),
        pytest.param(b"errcode: 40001", id="text"),
        pytest.param(b"[" * 4000, id="deep"),
        pytest.param(b'{"errcode":[40001]}', id="a list of errcodes"),
        pytest.param(b'{"errcode":40001,"a":"' + b"x" * 4096 + b'"}', id="too long"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_any_other_answer_is_no_rejection(body: bytes) -> None:
    async with upstream(http(body)) as wechat, tokend(wechat.url) as (made, caller):
        assert await (await caller.get(GET_IP)).read() == body

    assert made.reported == []
    assert len(wechat.requests) == 1


async def test_a_rejection_that_drips_in_without_a_length_is_seen() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        body = b'{"errcode":40001}' if len(asked) == 1 else b'{"errcode":0}'
        for byte in body:
            writer.write(b"1\r\n%c\r\n" % byte)
            await writer.drain()
            await asyncio.sleep(0.002)
        writer.write(b"0\r\n\r\n")

    asked: list[bytes] = []
    async with scripted(drip) as wechat, tokend(wechat) as (_, caller):
        assert json.loads(await (await caller.get(GET_IP)).read()) == {"errcode": 0}

    assert tokens_in(asked) == [OLD, NEW]


async def test_without_a_token_wechat_is_not_asked() -> None:
    async with upstream(GOOD) as wechat, tokend(wechat.url) as (made, caller):
        made.tokens.clear()

        assert await errcode(await caller.get(GET_IP)) == -1
    assert wechat.requests == []


# Trouble on the way


async def test_wechat_out_of_reach_is_a_busy_system_as_wechat_says_it() -> None:
    async with tokend("http://127.0.0.1:1") as (made, caller):
        assert await errcode(await caller.get(GET_IP)) == -1

    assert made.reported == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(CLOSE, id="closed"),
        pytest.param(b"not HTTP at all\r\n\r\n", id="not HTTP"),
        pytest.param(GOOD[:-5], id="cut off"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", id="101"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_broken_answer_is_a_busy_system_and_the_call_is_not_repeated(
    answer: bytes, method: str
) -> None:
    """It may have sent a message to every follower; aiohttp by itself would send a GET again."""
    async with upstream(answer) as wechat, tokend(wechat.url) as (_, caller):
        assert await errcode(await caller.request(method, GET_IP)) == -1

    assert len(wechat.requests) == 1


async def test_a_call_on_a_kept_connection_that_breaks_is_not_repeated() -> None:
    async def second_breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await request(reader))
        writer.write(GOOD.replace(b"Connection: close\r\n", b""))
        asked.append(await request(reader))

    asked: list[bytes] = []
    async with scripted(second_breaks) as wechat, tokend(wechat) as (_, caller):
        first = await errcode(await caller.get(GET_IP))
        second = await errcode(await caller.get(GET_IP))

    assert (first, second) == (0, -1)
    assert len(asked) == 2


async def test_an_upstream_that_stands_still_is_given_up() -> None:
    async with upstream(GOOD, pause=0.05) as wechat, tokend(wechat.url, idle=0.02) as (_, caller):
        assert await errcode(await caller.get(GET_IP)) == -1


async def test_an_upstream_that_takes_nothing_more_of_an_upload_is_given_up() -> None:
    async def take_the_head(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    async with scripted(take_the_head) as wechat, tokend(wechat, idle=0.3) as (_, caller):
        reader, writer = await connect(base(caller))
        writer.write(line("POST", UPLOAD, f"Content-Length: {32 * MB}\r\n"))
        writer.write(b"x" * 32 * MB)
        async with asyncio.timeout(3):
            answer = await reader.readuntil(b"(tokend)")
        after = await ended(reader, writer)

    assert b"nothing moved for 0.3 s" in answer
    assert b"41001" in after


async def test_a_call_may_take_longer_than_it_may_stand_still() -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(length(head))
        writer.write(GOOD)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 4096
            await asyncio.sleep(0.05)

    async with scripted(slowly) as wechat, tokend(wechat, idle=0.4) as (_, caller):
        headers = {"Content-Length": str(20 * 4096)}
        response = await caller.post(UPLOAD, data=pieces(), headers=headers)

        assert await errcode(response) == 0


async def broken_off(head: str, body: bytes, version: str = "1.1") -> bytes:
    """What a caller reads of a download whose upstream breaks off. Raises if that can be seen."""

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body)
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.transport.abort()

    async with scripted(break_off) as wechat, tokend(wechat) as (_, caller):
        reader, writer = await connect(base(caller))
        writer.write(f"GET {DOWNLOAD} HTTP/{version}\r\nHost: 127.0.0.1\r\n\r\n".encode())
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param("Content-Length: 100000\r\n", b"\xff" * 50_000, id="with a length"),
        pytest.param("Transfer-Encoding: chunked\r\n", b"4\r\n\xffabc\r\n", id="chunked"),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_download_that_breaks_off_does_not_look_whole(
    head: str, body: bytes, version: str
) -> None:
    """In HTTP/1.0 the end of the connection is the end of the body; it has to be a reset."""
    with pytest.raises(ConnectionResetError):
        await broken_off(head, body, version)


# Streams


async def test_a_download_begins_before_it_is_whole() -> None:
    """However small its first piece is: only what may be JSON is waited for."""

    async def first_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xd8")
        await go_on.wait()
        writer.write(b"\xff\xe0")

    go_on = asyncio.Event()
    async with scripted(first_bytes) as wechat, tokend(wechat) as (_, caller):
        response = await caller.get(DOWNLOAD)
        first = await response.content.readany()
        go_on.set()
        rest = await response.content.read()

    assert first + rest == b"\xff\xd8\xff\xe0"
    assert len(first) == 2


async def test_a_large_json_begins_before_it_is_whole() -> None:
    async def first_part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"2000\r\n{" + b" " * 0x1FFF + b"\r\n")
        await go_on.wait()
        writer.write(b"1\r\n}\r\n0\r\n\r\n")

    go_on = asyncio.Event()
    async with scripted(first_part) as wechat, tokend(wechat) as (_, caller):
        response = await caller.get(DOWNLOAD)
        assert await response.content.readany()
        go_on.set()
        assert (await response.content.read()).endswith(b"}")


class Watched:
    """An upstream that tells when its connection has ended."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.asked = asyncio.Event()
        self.ended = asyncio.Event()

    async def script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        writer.write(self.answer)
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.ended.set()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param(
            line("POST", UPLOAD, "Content-Length: 100000\r\n") + b"x" * 70_000, b"", id="upload"
        ),
        pytest.param(line("GET", GET_IP), b"", id="waiting"),
        pytest.param(
            line("GET", DOWNLOAD), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nxxx", id="download"
        ),
    ],
)
async def test_a_caller_that_goes_away_ends_the_call(text: bytes, answer: bytes) -> None:
    wechat = Watched(answer)
    async with scripted(wechat.script) as url, tokend(url) as (_, caller):
        _, writer = await connect(base(caller))
        writer.write(text)
        await wechat.asked.wait()
        writer.close()

        async with asyncio.timeout(3):
            await wechat.ended.wait()


async def test_a_caller_that_takes_nothing_more_ends_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokend.forward.answer._CALLER_SECONDS", 0.3)
    size = 30 * MB
    wechat = Watched(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    async with scripted(wechat.script) as url, tokend(url) as (_, caller):
        _, writer = await connect(base(caller))
        writer.transport.pause_reading()
        writer.write(line("GET", DOWNLOAD))

        async with asyncio.timeout(3):
            await wechat.ended.wait()
        writer.close()


async def test_a_slow_caller_keeps_wechat_from_sending_more() -> None:
    """What neither takes waits in the kernel's buffers, a few megabytes at most."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MB))
        while sent < 100 * MB:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    sent = 0
    async with scripted(send) as wechat, tokend(wechat) as (_, caller):
        _, writer = await connect(base(caller))
        writer.transport.pause_reading()
        writer.write(line("GET", DOWNLOAD))
        await standstill(lambda: sent)
        writer.close()

    assert 0 < sent < 30 * MB


async def test_a_slow_wechat_keeps_the_caller_from_sending_more() -> None:
    async def take_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await over.wait()

    async def send() -> None:
        nonlocal sent
        for _ in range(100 * 16):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    sent, over = 0, asyncio.Event()
    async with scripted(take_nothing) as wechat, tokend(wechat) as (_, caller):
        _, writer = await connect(base(caller))
        writer.write(line("POST", UPLOAD, f"Content-Length: {100 * MB}\r\n"))
        sending = asyncio.create_task(send())
        await standstill(lambda: sent)
        sending.cancel()
        over.set()
        writer.transport.abort()

    assert 0 < sent < 30 * MB


async def standstill(count) -> None:
    """Until the count has not grown for a while."""
    before = -1
    while count() != before:
        before = count()
        await asyncio.sleep(0.3)


@pytest.mark.parametrize("closes", [True, False], ids=["closes", "stays"])
async def test_an_answer_before_the_end_of_an_upload_arrives(closes: bool) -> None:  # noqa: FBT001
    """Nobody waits for the other: WeChat refuses a body by its head and reads no more of it."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b"too large", status="413 Too Large"))
        if closes:
            writer.write_eof()
        await asyncio.Event().wait()

    async with scripted(refuse) as wechat, tokend(wechat) as (_, caller):
        reader, writer = await connect(base(caller))
        writer.write(line("POST", UPLOAD, f"Content-Length: {2 * MB}\r\n") + b"x" * MB)
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"too large")
        writer.write(b"x" * MB)
        after = await ended(reader, writer)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"41001" in after


async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The rest of an upload has been taken, and the connection is good for another call."""
    writer.write(line("GET", "/x", "Connection: close\r\n"))
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("way", ["upload", "download"])
async def test_a_hundred_megabytes_pass_in_flat_memory(way: str) -> None:
    async def wechat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        head = await reader.readuntil(b"\r\n\r\n")
        for _ in range(length(head) // 65536):
            taken += len(await reader.readexactly(65536))
        size = 100 * MB if b"/media/get" in head and b"media_id=1" in head else 0
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            writer.write(b"x" * 65536)
            await writer.drain()

    taken = 0
    async with scripted(wechat) as url, alone(url) as (pid, caller):
        await (await caller.get(at("/cgi-bin/media/get"))).read()
        begun = resident(pid)
        given = await (upload(caller) if way == "upload" else download(caller))
        grown = peak(pid) - begun

    assert taken + given == 100 * MB
    assert grown < 10 * MB


@asynccontextmanager
async def alone(wechat: str) -> AsyncIterator[tuple[int, aiohttp.ClientSession]]:
    """Forwarding in a process of its own."""
    program = (sys.executable, "-m", "kit.forwarding", wechat)
    tests = {"PYTHONPATH": str(Path(__file__).parents[1])}
    async with running(program=program, env=tests) as process:
        url = (await process.said(SERVING))[1]
        async with aiohttp.ClientSession(url) as session:
            yield process.process.pid, session


async def upload(caller: aiohttp.ClientSession) -> int:
    pieces = in_pieces(100 * MB, b"x" * 65536)
    response = await caller.post(UPLOAD, data=pieces, headers={"Content-Length": str(100 * MB)})
    return len(await response.read())


async def download(caller: aiohttp.ClientSession) -> int:
    response = await caller.get(DOWNLOAD)
    return sum([len(piece) async for piece in response.content.iter_any()])


def resident(pid: int) -> int:
    """Bytes in memory now; the peak is counted from here."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak(pid)


def peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


# What is told


async def test_a_call_is_one_line_in_the_log_and_a_rejected_token_another() -> None:
    async with upstream(rejection(40001), GOOD) as wechat, tokend(wechat.url) as (_, caller):
        with capture_logs() as logs:
            await caller.post(GET_IP, data=b"body-canary")

    path = "/cgi-bin/get_api_domain_ip"
    assert logs == [
        {
            "event": "token_rejected",
            "log_level": "warning",
            "path": path,
            "errcode": 40001,
            "token": Secret(OLD).fingerprint,
        },
        {
            "event": "call_forwarded",
            "log_level": "debug",
            "method": "POST",
            "path": path,
            "status": 200,
        },
    ]


async def test_a_call_that_fails_is_one_line_in_the_log() -> None:
    async with upstream(CLOSE) as wechat, tokend(wechat.url) as (_, caller):
        with capture_logs() as logs:
            await caller.get(GET_IP)

    assert [entry["event"] for entry in logs] == ["call_failed"]
    assert "closed without an answer" in logs[0]["why"]


@pytest.mark.parametrize("answer", [CLOSE, b"not HTTP\r\n\r\n", GOOD[:-5], rejection(40001)])
async def test_no_log_and_no_answer_of_tokend_holds_token_query_or_body(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(enabled=True)
    async with upstream(answer) as wechat, tokend(wechat.url) as (_, caller):
        with capture_logs() as logs:
            response = await caller.post(f"{GET_IP}&q=query-canary", data=b"body-canary")
            told = await response.text()

    assert "canary" not in f"{logs}{told}{caplog.text}"


# The way there


async def ask(url: str, *, proxy: str = "", idle: float = 8) -> int:
    async with (
        open_relay(idle=timedelta(seconds=idle), proxy=proxy) as relay,
        relay.call(
            "GET", Secret(f"{url}/x?access_token={OLD}"), headers=CIMultiDict(), body=b""
        ) as reply,
    ):
        await reply.piece()
        return reply.status


async def test_a_configured_proxy_is_used() -> None:
    async with upstream(GOOD) as proxy:
        await ask("http://api.weixin.example", proxy=proxy.url)

    assert proxy.requests[0].startswith(b"GET http://api.weixin.example/x?access_token=92_")


async def test_a_proxy_of_the_environment_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream(GOOD) as wechat, upstream(GOOD) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        await ask(wechat.url)

    assert proxy.requests == []


async def test_nobody_there_means_never_sent() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamUnreachable, match="Connect"):
            await ask(f"http://127.0.0.1:{probe.getsockname()[1]}")


@pytest.mark.parametrize(
    "answer", [CLOSE, b"not HTTP at all\r\n\r\n", http(b"x" * 9)[:-9]], ids=["closed", "odd", "cut"]
)
async def test_no_exception_carries_the_url(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.get_running_loop().set_debug(enabled=True)
    async with upstream(answer) as wechat:
        try:
            await ask(wechat.url)
        except UpstreamUnclear as error:
            told = "".join(traceback.format_exception(error)) + repr(error)

    assert "canary" not in told + caplog.text


async def test_an_upload_that_breaks_is_told_without_the_url() -> None:
    """aiohttp puts it even where an OSError has its strerror."""

    async def breaking() -> AsyncIterator[bytes]:
        yield b"x"
        raise ConnectionResetError

    url, headers = f"?access_token={OLD}", CIMultiDict({"Content-Length": "2"})
    async with upstream(GOOD) as wechat, open_relay(idle=timedelta(seconds=8)) as relay:
        with pytest.raises(UpstreamUnclear) as raised:
            async with relay.call(
                "POST", Secret(f"{wechat.url}/x{url}"), headers=headers, body=breaking()
            ):
                pass

    assert "canary" not in str(raised.value)


async def test_a_call_that_stands_still_says_so() -> None:
    async with upstream(GOOD, pause=0.2) as wechat:
        with pytest.raises(UpstreamError, match=r"nothing moved for 0\.1 s"):
            await ask(wechat.url, idle=0.1)


async def test_connections_are_kept() -> None:
    async def serve_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            await request(reader)
            writer.write(GOOD.replace(b"Connection: close\r\n", b""))

    connections = 0
    async with scripted(serve_two) as wechat, tokend(wechat) as (_, caller):
        await caller.get(GET_IP)
        await caller.get(GET_IP)

    assert connections == 1
