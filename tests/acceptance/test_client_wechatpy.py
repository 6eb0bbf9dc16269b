"""wechatpy, unmodified, with its tokens from the Python client: a real tokend, a simulated WeChat.

It runs where nothing of tokend's dependencies is installed.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.process import ready, serving
from kit.sdks import Sdk, SdkError, adapted, python_environment

from tokend.cli.simulate import AGENT_SECRET, AGENTID, CORPID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kit.process import Simulator

    Configured = Callable[..., Path]

pytestmark = pytest.mark.timeout(600)  # the first time the SDKs are fetched

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

_TICKETS = 'kinds = ["access_token", "jsapi_ticket", "wx_card_ticket"]\n'
_AGENT = """\
[wecom]
url = "{wechat}"
[apps.sales]
type = "wecom"
corpid = "{corpid}"
agentid = {agentid}
secret_file = "sales.secret"
kinds = ["access_token", "jsapi_ticket", "agent_config_ticket"]
"""
KINDS = ("official", "wecom")

# WeChat's answer to a token that has been superseded, in the account's words and in the agent's.
REJECTED = {
    "endpoint": "get_api_domain_ip",
    "reply": {"errcode": 40001, "errmsg": "invalid credential"},
}


@asynccontextmanager
async def wechatpy(
    configured: Configured,
    wechat: Simulator,
    folder: Path,
    *,
    kind: str = "official",
    method: str = "stable_token",
    tickets: bool = True,
) -> AsyncIterator[Sdk]:
    path = configured(method=method)
    (folder / "sales.secret").touch(mode=0o600)
    (folder / "sales.secret").write_text(AGENT_SECRET)
    with path.open("a") as config:
        config.write(_TICKETS if tickets else "")
        config.write(_AGENT.format(wechat=wechat.url, corpid=CORPID, agentid=AGENTID))
    async with (
        serving(path) as (_, session),
        adapted("for_wechatpy.py", kind, wechat.url, f"{folder}/tokend.sock") as sdk,
    ):
        await ready(session)  # tickets are fetched with the token that a test may supersede
        yield sdk


async def supersede(wechat: Simulator) -> None:
    """After two new tokens of somebody else's, the first is no good at once."""
    await wechat.rotate()
    await wechat.rotate()


async def rejected_uses(wechat: Simulator) -> object:
    return (await wechat.ledger())["rejected_uses"]


@pytest.mark.parametrize("kind", KINDS)
async def test_its_token_is_the_one_tokend_has(
    configured: Configured, wechat: Simulator, folder: Path, kind: str
) -> None:
    fetching = {"official": "stable_token", "wecom": "gettoken"}[kind]
    async with wechatpy(configured, wechat, folder, kind=kind) as sdk:
        token = await sdk.token()
        await sdk.call()

        assert await sdk.token() == token
        assert await wechat.is_valid(token)
        assert await wechat.calls(fetching) == 1


@pytest.mark.parametrize("action", ["call", "upload", "download", "own query", "own params"])
@pytest.mark.parametrize("method", ["stable_token", "token"])
async def test_a_superseded_token_is_not_noticed(
    configured: Configured, wechat: Simulator, folder: Path, method: str, action: str
) -> None:
    async with wechatpy(configured, wechat, folder, method=method) as sdk:
        dead = await sdk.token()
        await supersede(wechat)

        answer = await sdk.ask(action)

        assert "errcode" not in answer
        assert await sdk.token() != dead
        assert await rejected_uses(wechat) == 1
        assert await wechat.calls(method) == 2


async def test_an_upload_that_is_made_again_is_whole(
    configured: Configured, wechat: Simulator, folder: Path
) -> None:
    async with wechatpy(configured, wechat, folder) as sdk:
        await sdk.token()
        await supersede(wechat)

        assert (await sdk.ask("upload"))["media_id"] == "bytes-3000"


async def test_an_upload_that_can_be_read_once_is_not_made_again_and_its_token_is_reported(
    configured: Configured, wechat: Simulator, folder: Path
) -> None:
    async with wechatpy(configured, wechat, folder) as sdk:
        dead = await sdk.token()
        await supersede(wechat)

        with pytest.raises(SdkError, match="40001") as refusal:
            await sdk.ask("upload a pipe")

        assert refusal.value.errcode == 40001
        assert await wechat.calls("media_upload") == 1
        assert await sdk.token() != dead
        assert (await sdk.ask("upload a pipe"))["media_id"] == "bytes-3000"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_that_is_always_rejected_is_not_fetched_again_and_again(
    configured: Configured, wechat: Simulator, folder: Path, kind: str
) -> None:
    """wechatpy's own retry would do so, hundreds of times for each call."""
    # WeCom gives the rejected one again, so it may be asked a little more.
    fetching, most = {"official": ("token", 1), "wecom": ("gettoken", 3)}[kind]
    async with wechatpy(configured, wechat, folder, kind=kind, method="token") as sdk:
        await sdk.call()
        fetched = await wechat.calls(fetching)
        await wechat.standing(REJECTED)

        for _ in range(10):
            with pytest.raises(SdkError) as refusal:
                await sdk.call()
            assert refusal.value.errcode == 40001

        assert 0 < await wechat.calls(fetching) - fetched <= most


@pytest.mark.parametrize("kind", KINDS)
async def test_its_tickets_are_tokends(
    configured: Configured, wechat: Simulator, folder: Path, kind: str
) -> None:
    fetching = {"official": ("getticket",), "wecom": ("get_jsapi_ticket", "ticket_get")}[kind]
    async with wechatpy(configured, wechat, folder, kind=kind) as sdk:
        for _ in range(2):
            tickets = {(await sdk.ask(name))["ticket"] for name in ("ticket", "more tickets")}

        assert [await wechat.is_valid(ticket) for ticket in tickets] == [True, True]
        assert sum([await wechat.calls(name) for name in fetching]) == 2


async def test_a_ticket_that_tokend_does_not_keep_is_refused(
    configured: Configured, wechat: Simulator, folder: Path
) -> None:
    async with wechatpy(configured, wechat, folder, tickets=False) as sdk:
        with pytest.raises(SdkError, match=r"Refused: .*shop/jsapi_ticket: no such key"):
            await sdk.ticket()

        assert await wechat.calls("getticket") == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_what_takes_the_appsecret_is_refused_in_plain_words(
    configured: Configured, wechat: Simulator, folder: Path, kind: str
) -> None:
    refused = {
        "fetch": "UsageError: tokend fetches tokens",
        "raw ticket": "UsageError: tokend fetches tickets",
        "secret": "AttributeError: the AppSecret is in tokend",
    }
    async with wechatpy(configured, wechat, folder, kind=kind) as sdk:
        for action, words in refused.items():
            with pytest.raises(SdkError, match=words):
                await sdk.ask(action)


async def test_no_traceback_shows_the_token(
    configured: Configured, wechat: Simulator, folder: Path
) -> None:
    async with wechatpy(configured, wechat, folder) as sdk:
        token = await sdk.token()
        unreachable = await sdk.ask("unreachable")
        await wechat.weather({"endpoint": "get_api_domain_ip", "status": 502})
        unwell = await sdk.ask("unwell")

    assert unreachable["kind"] == "ConnectionError"
    assert "access_token=hidden" in unreachable["told"]
    assert unwell["kind"] == "WeChatClientException"
    assert token not in unreachable["told"] + unwell["told"]


async def test_the_example_of_the_readme_works(
    configured: Configured, wechat: Simulator, folder: Path
) -> None:
    example = re.search(r"```python\n([^`]*for_wechatpy.*?)```", README, re.DOTALL)
    assert example
    pointed = f"WeChatClient.API_BASE_URL = '{wechat.url}/cgi-bin/'"
    text = f"from tokend.client import Client\nclient = Client()\n{example[1]}"
    python = await asyncio.to_thread(python_environment)
    async with serving(configured()):
        await asyncio.to_thread(
            subprocess.run,
            [python, "-c", text.replace("\n\n", f"\n{pointed}\n", 1)],
            env={"TOKEND_SOCKET": f"{folder}/tokend.sock", "PYTHONPATH": str(ROOT)},
            check=True,
            timeout=60,
        )

        assert await wechat.calls("custom_send") == 1
