"""Business calls that carry bodies and files, as the simulator answers them over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import io
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from kit.office import SALES, Office
from kit.town import CALLER, GOOD, Town

from tokend.simulator.face import make_app
from tokend.simulator.media import File
from tokend.simulator.weather import Fault, Weather
from tokend.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse
    from aiohttp.test_utils import TestClient
    from kit.clock import ManualClock
    from pytest_aiohttp.plugin import AiohttpClient

SEND = "/cgi-bin/message/custom/send"
UPLOAD = "/cgi-bin/media/upload"
DOWNLOAD = "/cgi-bin/media/get"
CODE = "/wxa/getwxacodeunlimit"
POSTS = {
    SEND: b'{"touser": "o1", "msgtype": "text", "text": {"content": "\xe4\xbd\xa0"}}',
    CODE: b'{"scene": "a=1"}',
}
FILE = bytes(range(256)) * 1000
FORM = "multipart/form-data; boundary=b"
SHA256 = hashlib.sha256(FILE).hexdigest()


class Server:
    """The simulator as a program with a token meets it."""

    def __init__(
        self, http: TestClient[Any, Any], world: World, weather: Weather, clock: ManualClock
    ) -> None:
        self.http = http
        self.world = world
        self.weather = weather
        town = world.token(GOOD, caller=CALLER, now=clock.now())
        self.token = town["access_token"]

    async def post(self, path: str, body: Any, **query: str) -> ClientResponse:
        return await self.http.post(path, params={"access_token": self.token, **query}, data=body)

    async def upload(self, body: Any = None, **query: str) -> ClientResponse:
        return await self.post(UPLOAD, form() if body is None else body, type="image", **query)

    async def download(self, media_id: str, **query: str) -> ClientResponse:
        query = {"access_token": self.token, "media_id": media_id, **query}
        return await self.http.get(DOWNLOAD, params=query)

    async def ledger(self) -> dict[str, Any]:
        return await (await self.http.get("/simulator/ledger")).json()


@pytest.fixture
async def server(aiohttp_client: AiohttpClient, clock: ManualClock) -> Server:
    world, weather = World([Town().account], Random(2), [Office().corp]), Weather()
    client = await aiohttp_client(make_app(world, weather, clock))
    return Server(client, world, weather, clock)


def form() -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("about", "a field before the file")
    data.add_field("media", FILE, filename="a.jpg", content_type="image/jpeg")
    return data


def part(disposition: str) -> bytes:
    """A form of one part, whose boundary is "b"."""
    head = f"Content-Disposition: form-data; {disposition}"
    return f"--b\r\n{head}\r\n\r\nabc\r\n--b--\r\n".encode()


# Whom they are for


@pytest.mark.parametrize("path", [SEND, UPLOAD, DOWNLOAD, CODE])
@pytest.mark.parametrize(
    ("token", "errcode"),
    [
        pytest.param(None, 41001, id="missing"),
        pytest.param("made-up", 40001, id="unknown"),
        pytest.param("superseded", 40001, id="superseded"),
        pytest.param("expired", 42001, id="expired"),
    ],
)
async def test_a_bad_token_is_refused_with_status_200_and_json(
    server: Server, clock: ManualClock, path: str, token: str | None, errcode: int
) -> None:
    query = {"media_id": "bytes-1", "type": "image"}
    if token is not None:
        query["access_token"] = token if token == "made-up" else server.token
    if token == "superseded":
        server.world.rotate(GOOD["appid"], clock.now())
        server.world.rotate(GOOD["appid"], clock.now())
    if token == "expired":
        await clock.advance(7200)

    body = form() if path == UPLOAD else POSTS.get(path)
    response = await server.http.request(
        "GET" if path == DOWNLOAD else "POST", path, params=query, data=body
    )

    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json; encoding=utf-8"
    assert (await response.json())["errcode"] == errcode
    assert server.world.rejected_uses == (token is not None)
    assert "last_upload" not in await server.ledger()


async def test_an_agents_token_opens_them_too(server: Server, clock: ManualClock) -> None:
    agent = server.world.agent("ww0123456789abcdef", SALES)
    server.token = agent.tokens.issue(clock.now()).value

    uploaded = await (await server.upload()).json()
    sent = await (await server.post(SEND, POSTS[SEND])).json()
    file = await (await server.download("bytes-3")).read()

    assert uploaded["errcode"] == 0
    assert uploaded["type"] == "image"
    assert sent == {"errcode": 0, "errmsg": "ok"}
    assert file == b"\x00\x01\x02"


async def test_an_agents_dead_token_is_refused_in_wecoms_words(
    server: Server, clock: ManualClock
) -> None:
    agent = server.world.agent("ww0123456789abcdef", SALES)
    server.token = agent.tokens.issue(clock.now()).value
    agent.tokens.void(clock.now())

    reply = await (await server.download("bytes-3")).json()

    assert reply["errcode"] == 40014
    assert ", from ip: 127.0.0.1, " in reply["errmsg"]


@pytest.mark.parametrize("path", [SEND, UPLOAD, CODE])
async def test_a_chunked_post_gets_412_and_no_body(server: Server, path: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}"

    response = await server.post(path, pieces(), type="image")

    assert response.status == 412
    assert await response.read() == b""
    assert (await server.ledger())["calls"] == {GOOD["appid"]: {"token": 1}}


# Messages


async def test_a_message_is_taken(server: Server) -> None:
    response = await server.post(SEND, POSTS[SEND])

    assert await response.json() == {"errcode": 0, "errmsg": "ok"}
    assert server.world.calls(GOOD["appid"], "custom_send") == 1


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        pytest.param(b"", 44002, id="empty"),
        pytest.param(b"touser=o1", 47001, id="a form"),
        pytest.param(b"[]", 47001, id="a list"),
    ],
)
async def test_a_message_is_a_json_object(server: Server, body: bytes, errcode: int) -> None:
    response = await server.post(SEND, body)

    assert (await response.json())["errcode"] == errcode


# Files that come in


async def test_an_upload_is_weighed_and_the_ledger_tells(
    server: Server, clock: ManualClock
) -> None:
    reply = await (await server.upload()).json()

    assert reply == {
        "type": "image",
        "media_id": f"bytes-{len(FILE)}",
        "created_at": int(clock.now().timestamp()),
    }
    assert (await server.ledger())["last_upload"] == {"size": len(FILE), "sha256": SHA256}
    assert server.world.calls(GOOD["appid"], "media_upload") == 1


async def test_the_ledger_tells_of_the_last_upload_that_was_taken(server: Server) -> None:
    await server.upload()
    other = aiohttp.FormData()
    other.add_field("media", b"other", filename="b.jpg")

    await server.upload(other)
    await server.upload(access_token="made-up")

    assert (await server.ledger())["last_upload"]["size"] == len(b"other")


async def test_files_that_are_larger_than_bodies_may_be_come_through(server: Server) -> None:
    """aiohttp takes bodies of 1 MiB where they are read as a whole."""
    large = aiohttp.FormData()
    large.add_field("media", io.BytesIO(bytes(3 * 2**20)), filename="a.mp4")

    reply = await (await server.upload(large)).json()

    assert reply["media_id"] == f"bytes-{3 * 2**20}"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(part('name="file"; filename="a"'), FORM, id="another name"),
        pytest.param(part('name="media"'), FORM, id="no filename"),
        pytest.param(part('name="media"; filename="a"'), "image/jpeg", id="no form"),
        pytest.param(b"", FORM, id="empty"),
        pytest.param(b"x", "multipart/form-data", id="no boundary"),
        pytest.param(b"x", FORM, id="no parts"),
    ],
)
async def test_an_upload_without_a_file_is_told_so(
    server: Server, body: bytes, content_type: str
) -> None:
    query = {"access_token": server.token, "type": "image"}
    headers = {"Content-Type": content_type}

    response = await server.http.post(UPLOAD, params=query, data=body, headers=headers)

    assert (await response.json())["errcode"] == 41005
    assert "last_upload" not in await server.ledger()


@pytest.mark.parametrize("kind", ["", "picture"])
async def test_other_types_of_media_are_refused(server: Server, kind: str) -> None:
    response = await server.post(UPLOAD, form(), type=kind)

    assert (await response.json())["errcode"] == 40004
    assert "last_upload" not in await server.ledger()


# Files that go out


@pytest.mark.parametrize("size", [0, 1, 251, 300_000])
async def test_a_download_is_as_many_bytes_of_a_pattern(server: Server, size: int) -> None:
    response = await server.download(f"bytes-{size}")

    assert response.headers["Content-Type"] == "image/jpeg"
    assert response.headers["Content-Length"] == str(size)
    assert await response.read() == bytes(index % 251 for index in range(size))


def test_a_file_is_made_in_pieces() -> None:
    pieces = list(File(content_type="video/mp4", size=10_000_000).pieces())

    assert max(map(len, pieces)) < 100_000
    assert sum(map(len, pieces)) == 10_000_000


@pytest.mark.parametrize("media_id", ["", "bytes-", "bytes--1", "bytes-1x", "x"])
async def test_other_media_ids_are_refused(server: Server, media_id: str) -> None:
    response = await server.download(media_id)

    assert (await response.json())["errcode"] == 40007


async def test_what_was_uploaded_can_be_got_by_its_size(server: Server) -> None:
    media_id = (await (await server.upload()).json())["media_id"]

    assert len(await (await server.download(media_id)).read()) == len(FILE)


@pytest.mark.parametrize("scene", ["a", "a=1", "x" * 32])
async def test_a_code_is_a_picture(server: Server, scene: str) -> None:
    response = await server.http.post(
        CODE, params={"access_token": server.token}, json={"scene": scene}
    )

    picture = await response.read()
    assert response.headers["Content-Type"] == "image/jpeg"
    assert picture.startswith(b"\xff\xd8\xff")
    assert picture.endswith(b"\xff\xd9")


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        pytest.param(b"", 40169, id="empty"),
        pytest.param(b"scene=a", 40169, id="a form"),
        pytest.param(b"{}", 40169, id="no scene"),
        pytest.param(b'{"scene": 1}', 40169, id="a number"),
        pytest.param(b'{"scene": "%s"}' % (b"x" * 33), 40169, id="33 characters"),
        pytest.param(b'{"scene": "a b"}', 40129, id="another character"),
    ],
)
async def test_a_code_without_a_scene_is_refused_as_json(
    server: Server, body: bytes, errcode: int
) -> None:
    response = await server.post(CODE, body)

    assert response.headers["Content-Type"] == "application/json; encoding=utf-8"
    assert (await response.json())["errcode"] == errcode


# The weather over files


async def test_a_file_has_weather_and_no_fields(server: Server) -> None:
    server.weather.coming.append(Fault(status=502, headers={"X-Seen": "1"}, merge={"errcode": -1}))

    response = await server.download("bytes-2")

    assert response.status == 502
    assert response.headers["X-Seen"] == "1"
    assert await response.read() == b"\x00\x01"


async def test_json_may_come_in_place_of_a_file(server: Server) -> None:
    server.weather.coming.append(Fault(reply={"errcode": -1}))

    response = await server.download("bytes-2")

    assert response.headers["Content-Type"] == "application/json; encoding=utf-8"
    assert await response.json() == {"errcode": -1}


async def test_a_file_may_drip(server: Server) -> None:
    server.weather.coming.append(Fault(drip_seconds=0.002))

    response = await server.download("bytes-10")

    pieces = [piece async for piece in response.content.iter_any()]
    assert b"".join(pieces) == bytes(range(10))
    assert len(pieces) > 1


async def test_an_empty_body_may_drip(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.weather.coming.append(Fault(body=b"", drip_seconds=0.002))

    assert await (await server.download("bytes-10")).read() == b""
    assert caplog.records == []


async def test_a_caller_may_leave_in_the_middle_of_a_file(server: Server) -> None:
    response = await server.download(f"bytes-{10**12 - 1}")
    await response.content.readexactly(1)
    response.close()

    assert await (await server.download("bytes-1")).read() == b"\x00"


async def test_an_upload_whose_caller_leaves_is_not_taken(server: Server) -> None:
    reader, writer = await asyncio.open_connection(server.http.host, server.http.port)
    writer.write(
        f"POST {UPLOAD}?type=image&access_token={server.token} HTTP/1.1\r\nHost: wechat\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="media"; filename="a"\r\n\r\nabc'.encode()
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await reader.read()

    assert "last_upload" not in await server.ledger()
    assert server.world.calls(GOOD["appid"], "media_upload") == 0
