"""Redis as people run it, in real processes: with a password, under sentinels, as a cluster."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING

from redis import Redis
from redis.exceptions import RedisError

from kit.redis_server import find_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

PASSWORD = "canary-redis-password"
SENTINEL_PASSWORD = "canary-sentinel-password"
MASTER = "main"

_START_SECONDS = 20.0
_SLOTS = 16384
_CLUSTER_BUS = 10_000  # above the port of a node is that of its bus


@dataclass(frozen=True)
class Node:
    """One process on 127.0.0.1."""

    port: int
    password: str
    process: subprocess.Popen[bytes]

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, *command: object) -> object:
        with Redis(port=self.port, password=self.password, decode_responses=True) as client:
            return client.execute_command(*command)

    def count(self, command: str, what: str = "calls") -> int:
        """How often *command* has been done here, or has failed ("failed_calls")."""
        stats = self.ask("INFO", "commandstats")
        return stats.get(f"cmdstat_{command}", {}).get(what, 0)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It does nothing meanwhile. What is sent to it, it reads and does afterwards."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@dataclass(frozen=True)
class Watched:
    """Two servers, the master first, and the three sentinels that watch them."""

    servers: Sequence[Node]
    sentinels: Sequence[Node]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(node.at for node in self.sentinels)}/{MASTER}/0"

    def replicate(self) -> None:
        """Return when the replica has all that the master has now: that is not sent on at once."""
        there_is = self.servers[0].ask("INFO", "replication")["master_repl_offset"]
        while self.servers[1].ask("INFO", "replication")["slave_repl_offset"] < there_is:
            time.sleep(0.01)

    def master(self) -> str:
        """Whom the first sentinel names."""
        host, port = self.sentinels[0].ask("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER)
        return f"{host}:{port}"


@contextmanager
def guarded_redis(folder: Path) -> Iterator[Node]:
    with _server(folder) as node:
        yield node


@contextmanager
def watched_redis(folder: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        master = stack.enter_context(_server(folder))
        replica = stack.enter_context(_server(folder, f"replicaof 127.0.0.1 {master.port}"))
        _until(lambda: replica.ask("INFO")["master_link_status"] == "up")
        sentinels = [stack.enter_context(_sentinel(folder, master)) for _ in range(3)]
        _until(lambda: all(_sees_everybody(sentinel) for sentinel in sentinels))
        yield Watched((master, replica), sentinels)


@contextmanager
def clustered_redis(folder: Path) -> Iterator[Sequence[Node]]:
    """Three masters, each with a third of the slots."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(_server(folder, "cluster-enabled yes")) for _ in range(3)]
        for number, node in enumerate(nodes):
            slots = range(number * _SLOTS // 3, (number + 1) * _SLOTS // 3)
            node.ask("CLUSTER ADDSLOTS", *slots)
            node.ask("CLUSTER SET-CONFIG-EPOCH", number + 1)
            node.ask("CLUSTER MEET", "127.0.0.1", nodes[0].port)
        _until(lambda: all(_knows_every_slot(node) for node in nodes))
        yield nodes


@contextmanager
def _server(folder: Path, *settings: str) -> Iterator[Node]:
    auth = (f"requirepass {PASSWORD}", f"masterauth {PASSWORD}")
    with _process(folder, PASSWORD, *auth, 'save ""', *settings) as node:
        yield node


@contextmanager
def _sentinel(folder: Path, master: Node) -> Iterator[Node]:
    settings = (
        f"requirepass {SENTINEL_PASSWORD}",
        f"sentinel monitor {MASTER} 127.0.0.1 {master.port} 2",
        f"sentinel auth-pass {MASTER} {PASSWORD}",
        f"sentinel down-after-milliseconds {MASTER} 500",
        f"sentinel failover-timeout {MASTER} 2000",
    )
    with _process(folder, SENTINEL_PASSWORD, *settings, mode="--sentinel") as node:
        yield node


@contextmanager
def _process(folder: Path, password: str, *settings: str, mode: str = "") -> Iterator[Node]:
    port = _free_port()
    home = folder / f"{port}"
    home.mkdir()
    # Not as arguments: a sentinel insists on a file, which it rewrites.
    file = home / "redis.conf"
    file.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {home}", *settings]))
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen([find_binary(), str(file), *mode.split()], stdout=log) as process,
    ):
        node = Node(port, password, process)
        try:
            _until(lambda: node.ask("PING"))
            yield node
        finally:
            process.kill()


def _free_port() -> int:
    """Below those that the system gives to connections, which may come before the server does."""
    while True:
        port = SystemRandom().randrange(10_000, 22_000)
        with socket.socket() as probe, socket.socket() as bus, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + _CLUSTER_BUS))
            return port


def _sees_everybody(sentinel: Node) -> bool:
    state = sentinel.ask("SENTINEL MASTER", MASTER)
    return state["num-other-sentinels"] == 2 and state["num-slaves"] == 1


def _knows_every_slot(node: Node) -> bool:
    return node.ask("CLUSTER INFO")["cluster_state"] == "ok"


def _until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with suppress(RedisError):
            if done():
                return
        time.sleep(0.02)
    raise TimeoutError("Redis did not become what it should be")
