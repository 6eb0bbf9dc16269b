"""Several daemons on one store, and somebody who watches what they hand out."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from kit.process import Running, Simulator, serving
from tokend.cli.simulate import APP_SECRET, APPID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TOKEN = "/v1/apps/shop/access_token"
REFRESH = f"{TOKEN}/refresh"

# As short as the inequalities allow with a call of 1 s and a step of 0.5 s.
LEASE = 9.5
QUARANTINE = 18.0
POLL = 3.0
CALL = 1.0
GRACE = 0.1
TAKEOVER = LEASE + POLL + CALL

_BRISK = {"step": 0.5, "lease": LEASE, "quarantine": QUARANTINE, "call": CALL}
_DEFAULT = {"step": 1.0, "lease": 30.0, "quarantine": 90.0, "call": 8.0}

_CONFIG = """\
[server]
listen = ["127.0.0.1:0"]
socket = ""
[store]
url = "{store}"
timeout_seconds = {step}
[refresh]
lease_seconds = {lease}
quarantine_seconds = {quarantine}
reconcile_seconds = {reconcile}
standalone_minter = {minter}
[wechat]
url = "{wechat}"
timeout_seconds = {call}
[apps.shop]
appid = "{appid}"
secret_file = "shop.secret"
method = "{method}"
"""


@dataclass
class Node:
    """One daemon: its process, and a session to it."""

    process: Running
    session: aiohttp.ClientSession

    async def token(self) -> dict[str, object]:
        async with self.session.get(TOKEN) as response:
            return {"status": response.status, **(await response.json())}

    async def report(self, rejected: str | int) -> dict[str, object]:
        async with self.session.post(REFRESH, json={"rejected": rejected}) as response:
            return {"status": response.status, **(await response.json())}

    async def until(self, wanted, *, within: float) -> dict[str, object]:
        """The first answer that is *wanted*."""
        answer: dict[str, object] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while True:
                    answer = await self.token()
                    if wanted(answer):
                        return answer
                    await asyncio.sleep(0.05)
        raise AssertionError(f"not within {within} s; the last answer was {answer}")

    async def until_refreshed_by(self, other: str | None, *, within: float) -> None:
        """It says so in its status: another node, or none."""
        async with asyncio.timeout(within):
            while True:
                async with self.session.get("/v1/apps") as response:
                    (key,) = (await response.json())["keys"]
                if key["refreshing_elsewhere"] == other:
                    return
                await asyncio.sleep(0.05)


@dataclass
class Watch:
    """Asks every node again and again, and WeChat about every answer."""

    wechat: Simulator
    nodes: list[Node] = field(default_factory=list)
    answers: int = 0
    dead: list[str] = field(default_factory=list)
    backward: list[str] = field(default_factory=list)
    _seen: dict[int, int] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self.run())

    async def stop(self) -> None:
        """After a last look."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            await self.look()

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(0.05)

    async def look(self) -> None:
        for number, node in enumerate(self.nodes):
            with suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                async with asyncio.timeout(1):
                    await self._look(number, node)

    async def _look(self, number: int, node: Node) -> None:
        """A token may die while it is on its way, and so may its successor's answer be.

        Once WeChat has been known for ``GRACE`` not to accept it, it must not be given.
        """
        answer = await node.token()
        if answer["status"] != 200:
            return
        self.answers += 1
        value, generation = str(answer["access_token"]), int(answer["generation"])
        if not await self.wechat.is_valid(value):
            await asyncio.sleep(GRACE)
            again = await node.token()
            if again.get("access_token") == value:
                self.dead.append(f"node {number} at {time.monotonic():.2f}: {again}")
        if generation < self._seen.get(number, 0):
            self.backward.append(f"node {number} at {time.monotonic():.2f}: {answer}")
        self._seen[number] = generation


class Cluster:
    """Starts nodes on one store and one WeChat."""

    def __init__(self, folder: Path, wechat: Simulator, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.wechat = wechat
        self.watch = Watch(wechat)

    def config(
        self,
        store: str,
        *,
        method: str,
        reconcile: float = 0,
        minter: bool = False,
        brisk: bool = True,
    ) -> Path:
        """Of a node; not *brisk*, with the numbers that are the defaults."""
        secret = self._folder / "shop.secret"
        secret.touch(mode=0o600)
        secret.write_text(APP_SECRET)
        path = self._folder / f"node-{time.monotonic_ns()}.toml"
        path.write_text(
            _CONFIG.format(
                store=store,
                method=method,
                reconcile=reconcile,
                minter=str(minter).lower(),
                wechat=self.wechat.url,
                appid=APPID,
                **(_BRISK if brisk else _DEFAULT),
            )
        )
        return path

    async def start(self, config: Path, *fault: str) -> Node:
        """A node that serves. *fault*: a failpoint and a signal."""
        arguments: tuple[str, ...] = ()
        if fault:
            at, do = fault
            arguments = ("--at", at, "--do", do, "--trap", str(self._trap))
        process, session = await self._stack.enter_async_context(serving(config, fault=arguments))
        node = Node(process, session)
        self.watch.nodes.append(node)
        return node

    @property
    def _trap(self) -> Path:
        return self._folder / "trap"

    async def strike(self, *, within: float) -> None:
        """Set the trap, and wait until a node has run into it."""
        self._trap.touch()
        async with asyncio.timeout(within):
            while not self._trap.with_name("trap.struck").exists():
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)

    def split(self) -> tuple[Node, Node]:
        """Of two nodes the one that was struck, and the other."""
        one, other = self.watch.nodes
        if any("struck at" in line for line in one.process.lines):
            return one, other
        assert any("struck at" in line for line in other.process.lines)
        return other, one


@asynccontextmanager
async def cluster(folder: Path, wechat: Simulator) -> AsyncIterator[Cluster]:
    """Watched until left; then nobody may have been given a dead token."""
    async with AsyncExitStack() as stack:
        nodes = Cluster(folder, wechat, stack)
        nodes.watch.start()
        try:
            yield nodes
        finally:
            await nodes.watch.stop()
        assert nodes.watch.answers > 0
        assert nodes.watch.dead == []
        assert nodes.watch.backward == []
