"""Which store a URL means."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tokend.store.local import LocalStore
from tokend.store.memory import MemoryTable
from tokend.store.sqlite import open_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tokend.clock import Clock
    from tokend.model import Secret
    from tokend.store.redis import RedisStore


@asynccontextmanager
async def open_store(
    url: str, clock: Clock, *, username: str, password: Secret | None
) -> AsyncIterator[LocalStore | RedisStore]:
    """The store at ``memory:``, ``sqlite:///path`` or any URL that redis-py knows."""
    parts = urlsplit(url)
    if parts.scheme == "memory":
        yield LocalStore(MemoryTable(), clock)
    elif parts.scheme == "sqlite":
        async with open_table(Path(parts.path)) as table:
            yield LocalStore(table, clock)
    else:
        # Importing redis-py takes as long as half of the rest, and SQLite is the default.
        from tokend.store.redis import open_redis  # noqa: PLC0415

        async with open_redis(url, clock, username=username, password=password) as store:
            yield store
