"""The Python clients come and go: loops in threads, loops that end, clients that nobody holds."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from kit.process import one_shot, serving

from tokend.client import AsyncClient, Client, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    Configured = Callable[..., Path]

KEY = "shop/access_token"
SECONDS = 20


def tasks() -> int:
    return sum(task.get_name().startswith("tokend ") for task in asyncio.all_tasks())


def threads() -> int:
    return sum(thread.name.startswith("tokend ") for thread in threading.enumerate())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208, no Path is made of them


async def changed(client: AsyncClient, old: str) -> str:
    async with asyncio.timeout(SECONDS):
        while (newer := await client.token(KEY)) == old:
            await asyncio.sleep(0.01)
    return newer


def in_two_loops(story: Callable[[], Coroutine[None, None, str]]) -> list[str]:
    """What comes of *story* in each of two threads."""
    with ThreadPoolExecutor(2) as pool:
        return [done.result() for done in [pool.submit(asyncio.run, story()) for _ in range(2)]]


async def test_two_loops_at_once_are_both_told(configured: Configured, folder: Path) -> None:
    async with serving(configured()):
        client = AsyncClient(socket=folder / "tokend.sock")
        both = threading.Barrier(3, timeout=SECONDS)

        async def story() -> str:
            first = await client.token(KEY)
            await asyncio.to_thread(both.wait)
            return await changed(client, first)

        told = asyncio.create_task(asyncio.to_thread(in_two_loops, story))
        await asyncio.to_thread(both.wait)
        assert (await one_shot("refresh", KEY, "--socket", f"{folder}/tokend.sock"))[0] == 0
        one, other = await told
        await client.aclose()

    assert one == other


async def test_each_of_two_loops_has_one_task_however_much_is_asked(
    configured: Configured, folder: Path
) -> None:
    async with serving(configured()):
        client = AsyncClient(socket=folder / "tokend.sock")

        async def story() -> str:
            counted = []
            for _ in range(50):
                token, again = await asyncio.gather(client.token(KEY), client.token(KEY))
                await asyncio.gather(client.rejected(token), client.rejected(again))
                counted.append(tasks())
            return str(max(counted))

        assert await asyncio.to_thread(in_two_loops, story) == ["1", "1"]
        await client.aclose()


async def test_closing_in_one_loop_ends_what_another_has(
    configured: Configured, folder: Path
) -> None:
    async with serving(configured()):
        client = AsyncClient(socket=folder / "tokend.sock")
        asked = threading.Event()

        async def story() -> str:
            await client.token(KEY)
            asked.set()
            async with asyncio.timeout(SECONDS):
                while tasks():
                    await asyncio.sleep(0.01)
            with pytest.raises(UsageError, match="closed"):
                await client.token(KEY)
            return "ended"

        other = asyncio.create_task(asyncio.to_thread(asyncio.run, story()))
        await client.token(KEY)
        await asyncio.to_thread(asked.wait, SECONDS)
        await client.aclose()

        assert await other == "ended"
        assert tasks() == 0


async def test_loops_that_end_leave_nothing(configured: Configured, folder: Path) -> None:
    async with serving(configured()):
        client = AsyncClient(socket=folder / "tokend.sock")

        async def story() -> str:
            token = await client.token(KEY)
            return await client.rejected(token)

        def stories() -> int:
            asyncio.run(story())
            before = descriptors()
            for _ in range(20):
                asyncio.run(story())
            return descriptors() - before

        assert await asyncio.to_thread(stories) == 0
        assert not any(client._by_pid.values())  # noqa: SLF001
        await client.aclose()


async def test_a_loop_that_ends_last_does_not_bring_back_an_older_token(
    configured: Configured, folder: Path
) -> None:
    async with serving(configured()):
        client = AsyncClient(socket=folder / "tokend.sock")
        begun, over = threading.Event(), threading.Event()

        async def blocked() -> str:
            first = await client.token(KEY)
            begun.set()
            over.wait(SECONDS)
            return first

        behind = asyncio.create_task(asyncio.to_thread(asyncio.run, blocked()))
        await asyncio.to_thread(begun.wait, SECONDS)
        first = await client.token(KEY)
        assert (await one_shot("refresh", KEY, "--socket", f"{folder}/tokend.sock"))[0] == 0
        newer = await changed(client, first)
        ahead = asyncio.create_task(asyncio.to_thread(asyncio.run, ends_with(client, newer)))
        await ahead
        over.set()
        assert await behind == first

        assert await asyncio.to_thread(asyncio.run, client.token(KEY)) == newer
        await client.aclose()


async def ends_with(client: AsyncClient, token: str) -> None:
    async with asyncio.timeout(SECONDS):
        while await client.token(KEY) != token:
            await asyncio.sleep(0.01)


# Clients that nobody holds


def ended_within(seconds: float) -> bool:
    until = time.monotonic() + seconds
    while threads() and time.monotonic() < until:
        gc.collect()
        time.sleep(0.02)
    return threads() == 0


async def test_the_threads_of_a_client_that_nobody_holds_end(
    configured: Configured, folder: Path
) -> None:
    async with serving(configured()):
        client = Client(socket=folder / "tokend.sock")
        await asyncio.to_thread(client.token, KEY)
        before = descriptors()
        assert threads() == 1

        del client

        assert await asyncio.to_thread(ended_within, SECONDS)
        assert descriptors() == before - 1


# The last reference is dropped where a client's own thread runs, as the garbage collector may.
_COLLECTED_BY_ITSELF = """\
import gc, sys, threading, time, weakref
from tokend.client import Client
from tokend.client.watch import Watch

gc.disable()
holder, collected_in, is_read = [Client(socket=sys.argv[1])], [], threading.Event()
holder.append(holder)
weakref.finalize(holder[0], lambda: collected_in.append(threading.current_thread().name))

def pause(self, now):
    if self.is_held(now) and is_read.wait(20):
        holder.clear()
        gc.collect()
    return kept(self, now)

kept, Watch.pause = Watch.pause, pause
holder[0].token("shop/access_token")
is_read.set()
until = time.monotonic() + 20
while any(each.name.startswith("tokend ") for each in threading.enumerate()):
    assert time.monotonic() < until
    time.sleep(0.02)
print(collected_in)
"""

_FORKED_AFTER_DROP = """\
import gc, os, sys, threading
from tokend.client import Client

for _ in range(20):
    client = Client(socket=sys.argv[1])
    first = client.token("shop/access_token")
    del client
    gc.collect()
    child = os.fork()
    if child == 0:
        assert threading.active_count() == 1
        with Client(socket=sys.argv[1]) as mine:
            os._exit(mine.token("shop/access_token") != first)
    assert os.waitpid(child, 0)[1] == 0
print("well")
"""


async def program(code: str, *arguments: str) -> str:
    ran = await asyncio.to_thread(
        subprocess.run,
        # Later Pythons warn of every fork beside a thread.
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


async def test_a_client_may_be_collected_by_its_own_thread(
    configured: Configured, folder: Path
) -> None:
    async with serving(configured()) as (tokend, _):
        said = await program(_COLLECTED_BY_ITSELF, f"{folder}/tokend.sock", str(tokend.process.pid))

    assert said == f"['tokend {KEY}']"


async def test_a_fork_after_a_client_was_dropped_has_one_of_its_own(
    configured: Configured, folder: Path
) -> None:
    async with serving(configured()):
        assert await program(_FORKED_AFTER_DROP, f"{folder}/tokend.sock") == "well"
