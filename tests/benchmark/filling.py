"""Puts kept tokens into a Redis, by the store's own steps: lease, save, release."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from benchmark.accounts import TOKEN_LENGTH, appid
from tokend.clock import SystemClock
from tokend.model import ACCESS_TOKEN, Issued, Secret, Token, TokenKey
from tokend.store.redis import open_redis
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tokend.contracts import Store

# With so much life left a token is due. That of a stable_token has a jitter.
DUE = timedelta(seconds=300)

_AT_ONCE = 16
_TERMS = Terms()


def app(number: int) -> str:
    """The name of an app in tokend."""
    return f"app-{number}"


async def fill(socket: Path, lives: Sequence[timedelta]) -> None:
    """A token for each app, with so much life left."""
    clock = SystemClock()
    todo = iter(enumerate(lives))
    async with open_redis(f"unix://{socket}", clock) as store, asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(_keep(store, clock, todo))


async def _keep(store: Store, clock: SystemClock, todo: Iterator[tuple[int, timedelta]]) -> None:
    for number, life in todo:
        key = TokenKey(app=app(number), appid=appid(number), kind=ACCESS_TOKEN)
        lease = await store.acquire(
            key, owner="benchmark", ttl=_TERMS.lease, above=0, quarantine=_TERMS.quarantine
        )
        issued = Issued(value=Secret(secrets.token_hex(TOKEN_LENGTH // 2)), lifetime=life)
        await store.save(lease, Token.of(issued, asked_at=clock.now(), fence=lease.fence))
        await store.release(lease)
