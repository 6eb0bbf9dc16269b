"""A configured account, with the simulator as its WeChat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.nodes import Cluster, cluster
from kit.process import Simulator, asked, simulator
from kit.redis_server import RedisServer, redis_server
from redis.asyncio import Redis

from tokend.cli import simulate
from tokend.cli.simulate import APP_SECRET, APPID
from tokend.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

_CONFIG = """\
[server]
listen = ["127.0.0.1:0"]
socket = "{folder}/tokend.sock"
[store]
url = "{store}"
[wechat]
url = "{wechat}"
[apps.shop]
appid = "{appid}"
secret_file = "shop.secret"
method = "{method}"
"""


@pytest.fixture
async def wechat() -> AsyncIterator[Simulator]:
    """On the test's own loop: to start a process takes longer than most of what a test does."""
    async with simulate.simulator(SystemClock()) as url, asked(url) as running:
        yield running


@pytest.fixture
def configured(folder: Path, wechat: Simulator, redis_socket: Path):
    """Write a configuration, for the store and the method that a test is about."""

    def write(*, store: str = "sqlite", method: str = "stable_token") -> Path:
        secret = folder / "shop.secret"
        secret.touch(mode=0o600)
        secret.write_text(APP_SECRET)
        stores = {"sqlite": f"sqlite://{folder}/tokend.db", "redis": f"unix://{redis_socket}"}
        path = folder / "tokend.toml"
        path.write_text(
            _CONFIG.format(
                folder=folder, store=stores[store], wechat=wechat.url, appid=APPID, method=method
            )
        )
        return path

    return write


@pytest.fixture
def redis(folder: Path) -> Iterator[RedisServer]:
    """A Redis of its own, which a test may kill."""
    with redis_server(folder) as server:
        yield server


@pytest.fixture
async def nodes(folder: Path) -> AsyncIterator[Cluster]:
    """Beside a WeChat that nothing the test does at once holds up."""
    async with simulator() as wechat, cluster(folder, wechat) as running:
        yield running


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, redis_socket: Path) -> str:
    """Each durable store in turn, empty."""
    async with Redis(unix_socket_path=str(redis_socket)) as client:
        await client.flushall()
    return request.param
