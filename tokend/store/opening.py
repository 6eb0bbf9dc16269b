"""Which store a URL means."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tokend.store.local import LocalStore
from tokend.store.memory import MemoryTable
from tokend.store.redis_url import is_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tokend.clock import Clock
    from tokend.store.login import Login
    from tokend.store.mirror import Mirror
    from tokend.store.redis import RedisStore
    from tokend.store.seals import Seals


@asynccontextmanager
async def open_store(
    url: str, clock: Clock, login: Login, mirror: Mirror, seals: Seals
) -> AsyncIterator[LocalStore | RedisStore]:
    """The store at ``memory:``, ``sqlite:///path`` or a ``RedisUrl``, which alone has a mirror."""
    # What the others need is not imported: redis-py alone takes as long as half of the rest.
    if is_redis(url):
        from tokend.store.redis import open_redis  # noqa: PLC0415

        async with open_redis(url, clock, login, mirror, seals) as store:
            yield store
    elif url == "memory:":
        yield LocalStore(MemoryTable(), clock, seals)
    else:
        from tokend.store.sqlite import open_table  # noqa: PLC0415

        async with open_table(Path(urlsplit(url).path)) as table:
            yield LocalStore(table, clock, seals)
