"""``python -m benchmark.filling REDIS KEYS LEAST STEP``: puts kept tokens into a Redis.

By the store's own steps: lease, save, release. The last token has LEAST seconds to live, each one
before it STEP more. It comes last because this takes a while, and it is not to end meanwhile.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from benchmark.accounts import TOKEN_LENGTH, appid
from benchmark.program import output, python
from tokend.clock import SystemClock
from tokend.model import ACCESS_TOKEN, Issued, Secret, Token, TokenKey
from tokend.store.redis import open_redis
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmark.stage import Stage
    from tokend.contracts import Store

# With so much life left a token is due. That of a stable_token has a jitter.
DUE = timedelta(seconds=300)

_AT_ONCE = 16
_TERMS = Terms()


def app(number: int) -> str:
    """The name of an app in tokend."""
    return f"app-{number}"


async def fill(stage: Stage, redis: Path, *, keys: int, least: timedelta, step: timedelta) -> None:
    """Do so, on the core that no server uses yet."""
    lives = (least.total_seconds(), step.total_seconds())
    command = python("filling", redis, keys, *lives)
    await output(*stage.cores.on_server(*command), log=stage.log("filling"))


async def main(socket: str, keys: str, least: str, step: str) -> None:
    clock = SystemClock()
    last = int(keys) - 1
    lives = (
        (number, timedelta(seconds=float(least) + float(step) * (last - number)))
        for number in range(int(keys))
    )
    async with open_redis(f"unix://{socket}", clock) as store, asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(_keep(store, clock, lives))
    sys.stdout.write(f"{keys}\n")


async def _keep(store: Store, clock: SystemClock, lives: Iterator[tuple[int, timedelta]]) -> None:
    for number, life in lives:
        key = TokenKey(app=app(number), appid=appid(number), kind=ACCESS_TOKEN)
        lease = await store.acquire(
            key, owner="benchmark", ttl=_TERMS.lease, above=0, quarantine=_TERMS.quarantine
        )
        issued = Issued(value=Secret(secrets.token_hex(TOKEN_LENGTH // 2)), lifetime=life)
        await store.save(lease, Token.of(issued, asked_at=clock.now(), fence=lease.fence))
        await store.release(lease)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
