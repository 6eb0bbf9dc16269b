"""A program of many threads and forks, while somebody else gets new tokens behind its back."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.process import forking, serving
from kit.town import simulated

from tokend.simulator.account import Account
from tokend.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# tokend replaces a token at most once a minute, so every rotation is of another account.
APPS = {f"app{n}": f"wx{n:016x}" for n in range(6)}
SECRET = "0" * 32
SECONDS, ROUND = 8, 0.25

_CONFIG = """\
[server]
listen = ["127.0.0.1:0"]
socket = "{folder}/tokend.sock"
[store]
url = "sqlite://{folder}/tokend.db"
[wechat]
url = "{wechat}"
"""
_APP = '[apps.{name}]\nappid = "{appid}"\nsecret_file = "secret"\nmethod = "{method}"\n'

# Thirty-two threads in the parent, and four in each of its eight children, use each account's
# token in turn, and say what came of it: (tries, whether it ended well).
_PROGRAM = """\
import json, os, sys, threading, time
from urllib.request import urlopen
from tokend.client import Client

client = Client(socket=sys.argv[1])
apps, end = sys.argv[3:], time.monotonic() + float(os.environ["SECONDS"])
for app in apps:
    client.token(f"{app}/access_token")
children = []
for _ in range(8):
    if not (child := os.fork()):
        children = None
        break
    children.append(child)

outcomes = set()

def work(place):
    while time.monotonic() < end:
        for n in range(len(apps)):
            tries = 0

            def call(token):
                nonlocal tries
                tries += 1
                url = f"{sys.argv[2]}/cgi-bin/get_api_domain_ip?access_token={token}"
                with urlopen(url, timeout=20) as response:
                    return json.load(response)

            outcome = client.call(f"{apps[(n + place) % len(apps)]}/access_token", call)
            outcomes.add((tries, "ip_list" in outcome))
            time.sleep(float(os.environ["ROUND"]))

threads = [threading.Thread(target=work, args=[n]) for n in range(32 if children else 4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os.write(1, json.dumps(sorted(outcomes)).encode() + b"\\n")
sys.exit(any(os.waitpid(child, 0)[1] for child in children or []))
"""


@pytest.fixture
async def wechat() -> AsyncIterator[tuple[World, str]]:
    accounts = [
        Account(appid=appid, secret=SECRET, random=Random(0), minutely_stable=100)
        for appid in APPS.values()
    ]
    world = World(accounts, Random(0), [])
    async with simulated(world) as url:
        yield world, url


@pytest.mark.parametrize("method", ["token", "stable_token"])
async def test_each_call_of_sixty_four_threads_ends_well_and_each_rotation_is_one_refresh(
    folder: Path, wechat: tuple[World, str], method: str
) -> None:
    world, url = wechat
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    path = folder / "tokend.toml"
    apps = [_APP.format(name=name, appid=appid, method=method) for name, appid in APPS.items()]
    path.write_text(_CONFIG.format(folder=folder, wechat=url) + "".join(apps))

    async with (
        serving(path),
        forking(
            _PROGRAM,
            *(f"{folder}/tokend.sock", url, *APPS),
            env={"SECONDS": str(SECONDS), "ROUND": str(ROUND)},
        ) as parent,
        aiohttp.ClientSession(url) as session,
    ):
        await asyncio.sleep(2)
        for appid in APPS.values():
            # Twice, or the one that tokend has would be good for another five minutes.
            for _ in range(2):
                async with session.post("/simulator/rotate", json={"appid": appid}) as response:
                    assert response.status == 200
            await asyncio.sleep(0.5)
        async with asyncio.timeout(60):
            out, _ = await parent.communicate()
        assert parent.returncode == 0

    seen = [json.loads(line) for line in out.splitlines()]
    assert len(seen) == 9
    assert {tuple(outcome) for each in seen for outcome in each} == {(1, True), (2, True)}
    # The first token of each, and one for each rotation.
    assert {appid: world.calls(appid, method) for appid in APPS.values()} == dict.fromkeys(
        APPS.values(), 2
    )
