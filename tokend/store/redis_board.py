"""Texts in Redis, which forgets each at its end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from tokend.store import trouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from redis.commands.core import AsyncScript

    from tokend.store.connection import Client

_MILLISECOND = timedelta(milliseconds=1)
_PAGE = 200
_OURS = "tokend:"


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

    async def texts(
        self,
        prefix: str,
        *,
        now: datetime,  # noqa: ARG002, as promised
    ) -> AsyncIterator[tuple[str, str]]:
        with trouble.told():
            page: list[str] = []
            found = self._redis.scan_iter(f"{_key(prefix)}*", count=_PAGE, _type="string")
            async for key in found:
                page.append(str(key))
                if len(page) == _PAGE:
                    for note in await self._notes(page):
                        yield note
                    page.clear()
            for note in await self._notes(page):
                yield note

    async def _notes(self, keys: list[str]) -> list[tuple[str, str]]:
        texts = await asyncio.gather(*map(self._text, keys))
        return [(_name(key), text) for key, text in zip(keys, texts, strict=True) if text]

    async def _text(self, key: str) -> str | None:
        """None, too, for bytes that are no text."""
        try:
            text = await self._redis.get(key)
        except UnicodeDecodeError:
            return None
        return None if text is None else str(text)


def _key(name: str) -> str:
    return f"{_OURS}{name}"


def _name(key: str) -> str:
    return key.removeprefix(_OURS)
