"""httpx, its two clients, with tokens from ours: a real tokend, a simulated WeChat."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import os
import re
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kit.process import serving

from tokend.client import AsyncClient, Client, UsageError
from tokend.client.for_httpx import TokenAuth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from kit.process import Simulator

    Configured = Callable[..., Path]
    # get() and post() of either of httpx's clients, to be awaited.
    Ask = Callable[..., Awaitable[httpx.Response]]

README = (Path(__file__).parents[2] / "README.md").read_text()
KEY = "shop/access_token"
ADDRESSES = "/cgi-bin/get_api_domain_ip"
REJECTED = {"errcode": 40001, "errmsg": "invalid credential"}


@dataclass
class Http:
    """One of httpx's clients: requests, a download in pieces, and the token ours has."""

    ask: Ask
    download: Callable[..., Awaitable[bytes]]
    token: Callable[[], Awaitable[str]]


@asynccontextmanager
async def by_threads(
    folder: Path, url: str, *, retries: int = 1, **more: Any
) -> AsyncIterator[Http]:
    with Client(socket=folder / "tokend.sock") as client, ExitStack() as stack:
        auth = TokenAuth(client, KEY, origins=[url], retries=retries)
        http = stack.enter_context(httpx.Client(auth=auth, base_url=url, **more))

        async def ask(*what: Any, **how: Any) -> httpx.Response:
            return await asyncio.to_thread(http.request, *what, **how)

        def begin(path: str, most: int) -> bytes:
            with http.stream("GET", path) as response:
                return b"".join(islice(response.iter_raw(1_000), most // 1_000))

        async def download(path: str, *, most: int = 10**6) -> bytes:
            return await asyncio.to_thread(begin, path, most)

        yield Http(ask, download, lambda: asyncio.to_thread(client.token, KEY))


@asynccontextmanager
async def by_asyncio(
    folder: Path, url: str, *, retries: int = 1, **more: Any
) -> AsyncIterator[Http]:
    async with AsyncClient(socket=folder / "tokend.sock") as client:
        auth = TokenAuth(client, KEY, origins=[url], retries=retries)
        async with httpx.AsyncClient(auth=auth, base_url=url, **more) as http:

            async def download(path: str, *, most: int = 10**6) -> bytes:
                begin = b""
                async with http.stream("GET", path) as response:
                    async for piece in response.aiter_raw(1_000):
                        begin += piece
                        if len(begin) >= most:
                            break
                return begin

            yield Http(http.request, download, lambda: client.token(KEY))


@pytest.fixture(params=[by_threads, by_asyncio])
def client(request: pytest.FixtureRequest):
    return request.param


@dataclass
class Upstream:
    """A server of the test's own: its answers in turn, the last one for ever."""

    answers: list[Callable[[web.Request], Awaitable[web.StreamResponse]]]
    tokens: list[str | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(",".join(request.query.getall("access_token", [])) or None)
        self.bodies.append(await request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@asynccontextmanager
async def upstream(*answers: Any) -> AsyncIterator[tuple[Upstream, str]]:
    server = Upstream(list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as running:
        yield server, str(running.make_url("")).rstrip("/")


def saying(body: Any, **how: Any) -> Any:
    """It answers *body*: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    how.setdefault("content_type", "application/json")

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=raw, **how)

    return answer


async def in_pieces(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for byte in json.dumps(REJECTED).encode():
        await response.write(bytes([byte]))
    return response


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    request.transport.abort()
    return response


rejecting, fine = saying(REJECTED), saying({"errcode": 0})


async def rejected_uses(wechat: Simulator) -> object:
    return (await wechat.ledger())["rejected_uses"]


@pytest.mark.parametrize("method", ["stable_token", "token"])
async def test_a_superseded_token_is_not_noticed(
    configured: Configured, wechat: Simulator, folder: Path, client: Any, method: str
) -> None:
    one = httpx.Limits(max_connections=1)
    async with serving(configured(method=method)), client(folder, wechat.url, limits=one) as http:
        dead = await http.token()
        await wechat.rotate()
        await wechat.rotate()

        answers = [await http.ask("GET", ADDRESSES) for _ in range(3)]

        assert ["ip_list" in answer.json() for answer in answers] == [True] * 3
        assert await http.token() != dead
        assert await rejected_uses(wechat) == 1
        assert await wechat.calls(method) == 2


async def test_uploads_and_downloads_outlive_a_superseded_token(
    configured: Configured, wechat: Simulator, folder: Path, client: Any
) -> None:
    async with serving(configured()), client(folder, wechat.url) as http:
        await http.token()
        await wechat.rotate()
        await wechat.rotate()
        file = io.BytesIO(bytes(70_000))

        sent = await http.ask(
            "POST", "/cgi-bin/media/upload", params={"type": "image"}, files={"media": file}
        )
        got = await http.download("/cgi-bin/media/get?media_id=bytes-70000")

        assert sent.json()["media_id"] == "bytes-70000"
        assert len(got) == 70_000
        assert await rejected_uses(wechat) == 1


async def test_a_download_outlives_a_superseded_token(
    configured: Configured, wechat: Simulator, folder: Path, client: Any
) -> None:
    async with serving(configured()), client(folder, wechat.url) as http:
        await http.token()
        await wechat.rotate()
        await wechat.rotate()

        assert len(await http.download("/cgi-bin/media/get?media_id=bytes-70000")) == 70_000


async def test_a_token_that_is_always_rejected_is_one_more_try_and_one_new_token(
    configured: Configured, wechat: Simulator, folder: Path, client: Any
) -> None:
    async with (
        serving(configured(method="token")),
        upstream(rejecting) as (server, url),
        client(folder, url) as http,
    ):
        answers = [await http.ask("GET", ADDRESSES) for _ in range(6)]

    assert [answer.json() for answer in answers] == [REJECTED] * 6
    # The second new token within a minute is refused: there is nothing to try again with.
    assert len(server.tokens) == 2 + 5
    assert len(set(server.tokens)) == 2
    assert await wechat.calls("token") == 2


async def test_without_retries_a_rejection_comes_back(
    configured: Configured, folder: Path, client: Any
) -> None:
    async with (
        serving(configured()),
        upstream(rejecting, fine) as (_, url),
        client(folder, url, retries=0) as http,
    ):
        assert (await http.ask("GET", ADDRESSES)).json() == REJECTED


REJECTIONS = {
    "as text": saying(REJECTED, content_type="text/plain"),
    "compressed": saying(
        gzip.compress(json.dumps(REJECTED).encode()), headers={"Content-Encoding": "gzip"}
    ),
    "in pieces": in_pieces,
    "40014": saying({"errcode": 40014}),
    "42001": saying({"errcode": 42001}),
}


@pytest.mark.parametrize("how", REJECTIONS)
async def test_a_rejection_is_one_however_it_comes(
    configured: Configured, folder: Path, client: Any, how: str
) -> None:
    async with (
        serving(configured()),
        upstream(REJECTIONS[how], fine) as (server, url),
        client(folder, url) as http,
    ):
        response = await http.ask("GET", ADDRESSES)

    assert response.json() == {"errcode": 0}
    assert len(set(server.tokens)) == 2


LONG = {**REJECTED, "padding": "x" * 5_000}
OTHERS = {
    "too long": (saying(LONG), json.dumps(LONG).encode()),
    "a file": (
        saying(REJECTED, headers={"Content-Disposition": 'attachment; filename="a.json"'}),
        json.dumps(REJECTED).encode(),
    ),
    "no success": (saying(REJECTED, status=502), json.dumps(REJECTED).encode()),
    "another code": (saying({"errcode": 45009}), b'{"errcode": 45009}'),
    "a list": (saying([REJECTED]), json.dumps([REJECTED]).encode()),
    "nested": (saying(b"[" * 4_000), b"[" * 4_000),
    "no text": (saying(b"\xff\xfe{"), b"\xff\xfe{"),
    "nothing": (saying(b""), b""),
}


@pytest.mark.parametrize("how", OTHERS)
async def test_what_is_no_rejection_comes_back_as_it_is(
    configured: Configured, folder: Path, client: Any, how: str
) -> None:
    answer, body = OTHERS[how]
    async with (
        serving(configured()),
        upstream(answer) as (server, url),
        client(folder, url) as http,
    ):
        token = await http.token()
        read = (await http.ask("GET", ADDRESSES)).content
        in_pieces = await http.download(ADDRESSES)

        assert (read, in_pieces) == (body, body)
        assert server.tokens == [token, token]
        assert await http.token() == token


async def test_what_says_that_it_is_compressed_and_is_not_is_httpxs_to_complain_about(
    configured: Configured, folder: Path, client: Any
) -> None:
    lying = saying(b"{}", headers={"Content-Encoding": "gzip"})
    async with (
        serving(configured()),
        upstream(lying) as (server, url),
        client(folder, url) as http,
    ):
        with pytest.raises(httpx.DecodingError):
            await http.ask("GET", ADDRESSES)

    assert len(server.tokens) == 1


async def test_a_download_is_not_kept_from_its_reader(
    configured: Configured, folder: Path, client: Any
) -> None:
    pieces = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal pieces
        response = web.StreamResponse()
        await response.prepare(request)
        for pieces in range(2_000):  # noqa: B007, counted
            await response.write(bytes(2**16))
        return response

    async with (
        serving(configured()),
        upstream(endless) as (_, url),
        client(folder, url) as http,
    ):
        begin = await http.download(ADDRESSES, most=10_000)

    assert len(begin) == 10_000
    assert pieces < 1_000


async def test_an_answer_that_breaks_off_tells_its_request(
    configured: Configured, folder: Path, client: Any
) -> None:
    async with (
        serving(configured()),
        upstream(cut) as (_, url),
        client(folder, url) as http,
    ):
        with pytest.raises(httpx.TransportError) as broken:
            await http.ask("GET", ADDRESSES)

    assert broken.value.request.url.path == ADDRESSES


async def test_a_form_is_sent_again_whole(
    configured: Configured, folder: Path, client: Any
) -> None:
    file = io.BytesIO(b"picture")
    async with (
        serving(configured()),
        upstream(rejecting, fine) as (server, url),
        client(folder, url) as http,
    ):
        await http.ask("POST", "/cgi-bin/media/upload", files={"media": file})
        await http.ask("POST", "/cgi-bin/message/custom/send", json={"touser": "openid"})

    assert server.bodies[0] == server.bodies[1]
    assert b"picture" in server.bodies[1]
    assert json.loads(server.bodies[2]) == {"touser": "openid"}


async def test_a_body_that_can_be_sent_once_is_not_sent_again_and_its_token_is_reported(
    configured: Configured, folder: Path, client: Any
) -> None:
    def sync_body():
        yield b"{}"

    async def async_body():
        yield b"{}"

    body = sync_body() if client is by_threads else async_body()
    async with (
        serving(configured()),
        upstream(rejecting) as (server, url),
        client(folder, url) as http,
    ):
        dead = await http.token()
        response = await http.ask("POST", "/cgi-bin/x", content=body)

        assert response.json() == REJECTED
        assert server.bodies == [b"{}"]
        assert await http.token() != dead


async def test_a_token_that_stands_in_the_query_gives_way(
    configured: Configured, folder: Path, client: Any
) -> None:
    async with (
        serving(configured()),
        upstream(fine) as (server, url),
        client(folder, url) as http,
    ):
        await http.ask("GET", f"{ADDRESSES}?access_token=old&access_token=older&a=b")

        assert server.tokens == [await http.token()]


async def test_a_redirect_leaves_the_token_behind(
    configured: Configured, folder: Path, client: Any
) -> None:
    """Nor can whoever is asked then have it replaced."""
    async with (
        serving(configured()),
        upstream(rejecting) as (elsewhere, other_url),
        upstream(saying(b"", status=307, headers={"Location": f"{other_url}/x"})) as (server, url),
        client(folder, url, follow_redirects=True) as http,
    ):
        token = await http.token()
        response = await http.ask("POST", ADDRESSES, content=b"{}")

        assert response.json() == REJECTED
        assert (server.tokens, elsewhere.tokens) == ([token], [None])
        assert await http.token() == token


async def test_no_other_origin_is_asked_at_all(
    configured: Configured, folder: Path, client: Any
) -> None:
    async with (
        serving(configured()),
        upstream(fine) as (elsewhere, other_url),
        upstream(fine) as (_, url),
        client(folder, url) as http,
    ):
        with pytest.raises(UsageError, match=f"{other_url}: not one of the origins"):
            await http.ask("GET", f"{other_url}/x")

    assert elsewhere.tokens == []


async def test_no_log_line_and_no_exception_shows_the_token(
    configured: Configured, folder: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        serving(configured()),
        upstream(saying(b"", status=404)) as (server, url),
        client(folder, url) as http,
    ):
        response = await http.ask("GET", ADDRESSES)
        with pytest.raises(httpx.HTTPStatusError) as refused:
            response.raise_for_status()
        token = await http.token()

    logged = "\n".join(
        record.getMessage() for record in caplog.records if record.name != "aiohttp.access"
    )
    assert server.tokens == [token]
    assert "access_token=hidden" in logged
    assert "access_token=hidden" in str(refused.value)
    shown = [logged, str(refused.value), repr(response.request), repr(response.url)]
    assert [token in text for text in shown] == [False] * 4


async def test_the_example_of_the_readme_works(
    configured: Configured, wechat: Simulator, folder: Path
) -> None:
    example = re.search(r"```python\n([^`]*for_httpx.*?)```", README, re.DOTALL)
    assert example
    text = example[1].replace("https://api.weixin.qq.com", wechat.url)
    text = text.replace(f'"{KEY}"', f'"{KEY}", origins=["{wechat.url}"]')
    async with serving(configured()):
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", f"from tokend.client import Client\nclient = Client()\n{text}"],
            env={**os.environ, "TOKEND_SOCKET": f"{folder}/tokend.sock"},
            check=True,
            capture_output=True,
            timeout=20,
        )

    assert b"ip_list" in ran.stdout
