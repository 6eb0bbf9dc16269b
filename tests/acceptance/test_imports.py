"""A command imports nothing that it does not need; that is most of what its start takes.

What Python itself says it has imported is looked at, in the processes that people start.
"""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest
from kit.process import SERVING, one_shot, running, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Configured = Callable[..., Path]

IMPORT = re.compile(r"^import time: .*\|\s*([\w.]+)$", re.MULTILINE)
TELL = {"PYTHONPROFILEIMPORTTIME": "1"}

WEB = {"aiohttp", "tokend.api", "tokend.client", "tokend.simulator", "tokend.checkup"}
LIBRARIES = {"apscheduler", "pydantic", "redis", "sqlite3", "structlog", "cryptography"}
DAEMON = WEB | LIBRARIES | {"asyncio", "tokend.daemon", "tokend.config", "tokend.model"}
HTTP = {"http", "ssl", "email"}
COMFORT = {"click", "json", "urllib", "dataclasses", "inspect", "pathlib"}


def imported(printed: str) -> set[str]:
    """Modules, and the packages they are in."""
    names = set(IMPORT.findall(printed))
    return names | {name.partition(".")[0] for name in names}


@pytest.fixture
async def env(configured: Configured, folder: Path) -> AsyncIterator[dict[str, str]]:
    """Of a shell that knows where a running tokend is."""
    async with serving(configured()) as (tokend, _):
        url = (await tokend.said(SERVING))[1]
        yield {"TOKEND_SOCKET": f"{folder}/tokend.sock", "AT": url, **TELL}


@pytest.mark.parametrize(
    ("command", "without"),
    [
        pytest.param("get shop/access_token", DAEMON | HTTP | COMFORT, id="get"),
        pytest.param("get --socket SOCKET shop/access_token", DAEMON | HTTP | COMFORT, id="there"),
        pytest.param("get shop/access_token --url AT", DAEMON, id="get by URL"),
        pytest.param("refresh shop/access_token", DAEMON | HTTP, id="refresh"),
        pytest.param("status", DAEMON | HTTP, id="status"),
        pytest.param("reload", DAEMON | HTTP, id="reload"),
        pytest.param("key order-service", DAEMON | HTTP, id="key"),
        pytest.param("seal-key", DAEMON - {"cryptography", "tokend.model"} | HTTP, id="seal-key"),
    ],
)
async def test_a_command_for_shells_starts_with_little(
    env: dict[str, str], command: str, without: set[str]
) -> None:
    arguments = command.replace("SOCKET", env["TOKEND_SOCKET"]).replace("AT", env["AT"]).split()

    code, _, printed = await one_shot(*arguments, env=env)

    there = imported(printed)
    assert code == 0
    assert "tokend.cli" in there
    assert there & without == set()


async def test_a_watch_starts_with_little(env: dict[str, str]) -> None:
    async with running("status", "--watch", env=env) as watch:
        await watch.said(re.compile("^shop/access_token", re.MULTILINE))
        watch.send(signal.SIGINT)
        await watch.ended()

    there = imported("".join(watch.lines))
    assert "tokend.cli.watch" in there
    assert there & (DAEMON | HTTP) == set()


async def test_check_reads_a_configuration_without_the_daemon(configured: Configured) -> None:
    code, _, printed = await one_shot("check", str(configured()), env=TELL)

    there = imported(printed)
    assert code == 0
    assert "tokend.config" in there
    assert there & (WEB | LIBRARIES - {"pydantic"} | {"tokend.daemon"}) == set()


async def test_doctor_imports_no_store_that_is_not_configured(configured: Configured) -> None:
    _, _, printed = await one_shot("doctor", str(configured()), env=TELL)

    there = imported(printed)
    assert "tokend.checkup" in there
    assert there & {"redis", "cryptography", "apscheduler", "tokend.daemon"} == set()


@pytest.mark.parametrize(
    ("store", "without"),
    [
        pytest.param("memory:", {"redis", "sqlite3", "cryptography"}, id="memory"),
        pytest.param("sqlite", {"redis", "cryptography"}, id="SQLite"),
        pytest.param("redis://127.0.0.1:1", {"sqlite3"}, id="Redis"),
    ],
)
async def test_serve_imports_its_store_and_no_other(
    configured: Configured, store: str, without: set[str]
) -> None:
    path = configured()
    if store != "sqlite":
        path.write_text(re.sub('url = "sqlite:[^"]*"', f'url = "{store}"', path.read_text()))
    unused = {"tokend.simulator", "tokend.checkup", "tokend.client"}

    async with running("serve", str(path), env=TELL) as tokend:
        await tokend.said(SERVING)
        tokend.send(signal.SIGTERM)
        await tokend.ended()

    there = imported("".join(tokend.lines))
    assert "tokend.daemon" in there
    assert there & (unused | without) == set()


async def test_the_simulator_starts_without_a_daemon() -> None:
    async with running("simulate", "--port", "0", env=TELL) as wechat:
        await wechat.said(re.compile("WeChat is simulated"))

    there = imported("".join(wechat.lines))
    assert "tokend.simulator" in there
    assert there & (LIBRARIES - {"structlog"} | {"tokend.daemon", "tokend.config"}) == set()
