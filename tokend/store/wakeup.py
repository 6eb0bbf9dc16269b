"""Listens for other nodes' announcements, to be quicker than the poll."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
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


@asynccontextmanager
async def listening(client: Redis | RedisCluster, channel: str) -> AsyncIterator[asyncio.Event]:
    """An event that is set when anything is said on *channel*, for as long as the server is there.

    What is said is not looked at: it may be forged. A cluster's client cannot listen; the event is
    never set then, and the poll must do.
    """
    event = asyncio.Event()
    if not isinstance(client, Redis):
        yield event
        return
    task = asyncio.create_task(_listen(client, channel, event))
    try:
        yield event
    finally:
        await tasks.end([task])


async def _listen(client: Redis, channel: str, event: asyncio.Event) -> None:
    told = False
    while True:
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                async for _ in subscription.listen():
                    told = False
                    event.set()
        except Exception as error:  # noqa: BLE001, whatever somebody sends there
            if not told:
                log.info("wake_ups_away", error=said(error))
            told = True
        await asyncio.sleep(_PAUSE_SECONDS)
