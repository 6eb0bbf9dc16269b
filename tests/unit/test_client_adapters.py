"""What the adapters of the Python client refuse before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tokend.client import AsyncClient, Client, UsageError
from tokend.client.for_httpx import WECHAT, TokenAuth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "shop/access_token"
ANYWHERE = "https://api.weixin.qq.com/cgi-bin/get_api_domain_ip"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client(socket=tmp_path / "nobody.sock") as client:
        yield client


def test_an_async_client_does_not_go_with_httpx_client(tmp_path: Path) -> None:
    auth = TokenAuth(AsyncClient(socket=tmp_path / "nobody.sock"), KEY)

    with httpx.Client(auth=auth) as http, pytest.raises(UsageError, match="tokens of a Client"):
        http.get(ANYWHERE)


async def test_a_client_does_not_go_with_httpx_async_client(client: Client) -> None:
    async with httpx.AsyncClient(auth=TokenAuth(client, KEY)) as http:
        with pytest.raises(UsageError, match="tokens of an AsyncClient"):
            await http.get(ANYWHERE)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.weixin.qq.com/cgi-bin/x",
        "https://api.weixin.qq.com:8443/cgi-bin/x",
        "https://api.weixin.qq.com.example.com/cgi-bin/x",
        "https://api.weixin.qq.com@example.com/cgi-bin/x",
        "https://mp.weixin.qq.com/cgi-bin/x",
    ],
)
def test_a_token_goes_to_wechats_own_hosts_alone(client: Client, url: str) -> None:
    auth = TokenAuth(client, KEY)

    with httpx.Client(auth=auth) as http, pytest.raises(UsageError, match="not one of the origins"):
        http.get(url)


@pytest.mark.parametrize("origin", [*WECHAT, "https://API.weixin.qq.com:443", "http://[::1]:8391/"])
def test_an_origin_is_a_scheme_and_a_host(client: Client, origin: str) -> None:
    assert TokenAuth(client, KEY, origins=[origin])


@pytest.mark.parametrize(
    "origin",
    ["api.weixin.qq.com", "ftp://api.weixin.qq.com", "https://", "https://h/path", "https://h:x"],
)
def test_another_origin_is_refused(client: Client, origin: str) -> None:
    with pytest.raises(UsageError, match="is not like https://host:port"):
        TokenAuth(client, KEY, origins=[origin])


def test_one_text_is_not_a_list_of_origins(client: Client) -> None:
    with pytest.raises(UsageError, match="'h' is not like"):
        TokenAuth(client, KEY, origins="https://api.weixin.qq.com")
