"""tokend as it is measured: its own command, a configuration, and where it answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmark import requests
from benchmark.accounts import SECRET, appid
from benchmark.filling import app
from benchmark.program import Failed, Program, running
from benchmark.wechat import WeChat, simulated
from tokend.testing.port import reserve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmark.stage import Stage

TOKEND = str(Path(sys.executable).with_name("tokend"))

# So many clients that one of them never has more polls than it may.
CLIENTS = tuple(f"key-of-client-{number}" for number in range(8))
PATH = f"/v1/apps/{app(0)}/access_token"
SESSIONS = f"/v1/apps/{app(0)}/sessions"

_PATIENCE_SECONDS = 600.0
_LOOK_SECONDS = 0.005

_CONFIG = """\
include = "apps.d"
[server]
listen = ["127.0.0.1:{port}"]
socket = "{folder}/tokend.sock"
{server}
[store]
url = "{store}"
{seal}
[wechat]
url = "{wechat}"
[login]
enabled = {login}
"""
# A stable_token would be compared with WeChat's every four minutes, beside being refreshed.
_APP = """\
[apps.{name}]
appid = "{appid}"
secret_file = "app.secret"
method = "token"
"""
_CLIENT = """\
[clients.client-{number}]
key_sha256 = "{digest}"
apps = ["*"]
can = ["read", "force", "login"]
"""

# Tables of accounts.
_A_FILE = 1000

_numbers = count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A tokend that is ready, *started_in* so many seconds."""

    program: Program
    port: int
    socket: Path
    started_in: float

    async def read(self) -> bytes:
        """What a hot GET is answered."""
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", headers=_HEADERS) as session,
            session.get(PATH, raise_for_status=True) as response,
        ):
            return await response.read()

    async def generation(self) -> int:
        answer: dict[str, Any] = json.loads(await self.read())
        return int(answer["generation"])

    async def replace(self) -> None:
        """Have WeChat give a new token, as an operator does."""
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", headers=_HEADERS) as session,
            session.post(f"{PATH}/refresh", json={}, raise_for_status=True) as response,
        ):
            await response.read()


_HEADERS = {"Authorization": f"Bearer {CLIENTS[0]}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A folder with a configuration, for tokend to be started in, more than once if need be."""

    folder: Path
    port: int

    @asynccontextmanager
    async def started(self, stage: Stage) -> AsyncIterator[Node]:
        """On the server's core, from before it is started to ``/readyz``."""
        command = stage.cores.on_server(TOKEND, "serve", str(self.folder / "tokend.toml"))
        began = time.monotonic()
        async with running(*command, log=stage.log("tokend")) as program:
            socket = self.folder / "tokend.sock"
            await _ready(program, socket)
            yield Node(
                program=program,
                port=self.port,
                socket=socket,
                started_in=time.monotonic() - began,
            )


def set_up(
    stage: Stage,
    wechat: WeChat,
    *,
    apps: int = 1,
    store: str = "",
    server: str = "",
    seal: Path | None = None,
) -> Setup:
    """tokend with so many *apps*; no *store* is SQLite. *server* has more settings of that. With
    the keys of the file *seal* it seals what it writes, and users log in.
    """
    folder = stage.folder / f"node-{next(_numbers)}"
    folder.mkdir()
    secret = folder / "app.secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    port = reserve()
    parts = [
        _CONFIG.format(
            port=port,
            folder=folder,
            server=server,
            store=store or f"sqlite://{folder}/tokend.db",
            seal=f'seal_key_file = "{seal}"' if seal else "",
            wechat=wechat.url,
            login="true" if seal else "false",
        )
    ]
    parts += (
        _CLIENT.format(number=number, digest=hashlib.sha256(key.encode()).hexdigest())
        for number, key in enumerate(CLIENTS)
    )
    (folder / "tokend.toml").write_text("".join(parts))
    (folder / "apps.d").mkdir()
    for first in range(0, apps, _A_FILE):
        tables = (
            _APP.format(name=app(each), appid=appid(each))
            for each in range(first, min(first + _A_FILE, apps))
        )
        (folder / "apps.d" / f"{first:06}.toml").write_text("".join(tables))
    return Setup(folder=folder, port=port)


@asynccontextmanager
async def one_key(stage: Stage, *, server: str = "") -> AsyncIterator[Node]:
    """tokend with one key, on SQLite, that has just been given its token."""
    async with (
        simulated(stage, accounts=1) as wechat,
        set_up(stage, wechat, server=server).started(stage) as node,
    ):
        yield node


@asynccontextmanager
async def hot_get(stage: Stage) -> AsyncIterator[Path]:
    """A file with nothing but that."""
    yield requests.write(stage.folder / "hot.requests", [requests.get(PATH, CLIENTS[0])])


@asynccontextmanager
async def sealing(stage: Stage) -> AsyncIterator[Path]:
    """A file with a key for the store."""
    path = stage.folder / "seal.key"
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32))
    yield path


async def _ready(program: Program, socket: Path) -> None:
    """Return when ``/readyz`` says so. Asking takes a fifth of the time at most: with many keys
    the question itself is work. Raises ``Failed``.
    """
    said = "nothing"
    deadline = time.monotonic() + _PATIENCE_SECONDS
    connector = aiohttp.UnixConnector(str(socket))
    async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
        while (asked := time.monotonic()) < deadline:
            program.check()
            try:
                async with session.get("/readyz") as response:
                    body = await response.read()
            except (OSError, aiohttp.ClientError, TimeoutError):
                pass
            else:
                if response.status == 200:
                    return
                said = f"{len(json.loads(body)['not_ready'])} keys without a token"
            await asyncio.sleep(max(_LOOK_SECONDS, 4 * (time.monotonic() - asked)))
    raise Failed(f"tokend was not ready after {_PATIENCE_SECONDS:.0f} s: /readyz says {said}")
