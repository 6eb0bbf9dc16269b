"""Records in Redis, for more than one node.

Each step is a Lua script (``lua/``): atomic in the server, on the server's clock, and harmless to
send twice.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

from redis.exceptions import RedisClusterException, RedisError

from tokend.errors import LeaseBusy, StoreError
from tokend.model import Changes, Lease, Secret, Token
from tokend.store.connection import connected
from tokend.store.login import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tokend.clock import Clock
    from tokend.model import TokenKey
    from tokend.store.connection import Client
    from tokend.store.login import Login

_MILLISECOND = timedelta(milliseconds=1)

# Sorted set: record name → microsecond of its last change. In a cluster it lives elsewhere than the
# records, so it is written after them; a reader looks back a little and misses nothing.
_CHANGES = "tokend:changes"
_LOOK_BACK = 10_000_000


@asynccontextmanager
async def open_redis(url: str, clock: Clock, login: Login = ANONYMOUS) -> AsyncIterator[RedisStore]:
    """Connect on demand: a server that is away now may be there later."""
    async with connected(url, login) as client:
        yield RedisStore(client, clock)


class RedisStore:
    """The store's contract as four scripts and a sorted set."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._redis = client
        self._clock = clock
        self._load, self._acquire, self._save, self._release = (
            client.register_script(_source(name)) for name in ("load", "acquire", "save", "release")
        )

    async def load(self, key: TokenKey) -> Token | None:
        with _told():
            kept = await self._load(keys=[_name(key, "token")])
            return self._token(*kept) if kept else None

    async def acquire(self, key: TokenKey, *, owner: str, ttl: timedelta, above: int) -> Lease:
        with _told():
            fence = await self._acquire(
                keys=[_name(key, part) for part in ("token", "lease", "fence")],
                args=[owner, ttl // _MILLISECOND, above],
            )
            lease = Lease(key=key, owner=owner, fence=int(fence))
        if not lease.fence:
            raise LeaseBusy(f"{key}: another node is refreshing it")
        return lease

    async def save(self, lease: Lease, token: Token) -> Token | None:
        value = token.value.reveal()
        remaining = self._clock.to_wall(token.expires_at) - self._clock.wall()
        with _told():
            kept, generation, suspect = await self._save(
                keys=[_name(lease.key, part) for part in ("token", "lease")],
                args=[lease.owner, lease.fence, value, remaining // _MILLISECOND],
            )
            await self._announce(lease.key)
        if kept != "1":
            return None
        return Token(
            value=token.value,
            generation=int(generation),
            expires_at=token.expires_at,
            suspect=suspect == "1",
        )

    async def release(self, lease: Lease, *, hold: timedelta = timedelta(0)) -> None:
        with _told():
            await self._release(
                keys=[_name(lease.key, part) for part in ("token", "lease")],
                args=[lease.owner, lease.fence, hold // _MILLISECOND],
            )

    async def changes(self, since: int) -> Changes:
        with _told():
            rows = await self._redis.zrangebyscore(
                _CHANGES, max(0, since - _LOOK_BACK), "+inf", withscores=True
            )
            scores = {str(row[0]): int(row[1]) for row in rows}
            return Changes(cursor=max(scores.values(), default=since), records=frozenset(scores))

    async def _announce(self, key: TokenKey) -> None:
        seconds, microseconds = await self._redis.time()
        await self._redis.zadd(_CHANGES, {key.record: seconds * 1_000_000 + microseconds})

    def _token(self, value: str, generation: str, remaining: str, suspect: str) -> Token:
        shown = self._clock.wall() + int(remaining) * _MILLISECOND
        return Token(
            value=Secret(value),
            generation=int(generation),
            expires_at=self._clock.from_wall(shown),
            suspect=suspect == "1",
        )


def _source(script: str) -> str:
    return files("tokend.store").joinpath("lua", f"{script}.lua").read_text()


def _name(key: TokenKey, part: str) -> str:
    """With a hash tag, so that a cluster keeps the parts of one key together."""
    return f"tokend:{{{key.record}}}:{part}"


@contextmanager
def _told() -> Iterator[None]:
    """Say what Redis said; of a record that tokend did not write, never the content."""
    try:
        yield
    except (RedisError, RedisClusterException) as error:  # the latter is not one of the former
        raise StoreError(f"redis: {str(error)[:200] or type(error).__name__}") from None
    except (ValueError, TypeError):
        raise StoreError("redis: a record that tokend did not write") from None
