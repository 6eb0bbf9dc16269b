"""The Python client for asyncio, against a real tokend and a simulated WeChat."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from kit.process import Simulator, at_rest, one_shot, serving

from tokend.client import AsyncClient, Away, Client, Refused, Token, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Configured = Callable[..., Path]

KEY = "shop/access_token"

# It forks while a loop runs; the child's loop is in another thread, for its first has one already.
_FORKING = """\
import asyncio, os, sys, threading
from tokend.client import AsyncClient

KEY = "shop/access_token"
client = AsyncClient(socket=sys.argv[1])

async def changed(old, tell=False):
    assert await client.token(KEY) == old
    await asyncio.sleep(0.3)
    if tell:
        print("forked", flush=True)
    async with asyncio.timeout(10):
        while await client.token(KEY) == old:
            await asyncio.sleep(0.01)

def child(first):
    codes = []
    work = lambda: codes.append(asyncio.run(changed(first, tell=True)))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    os._exit(codes != [None])

async def main():
    first = await client.token(KEY)
    forked = os.fork() or child(first)
    await changed(first)
    _, status = await asyncio.to_thread(os.waitpid, forked, 0)
    sys.exit(status != 0)

asyncio.run(main())
"""


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(socket=folder / "tokend.sock") as client:
        yield client


async def changed(client: AsyncClient, old: Token, *, within: float = 5) -> Token:
    async with asyncio.timeout(within):
        while (newer := await client.token(KEY)) == old:
            await asyncio.sleep(0.01)
    return newer


@asynccontextmanager
async def with_key(path: Path, folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """tokend on *path* with one client: its URL, and the file with the client's key."""
    _, key, lines = await one_shot("key", "worker")
    (folder / "worker.key").write_text(key)
    with path.open("a") as config:
        config.write("\n" + lines[lines.index("[clients") :])
    async with serving(path) as (_, session):
        yield str(session._base_url), folder / "worker.key"  # noqa: SLF001


async def test_a_new_token_is_known_within_a_second(
    configured: Configured, client: AsyncClient, folder: Path
) -> None:
    async with serving(configured()):
        old = await client.token(KEY)
        assert (await one_shot("refresh", KEY, "--socket", f"{folder}/tokend.sock"))[0] == 0

        await changed(client, old, within=1)


async def test_two_hundred_first_reads_are_one_request_and_one_token(
    configured: Configured, client: AsyncClient, wechat: Simulator
) -> None:
    async with serving(configured()):
        tokens = await asyncio.gather(*(client.token(KEY) for _ in range(200)))

    assert len(set(tokens)) == 1
    assert await wechat.calls() == 1


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_a_restart_of_tokend_is_not_noticed(
    configured: Configured, client: AsyncClient, folder: Path, end: signal.Signals
) -> None:
    path = configured()
    async with serving(path) as (tokend, session):
        before = await client.token(KEY)
        await at_rest(session)
        tokend.send(end)
        await tokend.ended()
        assert await client.token(KEY) == before

    async with serving(path):
        assert await client.token(KEY) == before
        assert (await one_shot("refresh", KEY, "--socket", f"{folder}/tokend.sock"))[0] == 0
        await changed(client, before)


async def test_a_program_without_tokend_hears_so_after_its_patience(client: AsyncClient) -> None:
    began = time.monotonic()
    with pytest.raises(Away, match=r"tokend.sock: No such file"):
        await client.token(KEY)

    assert 4 < time.monotonic() - began < 15


async def test_thirty_two_tasks_with_a_dead_token_are_one_new_token(
    configured: Configured, client: AsyncClient, wechat: Simulator
) -> None:
    tries: list[Token] = []
    async with serving(configured(method="token")):
        dead = await client.token(KEY)

        @client.calls(KEY)
        async def business(token: Token) -> dict[str, int]:
            tries.append(token)
            await asyncio.sleep(0)
            return {"errcode": 40001 if token == dead else 0}

        outcomes = await asyncio.gather(*(business() for _ in range(32)))

    assert outcomes == [{"errcode": 0}] * 32
    assert len(tries) == 64
    assert await wechat.calls("token") == 2


async def test_an_exception_with_an_errcode_is_a_rejection_too(
    configured: Configured, client: AsyncClient
) -> None:
    class WeChatError(Exception):
        errcode = 42001

    async def business(token: Token) -> Token:
        if token == dead:
            raise WeChatError
        return token

    async with serving(configured()):
        dead = await client.token(KEY)

        assert await client.call(KEY, business) == await client.token(KEY) != dead


async def test_with_tokend_away_a_rejected_call_ends_as_wechat_says(
    configured: Configured, client: AsyncClient
) -> None:
    async def business(_: Token) -> dict[str, int]:
        return {"errcode": 40001}

    async with serving(configured()) as (tokend, _):
        token = await client.token(KEY)
        tokend.send(signal.SIGKILL)
        await tokend.ended()

        assert await client.call(KEY, business) == {"errcode": 40001}
        with pytest.raises(Away):
            await client.rejected(token)


async def test_a_closed_client_says_so(configured: Configured, client: AsyncClient) -> None:
    async with serving(configured()):
        await client.token(KEY)
        await client.aclose()

        with pytest.raises(UsageError, match="closed"):
            await client.token(KEY)


async def test_a_loop_after_the_first_has_its_tokens_and_polls_for_itself(
    configured: Configured, folder: Path
) -> None:
    client = AsyncClient(socket=folder / "tokend.sock")
    async with serving(configured()):
        first = await asyncio.to_thread(asyncio.run, client.token(KEY))
        assert (await one_shot("refresh", KEY, "--socket", f"{folder}/tokend.sock"))[0] == 0

        await asyncio.to_thread(asyncio.run, changed(client, first, within=1))


async def test_a_forked_child_polls_by_a_loop_of_its_own(
    configured: Configured, folder: Path
) -> None:
    socket = f"{folder}/tokend.sock"
    async with serving(configured()):
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _FORKING, socket, stdout=asyncio.subprocess.PIPE
        )
        assert program.stdout
        async with asyncio.timeout(20):
            assert await program.stdout.readline() == b"forked\n"
            assert (await one_shot("refresh", KEY, "--socket", socket))[0] == 0
            code = await program.wait()

    assert code == 0


async def test_a_key_file_opens_tokend_by_tcp_and_no_key_does_not(
    configured: Configured, folder: Path
) -> None:
    async with with_key(configured(), folder) as (url, key_file):
        async with AsyncClient(url=url, key_file=key_file) as client:
            token = await client.token(KEY)
        with Client(url=url, key_file=key_file) as sync:
            assert await asyncio.to_thread(sync.token, KEY) == token
        async with AsyncClient(url=url) as nobody:
            with pytest.raises(Refused, match="client key"):
                await nobody.token(KEY)
