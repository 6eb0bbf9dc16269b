"""A flood of wrong keys at a real tokend: a good client does not notice, nor log and memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.process import serving

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "order-service-canary-key"
CLIENTS = f"""
[clients.order-service]
key_sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"
apps = ["shop"]
can = ["read"]
"""
TOKEN = "/v1/apps/shop/access_token"
MEGABYTE = 1024 * 1024


def resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.parametrize("seconds", [2, pytest.param(20, marks=pytest.mark.long)])
async def test_a_good_client_is_served_while_wrong_keys_pour_in(
    configured: Callable[..., Path], seconds: int
) -> None:
    path = configured()
    path.write_text(path.read_text() + CLIENTS)
    headers = {"Authorization": f"Bearer {KEY}"}
    took: list[float] = []
    async with serving(path) as (tokend, session):
        lines, memory = len(tokend.lines), resident(tokend.process.pid)
        attack = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "kit.wrong_keys", str(session._base_url), str(seconds)),  # noqa: SLF001  # it has no other name
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": str(Path(__file__).parents[1])},
        )
        attacking = asyncio.create_task(attack.communicate())
        while not attacking.done():
            began = time.perf_counter()
            async with session.get(TOKEN, headers=headers) as response:
                assert response.status == 200
                await response.read()
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)
        met = json.loads((await attacking)[0])
        told = "".join(tokend.lines[lines:])
        grown = resident(tokend.process.pid) - memory

    took.sort()
    p99 = took[int(len(took) * 0.99)]
    print(f"\n{met} in {seconds} s, p50 {took[len(took) // 2]:.4f} s, p99 {p99:.4f} s")  # noqa: T201
    assert met["401"] >= 30
    assert met["429"] > 100 * seconds
    assert p99 < (0.1 if seconds > 2 else 1)
    assert len(told) < 10_000
    assert grown < 20 * MEGABYTE
