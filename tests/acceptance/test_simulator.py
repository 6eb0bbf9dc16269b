"""tokend simulate: whoever reads what it prints can use it."""

from __future__ import annotations

import os
import re
import socket

import aiohttp
import pytest
from kit.process import one_shot, running

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


async def test_a_socket_that_it_did_not_inherit_is_named() -> None:
    code, _, err = await one_shot("simulate", "--fd", "99")

    assert code == os.EX_SOFTWARE
    assert err == "tokend: error: --fd 99: Bad file descriptor\n"


async def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, err = await one_shot("demo", "--port", "0", "--wechat-port", str(port))

    assert code == os.EX_SOFTWARE
    assert f"tokend: error: 127.0.0.1:{port}: " in err
    assert err.endswith("tokend: hint: choose another port, or make room on this one\n")
