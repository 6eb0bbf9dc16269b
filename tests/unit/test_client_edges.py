"""What surrounds the client's watch: where tokend is, what a rejection is, what is imported."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

import httpx
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

import tokend.client
from tokend.client import AsyncClient, Away, Client, Refused, Token, UsageError, address
from tokend.client.connection import Connection
from tokend.client.rejection import is_rejection
from tokend.client.watch import Watch


class WeChatError(Exception):
    def __init__(self, errcode: object) -> None:
        super().__init__()
        self.errcode = errcode


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
def test_wechat_rejects_a_token_by_three_codes(errcode: int) -> None:
    assert is_rejection({"errcode": errcode, "errmsg": "…"})
    assert is_rejection(WeChatError(errcode))


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param({"errcode": 0}, id="success"),
        pytest.param({"openid": "o"}, id="no errcode"),
        pytest.param({"errcode": 45009}, id="another errcode"),
        pytest.param({"errcode": [40001]}, id="no number"),
        pytest.param(WeChatError(None), id="another exception"),
        pytest.param(ValueError(40001), id="an exception without errcode"),
        pytest.param(None, id="nothing"),
        pytest.param("40001", id="text"),
        pytest.param([{"errcode": 40001}], id="a list"),
    ],
)
def test_nothing_else_is_a_rejection(outcome: object) -> None:
    assert not is_rejection(outcome)


async def test_what_is_to_be_awaited_is_not_taken_for_an_answer() -> None:
    with pytest.raises(UsageError, match="Future: to be awaited, which AsyncClient does"):
        is_rejection(asyncio.get_running_loop().create_future())


def test_a_function_is_decorated_without_its_token(tmp_path: Path) -> None:
    def fn(token: Token, openid: str, *, lang: str = "zh_CN") -> dict[str, int]:
        raise NotImplementedError

    for client in (Client(socket=tmp_path / "s"), AsyncClient(socket=tmp_path / "s")):
        called = client.calls("shop/access_token")(fn)

        assert [*inspect.signature(called).parameters] == ["openid", "lang"]
        assert called.__name__ == "fn"


def test_what_takes_anything_is_decorated_as_it_is(tmp_path: Path) -> None:
    called = Client(socket=tmp_path / "s").calls("shop/access_token")(lambda *given: given)

    assert [*inspect.signature(called).parameters] == ["given"]


def test_a_method_is_not_decorated(tmp_path: Path) -> None:
    """It would get the token for its instance."""

    def method(self: object, token: Token) -> None:
        raise NotImplementedError

    for client in (Client(socket=tmp_path / "s"), AsyncClient(socket=tmp_path / "s")):
        with pytest.raises(UsageError, match=r"method: calls\(\) is for functions; a method uses"):
            client.calls("shop/access_token")(method)


def test_a_coroutine_function_is_not_decorated_for_threads(tmp_path: Path) -> None:
    async def fn(token: Token) -> None:
        raise NotImplementedError

    with pytest.raises(UsageError, match="fn: is a coroutine function, which AsyncClient calls"):
        Client(socket=tmp_path / "s").calls("shop/access_token")(fn)


@pytest.mark.parametrize(
    "error",
    [
        UsageError("no"),
        Refused("no", code="unknown_key", advice="ask"),
        Away("no", retry_after=timedelta(seconds=1)),
    ],
)
def test_errors_are_pickled_by_what_passes_jobs_on(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301, our own

    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


async def test_a_response_is_not_taken_for_an_answer() -> None:
    """As it would be by ``call(key, lambda token: httpx.get(…))``: no rejection would be seen."""

    async def reject(_: web.Request) -> web.Response:
        return web.json_response({"errcode": 40001})

    app = web.Application()
    app.router.add_get("/", reject)
    async with TestServer(app) as server, ClientSession() as session:
        url = server.make_url("/")
        async with session.get(url) as by_aiohttp, httpx.AsyncClient() as http:
            by_httpx = await http.get(str(url))
            with await asyncio.to_thread(urlopen, str(url)) as by_urllib:
                responses = [by_aiohttp, by_httpx, by_urllib]

                for response in responses:
                    with pytest.raises(UsageError, match="Response: WeChat's errcode is not seen"):
                        is_rejection(response)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("abc\n")
    return path


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEND_URL", "TOKEND_SOCKET", "TOKEND_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "environment", "where"),
    [
        pytest.param({}, {}, "/run/tokend/tokend.sock", id="by default"),
        pytest.param({"url": "http://a:1/"}, {}, "http://a:1", id="url"),
        pytest.param({"url": "https://[::1]:1"}, {}, "https://[::1]:1", id="an address of six"),
        pytest.param({"socket": Path("/s")}, {}, "/s", id="socket"),
        pytest.param({}, {"TOKEND_URL": "http://a"}, "http://a", id="URL of the environment"),
        pytest.param({}, {"TOKEND_SOCKET": "/s"}, "/s", id="socket of the environment"),
        pytest.param(
            {}, {"TOKEND_SOCKET": "/s", "TOKEND_URL": "http://a"}, "http://a", id="a URL first"
        ),
        pytest.param({"socket": "/s"}, {"TOKEND_URL": "http://a"}, "/s", id="what is said first"),
    ],
)
def test_where_tokend_is(monkeypatch, arguments, environment, where: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    found = address.find(**{"url": None, "socket": None, "key_file": None, **arguments})

    assert (found.shown, found.headers) == (where, {})


def test_the_key_is_read_from_its_file_and_not_shown(monkeypatch, key_file: Path) -> None:
    monkeypatch.setenv("TOKEND_KEY_FILE", str(key_file))

    found = address.find(url="http://a", socket=None, key_file=None)

    assert found.headers == {"Authorization": "Bearer abc"}
    assert "abc" not in repr(found)


@pytest.mark.parametrize(
    "url", ["", "a:1", "ftp://a", "http://", "http://a/b", "http://u:p@a", "http://a:x"]
)
def test_a_url_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match=r"^url: must be like http://host:port$"):
        address.find(url=url, socket=None, key_file=None)


@pytest.mark.parametrize(
    ("url", "port"), [("http://[::1]", 80), ("https://[::1]", 443), ("http://[::1]:81", 81)]
)
def test_an_address_of_six_needs_no_port(url: str, port: int) -> None:
    http = Connection(address.find(url=url, socket=None, key_file=None))._http  # noqa: SLF001

    assert (http.host, http.port) == ("::1", port)


def test_an_empty_socket_is_refused() -> None:
    with pytest.raises(UsageError, match="socket: must be the path of one"):
        address.find(url=None, socket="", key_file=None)


def test_a_key_file_that_is_gone_leaves_the_key(key_file: Path) -> None:
    found = address.find(url="http://a", socket=None, key_file=key_file)
    key_file.unlink()

    assert found.read_key_again() == {"Authorization": "Bearer abc"}


def test_a_url_and_a_socket_are_too_much() -> None:
    with pytest.raises(UsageError, match="one of them"):
        address.find(url="http://a", socket="/s", key_file=None)


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff", b"a\nb"])
def test_a_file_without_a_key_is_refused(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)

    with pytest.raises(UsageError, match="holds no client key"):
        address.find(url="http://a", socket=None, key_file=key_file)


def test_a_key_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: No such file"):
        address.find(url="http://a", socket=None, key_file=tmp_path / "nowhere")


@pytest.mark.parametrize("key", ["shop", "", "a/b/c", "/x", "x/", "a b/c"])
def test_what_cannot_be_a_key_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="a key is like"):
        Watch(key)


def test_a_pickled_token_is_a_plain_string() -> None:
    token = Token("92_a", key="shop/access_token", generation=1)

    assert type(pickle.loads(pickle.dumps(token))) is str  # noqa: S301, our own


def test_what_it_exports_is_there() -> None:
    assert {name for name in tokend.client.__all__ if hasattr(tokend.client, name)} == set(
        tokend.client.__all__
    )
    assert tokend.client.AsyncClient is AsyncClient


def test_importing_it_imports_the_standard_library_alone() -> None:
    program = "import sys, tokend.client; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    modules = set(ran.stdout.split())
    ours = {name for name in modules if name.startswith("tokend.")}
    assert {name for name in ours if not name.startswith("tokend.client")} == set()
    assert not modules & {"aiohttp", "asyncio", "httpx", "requests", "wechatpy"}
