"""The audit trail of a real tokend: who asked, from where, in log and file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pwd
import signal
from typing import TYPE_CHECKING, Any

from kit.process import one_shot, serving

from tokend.cli.simulate import APP_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "order-service-canary-key"
CLIENTS = f"""
[clients.order-service]
key_sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"
apps = ["shop"]
can = ["read", "refresh"]
"""
TOKEN = "/v1/apps/shop/access_token"


def audited(path: Path, *, clients: str = CLIENTS) -> Path:
    """The configuration at *path* with a file for the audit trail; that file."""
    file = path.parent / "audit.log"
    path.write_text(f'{path.read_text()}[log]\naudit_file = "{file}"\n{clients}')
    return file


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def told(file: Path, **facts: object) -> dict[str, Any]:
    """The first line with these facts, as soon as it is there."""
    async with asyncio.timeout(20):
        while True:
            for line in lines(file):
                if facts.items() <= line.items():
                    return line
            await asyncio.sleep(0.05)


async def test_whoever_uses_the_socket_is_told_by_user_and_process(
    configured: Callable[..., Path], folder: Path
) -> None:
    path = configured()
    file = audited(path)
    socket = f"--socket={folder}/tokend.sock"
    async with serving(path) as (tokend, _):
        code, out, err = await one_shot("refresh", "shop/access_token", socket)
        forced = await told(file, what="force")
        await one_shot("get", "shop/access_token", socket)
        read = await told(file, what="read")
        await one_shot("reload", socket)
        reloaded = await told(file, what="reload")

    assert code == 0, (out, err)
    uid, user = os.getuid(), pwd.getpwuid(os.getuid()).pw_name
    for line in (forced, read, reloaded):
        assert line["who"] == f"socket uid={uid}"
        assert line["where"].startswith(f"uid={uid}({user}) gid={os.getgid()} pid=")
        assert line["outcome"] == "ok"
    assert forced["before"] < forced["generation"] == read["generation"]
    in_log = [json.loads(line) for line in tokend.lines if '"event": "audit"' in line]
    assert [line["what"] for line in in_log] == [line["what"] for line in lines(file)]


async def test_a_hangup_opens_the_file_anew_and_is_told_of_there(
    configured: Callable[..., Path],
) -> None:
    path = configured()
    file = audited(path)
    async with serving(path) as (tokend, _):
        file.write_text("")
        file.rename(file.with_suffix(".1"))
        tokend.send(signal.SIGHUP)
        good = await told(file, what="reload", who="SIGHUP")
        path.write_text("nonsense")
        file.rename(file.with_suffix(".2"))
        tokend.send(signal.SIGHUP)
        bad = await told(file, what="reload", who="SIGHUP")

    assert good["outcome"] == "ok"
    assert bad["outcome"] == "configuration_refused"


async def test_no_key_token_or_secret_gets_into_the_file(
    configured: Callable[..., Path],
) -> None:
    path = configured()
    file = audited(path)
    secrets = {KEY, APP_SECRET}
    async with serving(path) as (tokend, session):
        for key in (KEY, "wrong-canary-key", "wrong-canary-key", ""):
            headers = {"Authorization": f"Bearer {key}"}
            for method, route in (("GET", TOKEN), ("POST", f"{TOKEN}/refresh")):
                body = {"rejected": max(secrets, key=len)} if method == "POST" else None
                async with session.request(method, route, headers=headers, json=body) as response:
                    answer = await response.json()
                secrets.add(answer.get("access_token", KEY))
            name = "made-up" if key == KEY else key
            query = f"?grant_type=client_credential&appid=wx0123456789abcdef&secret={key}"
            for route in (f"/cgi-bin/token{query}", f"/v1/apps/{name}/{name}", f"/{name}{query}"):
                async with session.get(route, headers=headers) as response:
                    await response.read()
        tokend.send(signal.SIGTERM)
        assert await tokend.ended() == 0

    content = file.read_text()
    assert '"times"' in content
    for secret in (*secrets, "canary", "made-up"):
        assert secret not in content


async def test_a_disk_that_is_full_stops_no_refresh_and_no_answer(
    configured: Callable[..., Path],
) -> None:
    path = configured()
    audited(path, clients="")
    path.write_text(path.read_text().replace(str(path.parent / "audit.log"), "/dev/full"))
    async with serving(path) as (tokend, session):
        rejected = {"rejected": 0}
        for _ in range(3):
            async with session.get(TOKEN) as response:
                rejected = {"rejected": (await response.json())["generation"]}
            async with session.post(f"{TOKEN}/refresh", json=rejected) as response:
                assert response.status in {200, 429}

    assert sum('"audit_not_written"' in line for line in tokend.lines) == 1
    assert sum('"event": "audit"' in line for line in tokend.lines) >= 3
