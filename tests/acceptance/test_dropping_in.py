"""Real SDKs for WeChat, unmodified, at tokend: another base URL, and a client key for a secret."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from kit.process import serving
from kit.sdks import SDKS, Sdk, SdkError, sdk

from tokend.cli.simulate import APP_SECRET, APPID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp
    from kit.process import Simulator

pytestmark = pytest.mark.timeout(600)  # the first time the SDKs are fetched

KEY = "key-of-the-sdk"
BUDGET = 15
CONFIG = """\
[server]
listen = ["127.0.0.1:0"]
socket = ""
[store]
url = "memory:"
[wechat]
url = "{wechat}"
[forward]
enabled = true
[apps.shop]
appid = "{appid}"
secret_file = "shop.secret"
method = "{method}"
kinds = ["access_token", "jsapi_ticket"]
[clients.sdk]
key_sha256 = "{digest}"
apps = ["shop"]
can = ["read", "refresh", "call"]
tokens = "{tokens}"
"""


@pytest.fixture(params=SDKS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@asynccontextmanager
async def at_tokend(
    name: str,
    wechat: Simulator,
    folder: Path,
    *,
    method: str = "stable_token",
    tokens: str = "given",
) -> AsyncIterator[tuple[Sdk, aiohttp.ClientSession]]:
    """The SDK, and a session to the tokend it asks."""
    (folder / "shop.secret").touch(mode=0o600)
    (folder / "shop.secret").write_text(APP_SECRET)
    config = folder / "tokend.toml"
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    config.write_text(
        CONFIG.format(wechat=wechat.url, appid=APPID, method=method, digest=digest, tokens=tokens)
    )
    async with (
        serving(config) as (_, session),
        sdk(name, str(session._base_url).rstrip("/"), APPID, KEY) as client,  # noqa: SLF001
    ):
        session.headers["Authorization"] = f"Bearer {KEY}"
        yield client, session


async def newer(session: aiohttp.ClientSession, generation: int) -> int:
    """The next generation, once it is there."""
    path = f"/v1/apps/shop/access_token?after={generation}&wait=30"
    async with session.get(path) as response:
        assert response.status == 200
        return (await response.json())["generation"]


async def upstream(wechat: Simulator) -> int:
    return await wechat.calls("token") + await wechat.calls("stable_token")


async def test_an_sdk_gets_the_token_and_makes_calls(
    name: str, wechat: Simulator, folder: Path
) -> None:
    async with at_tokend(name, wechat, folder) as (client, _):
        token = await client.token()
        await client.call()
        await client.call()

    assert await wechat.is_valid(token)
    assert await wechat.calls("get_api_domain_ip") == 2
    assert (await wechat.ledger())["rejected_uses"] == 0
    assert await upstream(wechat) == 1


async def test_an_sdk_gets_the_ticket(name: str, wechat: Simulator, folder: Path) -> None:
    if name == "werobot":
        pytest.skip("WeRoBot has no tickets")
    async with at_tokend(name, wechat, folder) as (client, _):
        ticket = await client.ticket()

    assert await wechat.is_valid(ticket)
    assert await wechat.calls("getticket") == 1


async def test_an_sdk_does_not_notice_a_scheduled_refresh(
    name: str, wechat: Simulator, folder: Path
) -> None:
    await wechat.weather({"endpoint": "token", "merge": {"expires_in": 303}})
    async with at_tokend(name, wechat, folder, method="token") as (client, session):
        generation = await newer(session, 0)
        await client.call()
        await newer(session, generation)
        for _ in range(3):
            await client.call()

    assert await upstream(wechat) == 2
    assert (await wechat.ledger())["rejected_uses"] == 0


async def test_an_sdk_does_not_notice_that_somebody_else_got_a_token(
    name: str, wechat: Simulator, folder: Path
) -> None:
    """Its call is passed on once more, with the new token."""
    async with at_tokend(name, wechat, folder) as (client, _):
        before = await client.token()
        await wechat.rotate()
        await wechat.rotate()
        await client.call()
        await client.call()

    assert not await wechat.is_valid(before)
    assert (await wechat.ledger())["rejected_uses"] == 1
    assert await upstream(wechat) == 2


async def test_an_sdk_cannot_burn_the_quota(name: str, wechat: Simulator, folder: Path) -> None:
    """WeChat rejects every token. wechatpy fetches one after the other until Python stops it."""
    async with at_tokend(name, wechat, folder) as (client, _):
        await client.token()
        await wechat.standing(
            {
                "endpoint": "get_api_domain_ip",
                "reply": {"errcode": 40001, "errmsg": "invalid credential"},
            }
        )
        for _ in range(3):
            with pytest.raises(SdkError):
                await client.call()

    assert await upstream(wechat) <= BUDGET


async def test_an_sdk_works_with_a_handle_and_never_sees_a_token(
    name: str, wechat: Simulator, folder: Path
) -> None:
    async with at_tokend(name, wechat, folder, tokens="never") as (client, _):
        handle = await client.token()
        await client.call()

    assert not await wechat.is_valid(handle)
    assert (await wechat.ledger())["rejected_uses"] == 0
    assert await wechat.calls("get_api_domain_ip") == 1
