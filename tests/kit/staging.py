"""A production and a staging of one account: two tokends, of which one alone has the AppSecret."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from kit.process import SERVING, Running, Simulator, running
from tokend.cli.simulate import AGENT_SECRET, AGENTID, APP_SECRET, APPID, CORPID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHOP = "shop/access_token"
KEYS = (
    SHOP,
    "shop/jsapi_ticket",
    "robot/access_token",
    "robot/jsapi_ticket",
    "robot/agent_config_ticket",
)

_CLIENT_KEYS = {app: f"canary-key-of-staging-for-{app}" for app in ("shop", "robot")}
_OPERATOR = "canary-key-of-an-operator"

_CONFIG = """\
[server]
listen = ["127.0.0.1:0"]
socket = ""
[store]
url = "sqlite://{folder}/tokend.db"
[refresh]
reconcile_seconds = {reconcile}
[wechat]
url = "{wechat}"
[wecom]
url = "{wechat}"
[apps.shop]
appid = "{appid}"
secret_file = "shop.secret"
method = "{method}"
kinds = ["access_token", "jsapi_ticket"]
[apps.robot]
type = "wecom"
corpid = "{corpid}"
agentid = {agentid}
secret_file = "robot.secret"
kinds = ["access_token", "jsapi_ticket", "agent_config_ticket"]
"""

_CLIENT = """\
[clients.{name}]
key_sha256 = "{digest}"
apps = {apps}
can = {can}
"""


@dataclass
class Site:
    """One tokend, and a session to it of an operator."""

    process: Running
    session: aiohttp.ClientSession
    url: str

    async def value(self, key: str = SHOP) -> str:
        """What is served, or the code of why nothing is."""
        async with self.session.get(f"/v1/apps/{key}") as response:
            answer = await response.json()
        return str(answer.get("access_token") or answer.get("ticket") or answer["code"])

    async def refresh(self, body: dict[str, object]) -> dict[str, object]:
        """Of the account's token."""
        async with self.session.post(f"/v1/apps/{SHOP}/refresh", json=body) as response:
            return {"status": response.status, **(await response.json())}


@asynccontextmanager
async def production(
    folder: Path, wechat: Simulator, *, method: str = "stable_token", speed: int
) -> AsyncIterator[Site]:
    """It lets staging read, and no more."""
    keys = "".join(
        _client(f"staging-{app}", key, apps=f'["{app}"]', can='["read"]')
        for app, key in _CLIENT_KEYS.items()
    )
    path = _configured(
        folder / "production",
        url=wechat.url,
        secrets={"shop": APP_SECRET, "robot": AGENT_SECRET},
        method=method,
        reconcile=240,
        clients=keys,
    )
    async with _site(path, speed=speed) as site:
        yield site


@asynccontextmanager
async def staging(folder: Path, production: Site, *, speed: int) -> AsyncIterator[Site]:
    """Its WeChat is production's tokend, and its AppSecrets are client keys there."""
    path = _configured(
        folder / "staging",
        url=production.url,
        secrets=_CLIENT_KEYS,
        method="stable_token",
        reconcile=30,
        clients="",
    )
    async with _site(path, speed=speed) as site:
        yield site


def _client(name: str, key: str, *, apps: str, can: str) -> str:
    digest = sha256(key.encode()).hexdigest()
    return _CLIENT.format(name=name, digest=digest, apps=apps, can=can)


def _configured(
    folder: Path, *, url: str, secrets: dict[str, str], clients: str, **rest: object
) -> Path:
    folder.mkdir()
    for app, secret in secrets.items():
        path = folder / f"{app}.secret"
        path.touch(mode=0o600)
        path.write_text(secret)
    config = folder / "tokend.toml"
    ids = {"appid": APPID, "corpid": CORPID, "agentid": AGENTID}
    everything = '["read", "refresh", "force"]'
    operator = _client("operator", _OPERATOR, apps='["*"]', can=everything)
    content = _CONFIG.format(folder=folder, wechat=url, **ids, **rest)
    config.write_text(f"{content}{operator}{clients}")
    return config


@asynccontextmanager
async def _site(path: Path, *, speed: int) -> AsyncIterator[Site]:
    program = (sys.executable, "-m", "kit.fast", str(speed), str(path))
    tests = {"PYTHONPATH": str(Path(__file__).parents[1])}
    async with running(program=program, env=tests) as process:
        url = (await process.said(SERVING))[1]
        headers = {"Authorization": f"Bearer {_OPERATOR}"}
        async with aiohttp.ClientSession(url, headers=headers) as session:
            yield Site(process, session, url)
