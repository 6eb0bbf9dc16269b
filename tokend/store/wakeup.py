"""Listens for other nodes' announcements, to be quicker than the poll."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog
from redis.asyncio import Redis

from tokend import tasks
from tokend.store.trouble import said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import RedisCluster

log = structlog.get_logger()

_PAUSE_SECONDS = 2.0


CHANNEL = "tokend:changed"


@dataclass(frozen=True, slots=True)
class Wakeup:
    """*heard* is set when another *speaker* than this one says anything on the channel."""

    speaker: str = field(default_factory=partial(secrets.token_hex, 8))
    heard: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def listening(client: Redis | RedisCluster) -> AsyncIterator[Wakeup]:
    """For as long as the server is there.

    What is said matters no further than that, and may be forged. A cluster's client cannot listen;
    nothing is heard then, and the poll must do.
    """
    wakeup = Wakeup()
    if not isinstance(client, Redis):
        yield wakeup
        return
    async with tasks.running(_listen(client, wakeup)):
        yield wakeup


async def _listen(client: Redis, wakeup: Wakeup) -> None:
    told = False
    while True:
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(CHANNEL)
                async for message in subscription.listen():
                    told = False
                    if message["data"] != wakeup.speaker:
                        wakeup.heard.set()
        except Exception as error:  # noqa: BLE001, whatever somebody sends there
            if not told:
                log.info("wake_ups_away", error=said(error))
            told = True
        await asyncio.sleep(_PAUSE_SECONDS)
