"""Texts in Redis, which forgets each at its end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tokend.store import trouble

if TYPE_CHECKING:
    from datetime import datetime

    from redis.commands.core import AsyncScript

    from tokend.store.connection import Client

_MILLISECOND = timedelta(milliseconds=1)


class RedisBoard:
    """One string each; *swap* is the script."""

    def __init__(self, client: Client, swap: AsyncScript) -> None:
        self._redis = client
        self._swap = swap

    async def read(self, name: str, *, now: datetime) -> str | None:  # noqa: ARG002, as promised
        with trouble.told():
            text = await self._redis.get(_key(name))
        return None if text is None else str(text)

    async def swap(
        self,
        name: str,
        before: str | None,
        after: str | None,
        *,
        ends: datetime | None,
        now: datetime,
    ) -> bool:
        life = max(1, (ends - now) // _MILLISECOND) if ends else 0
        with trouble.told():
            return bool(await self._swap(keys=[_key(name)], args=[before or "", after or "", life]))

    async def erase(self, name: str) -> None:
        with trouble.told():
            await self._redis.delete(_key(name))


def _key(name: str) -> str:
    return f"tokend:{name}"
