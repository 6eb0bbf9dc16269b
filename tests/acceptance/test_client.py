"""The Python client, in real processes, against a real tokend and a simulated WeChat."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.process import Simulator, at_rest, forking, one_shot, serving

from tokend.client import Away, Client, Refused, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Configured = Callable[..., Path]

README = (Path(__file__).parents[2] / "README.md").read_text()
KEY = "shop/access_token"

_CHILDREN = """\
import os, sys, time
from tokend.client import Client

client = Client(socket=sys.argv[1])
first = client.token("shop/access_token")
children = []
for _ in range(8):
    if not (child := os.fork()):
        assert client.token("shop/access_token") == first
        deadline = time.monotonic() + 30
        os.write(1, b"forked\\n")
        while (token := client.token("shop/access_token")) == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.write(1, f"{token.generation} {time.time()}\\n".encode())
        sys.exit(0)
    children.append(child)
while client.token("shop/access_token") == first:
    time.sleep(0.01)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    with Client(socket=folder / "tokend.sock") as client:
        yield client


async def until(holds: Callable[[], object], *, within: float = 5) -> None:
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_new_token_is_known_within_a_second(
    configured: Configured, client: Client, folder: Path
) -> None:
    async with serving(configured()):
        old = await asyncio.to_thread(client.token, KEY)
        assert (await one_shot("refresh", KEY, "--socket", f"{folder}/tokend.sock"))[0] == 0

        await until(lambda: client.token(KEY) != old, within=1)


async def test_a_read_takes_no_request(configured: Configured, client: Client) -> None:
    async with serving(configured()) as (tokend, _):
        await asyncio.to_thread(client.token, KEY)
        tokend.send(signal.SIGSTOP)
        began = time.monotonic()
        for _ in range(10_000):
            client.token(KEY)
        took = time.monotonic() - began
        tokend.send(signal.SIGCONT)

    assert took < 4


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_a_restart_of_tokend_is_not_noticed(
    configured: Configured, client: Client, folder: Path, end: signal.Signals
) -> None:
    path = configured()
    async with serving(path) as (tokend, session):
        before = await asyncio.to_thread(client.token, KEY)
        await at_rest(session)
        tokend.send(end)
        await tokend.ended()
        assert client.token(KEY) == before

    async with serving(path):
        assert client.token(KEY) == before
        assert (await one_shot("refresh", KEY, "--socket", f"{folder}/tokend.sock"))[0] == 0
        await until(lambda: client.token(KEY) != before)


async def test_a_program_without_tokend_hears_so_after_its_patience(client: Client) -> None:
    began = time.monotonic()
    with pytest.raises(Away, match=r"tokend.sock: No such file"):
        await asyncio.to_thread(client.token, KEY)

    assert 4 < time.monotonic() - began < 15


async def test_a_key_that_is_not_there_is_refused_at_once(
    configured: Configured, client: Client
) -> None:
    async with serving(configured()):
        began = time.monotonic()
        with pytest.raises(Refused, match="no such key"):
            await asyncio.to_thread(client.token, "other/access_token")

    assert time.monotonic() - began < 4


async def test_thirty_two_threads_with_a_dead_token_are_one_new_token(
    configured: Configured, client: Client, wechat: Simulator
) -> None:
    outcomes: list[object] = []
    tries: list[Token] = []
    lock = threading.Lock()
    async with serving(configured(method="token")) as (tokend, _):
        dead = await asyncio.to_thread(client.token, KEY)

        def business(token: Token) -> dict[str, int]:
            with lock:
                tries.append(token)
            return {"errcode": 40001 if token == dead else 0}

        def work() -> None:
            outcomes.append(client.call(KEY, business))

        threads = [threading.Thread(target=work) for _ in range(32)]
        for thread in threads:
            thread.start()
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])

    assert outcomes == [{"errcode": 0}] * 32
    assert len(tries) <= 64
    assert sum('"what": "refresh"' in line for line in tokend.lines) == 1
    assert await wechat.calls("token") == 2


async def test_a_call_that_is_always_rejected_ends_after_its_retries(
    configured: Configured, client: Client
) -> None:
    tried: list[Token] = []

    async with serving(configured()):

        @client.calls(KEY, retries=3)
        def business(token: Token, answer: dict[str, int]) -> dict[str, int]:
            tried.append(token)
            return answer

        outcome = await asyncio.to_thread(business, {"errcode": 42001})

    # The second new token within a minute is refused: there is nothing to try again with.
    assert (outcome, len(tried)) == ({"errcode": 42001}, 2)


async def test_eight_forked_processes_poll_for_themselves(
    configured: Configured, folder: Path, wechat: Simulator
) -> None:
    async with (
        serving(configured()),
        forking(_CHILDREN, f"{folder}/tokend.sock") as parent,
        asyncio.timeout(30),
    ):
        assert parent.stdout
        for _ in range(8):
            assert await parent.stdout.readline() == b"forked\n"
        await asyncio.sleep(0.2)
        assert (await one_shot("refresh", KEY, "--socket", f"{folder}/tokend.sock"))[0] == 0
        done_at = time.time()
        seen = (await parent.stdout.read()).decode().split("\n")[:-1]
        code = await parent.wait()

    assert code == 0
    assert len({line.split()[0] for line in seen}) == 1
    assert len(seen) == 8
    assert max(float(line.split()[1]) for line in seen) - done_at < 1
    assert await wechat.calls() == 3


async def test_the_example_of_the_readme_works(
    configured: Configured, folder: Path, wechat: Simulator
) -> None:
    example = re.search(r"```python\n(.*?tokend\.client.*?)```", README, re.DOTALL)
    assert example
    text = example[1].replace("https://api.weixin.qq.com", wechat.url)
    async with serving(configured()):
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", text],
            env={**os.environ, "TOKEND_SOCKET": f"{folder}/tokend.sock"},
            check=True,
            capture_output=True,
            timeout=20,
        )

    assert b"ip_list" in ran.stdout


async def test_a_client_does_not_keep_a_program_from_ending(
    configured: Configured, folder: Path
) -> None:
    text = "import sys\nfrom tokend.client import Client\n"
    text += f"Client(socket=sys.argv[1]).token({KEY!r})\n"
    text += "assert 'aiohttp' not in sys.modules and 'tokend.model' not in sys.modules"
    async with serving(configured()):
        began = time.monotonic()
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", text, f"{folder}/tokend.sock"],
            env={**os.environ},
            check=True,
            timeout=10,
        )

    assert ended.returncode == 0
    assert time.monotonic() - began < 5
