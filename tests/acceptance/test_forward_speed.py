"""What forwarding adds to a call: small GETs one after another, to WeChat and through tokend.

``pytest -m long -n0 -s tests/acceptance/test_forward_speed.py`` prints the numbers.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.forwarding import KEY
from kit.process import SERVING, running

from tokend.cli.simulate import APP_SECRET, APPID

if TYPE_CHECKING:
    from kit.process import Simulator

pytestmark = [pytest.mark.long]

CALLS = 2000
PATH = "/cgi-bin/get_api_domain_ip"


async def test_forwarding_adds_three_milliseconds_at_most(wechat: Simulator) -> None:
    """At the median. Calls of both kinds take turns, so that what slows the machine slows both."""
    token = await issued(wechat)
    program = (sys.executable, "-m", "kit.forwarding", wechat.url, token)
    async with running(program=program, env={"PYTHONPATH": str(Path(__file__).parents[1])}) as node:
        url = (await node.said(SERVING))[1]
        async with aiohttp.ClientSession(url) as forwarded:
            took = [
                (await timed(wechat.session, token), await timed(forwarded, KEY))
                for _ in range(CALLS)
            ]

    direct, through = (statistics.median(each) for each in zip(*took, strict=True))
    print(f"\np50 of {CALLS}: direct {direct:.2f} ms, forwarded {through:.2f} ms")  # noqa: T201
    assert through - direct <= 3


async def issued(wechat: Simulator) -> str:
    query = {"grant_type": "client_credential", "appid": APPID, "secret": APP_SECRET}
    async with wechat.session.get("/cgi-bin/token", params=query) as response:
        return (await response.json())["access_token"]


async def timed(session: aiohttp.ClientSession, token: str) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    async with session.get(PATH, params={"access_token": token}) as response:
        assert "ip_list" in await response.json()
    return (time.perf_counter() - began) * 1000
