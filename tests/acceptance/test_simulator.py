"""tokend simulate: whoever reads what it prints can use it."""

from __future__ import annotations

import re

import aiohttp
import pytest
from kit.process import running

OFFICIAL = re.compile(
    r"WeChat is simulated at (?P<url>\S+), with the account\n"
    r"  appid  (?P<appid>\S+)\n  secret (?P<secret>\S+)\n"
)
WECOM = re.compile(
    r"  corpid (?P<corpid>\S+)\n  agent  (?P<agentid>\d+)\n  secret (?P<secret>\S+)\n"
)


@pytest.mark.parametrize("length", [136, 512])
async def test_the_simulator_prints_what_gets_tokens_of_that_length(length: int) -> None:
    arguments = ("simulate", "--port", "0", "--token-length", str(length))
    async with running(*arguments) as process:
        account, agent = await process.said(OFFICIAL), await process.said(WECOM)
        official = {"grant_type": "client_credential", **account.groupdict()}
        wecom = {"corpid": agent["corpid"], "corpsecret": agent["secret"]}
        named = {"corpid": agent["corpid"], "agentid": int(agent["agentid"])}

        async with aiohttp.ClientSession(official.pop("url")) as session:
            for path, query in (("token", official), ("gettoken", wecom)):
                async with session.get(f"/cgi-bin/{path}", params=query) as response:
                    assert len((await response.json())["access_token"]) == length
            async with session.post("/simulator/rotate", json=named) as response:
                assert response.status == 200
