"""Records in Redis, for more than one node.

Each step is a Lua script (``lua/``): atomic in the server, on the server's clock, and harmless to
send twice.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from itertools import chain
from typing import TYPE_CHECKING

import structlog
from redis.asyncio import RedisCluster
from redis.exceptions import RedisError

from tokend.errors import LeaseBusy, RecordUnreadable, StoreError
from tokend.model import Changes, Lease, Token, node_of
from tokend.store import trouble
from tokend.store.connection import connected
from tokend.store.examination import Examination
from tokend.store.login import ANONYMOUS
from tokend.store.mirror import NO_MIRROR
from tokend.store.record import LONGEST_LEASE
from tokend.store.redis_board import RedisBoard
from tokend.store.seals import UNSEALED, Written, digest_of, unreadable
from tokend.store.shelf import SealedShelf
from tokend.store.wakeup import CHANNEL, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from tokend.allowance import Allowance
    from tokend.clock import Clock
    from tokend.findings import Finding
    from tokend.model import Found, TokenKey
    from tokend.store.connection import Client
    from tokend.store.login import Login
    from tokend.store.mirror import Mirror
    from tokend.store.seals import Seals
    from tokend.store.wakeup import Wakeup

log = structlog.get_logger()

_MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)

SCRIPTS = ("load", "acquire", "save", "release", "spend", "refund", "announce", "swap")

# What ``load`` says of something that no tokend wrote.
_FOREIGN = ["unreadable"]

# Sorted set: record name → microsecond of its last change. In a cluster it lives elsewhere than the
# records, so it is written after them. After a failover its clock may be behind: a reader looks
# back a little, from time to time, and misses nothing.
_CHANGES = "tokend:changes"
_LOOK_BACK = 10_000_000
_LOOK_BACK_PAUSE = timedelta(seconds=1.5)


@asynccontextmanager
async def open_redis(
    url: str,
    clock: Clock,
    login: Login = ANONYMOUS,
    mirror: Mirror = NO_MIRROR,
    seals: Seals = UNSEALED,
) -> AsyncIterator[RedisStore]:
    """Connect on demand: a server that is away now may be there later."""
    async with connected(url, login) as client, listening(client) as wakeup:
        yield RedisStore(client, clock, wakeup, mirror, seals)


class RedisStore:
    """The store's contract as scripts, a sorted set and a channel."""

    def __init__(
        self, client: Client, clock: Clock, wakeup: Wakeup, mirror: Mirror, seals: Seals
    ) -> None:
        self._redis = client
        self._clock = clock
        self._wakeup = wakeup
        self._mirror = mirror
        self._seals = seals
        self._unmirrored: set[str] = set()
        self._told: dict[str, int] = {}
        self._look_back_at = timedelta.min
        self._scripts = {name: client.register_script(_source(name)) for name in SCRIPTS}
        self.shelf = SealedShelf(RedisBoard(client, self._scripts["swap"]), clock, seals)

    async def load(self, key: TokenKey) -> Token | None:
        (kept,) = await self._kept([key])
        return self._token(key, kept)

    async def load_many(self, keys: Sequence[TokenKey]) -> list[Found]:
        """In one step; in a cluster, where a script may not take keys of two slots, in one each."""
        if isinstance(self._redis, RedisCluster):
            return list(await asyncio.gather(*map(self._found, keys)))
        kept = await self._kept(keys)
        return [self._read(key, each) for key, each in zip(keys, kept, strict=True)]

    async def _found(self, key: TokenKey) -> Found:
        try:
            return await self.load(key)
        except StoreError as error:
            return error

    def _read(self, key: TokenKey, kept: list[str]) -> Found:
        try:
            return self._token(key, kept)
        except RecordUnreadable as error:
            return error

    async def written(self, key: TokenKey) -> Written | None:
        """What stands there of a value, unopened. Raises what ``load`` does."""
        (kept,) = await self._kept([key])
        return _written(key, kept)

    async def _kept(self, keys: Sequence[TokenKey]) -> list[list[str]]:
        """As the script gives them. Who wrote what is no text at all, is found by halves."""
        names = [name for key in keys for name in _names(key, "token", "lease")]
        with trouble.told():
            try:
                kept: list[list[str]] = await self._scripts["load"](keys=names)
            except UnicodeDecodeError:
                if len(keys) == 1:
                    return [_FOREIGN]
                half = len(keys) // 2
                return await self._kept(keys[:half]) + await self._kept(keys[half:])
        return kept

    async def acquire(
        self, key: TokenKey, *, owner: str, ttl: timedelta, above: int, quarantine: timedelta
    ) -> Lease:
        with trouble.told():
            fence, swept = await self._scripts["acquire"](
                keys=_names(key, "token", "lease", "fence", "unreadable"),
                args=[
                    owner,
                    ttl // _MILLISECOND,
                    above,
                    quarantine // _MILLISECOND,
                    LONGEST_LEASE // 1000,
                ],
            )
            lease = Lease(key=key, owner=owner, fence=int(fence))
            if swept:
                log.error("not_of_tokend", what=swept, record=key.record)
            if not lease.fence:
                raise LeaseBusy(f"{key}: another node is refreshing it")
            with suppress(RedisError):  # the lease is there; that it is will be seen later
                await self._announce(key)
        return lease

    async def save(self, lease: Lease, token: Token) -> Token | None:
        ends = self._clock.to_wall(token.expires_at)
        text = self._seals.close(token.value, record=lease.key.record, fence=lease.fence, ends=ends)
        remaining = ends - self._clock.wall()
        copies = self._mirror.copies(lease.key, token.value)
        with trouble.told():
            kept, generation, suspect, *troubles = await self._scripts["save"](
                keys=_names(lease.key, "token", "lease"),
                args=[
                    lease.owner,
                    lease.fence,
                    token.generation,
                    text,
                    digest_of(token.value),
                    remaining // _MILLISECOND,
                    int(token.suspect),
                    *chain.from_iterable(copies.items()),
                ],
            )
            self._tell_unmirrored(copies, troubles)
            await self._announce(lease.key)
        if kept != "1":
            return None
        return replace(
            token,
            generation=int(generation),
            fence=lease.fence,
            suspect=suspect == "1",
            stored=True,
        )

    def _tell_unmirrored(self, names: Iterable[str], troubles: list[str]) -> None:
        """Once, until it has been written again."""
        for name, refusal in zip(names, troubles, strict=False):
            if not refusal:
                self._unmirrored.discard(name)
            elif name not in self._unmirrored:
                self._unmirrored.add(name)
                log.warning("mirror_not_written", mirror=name, error=refusal[:200])

    async def release(self, lease: Lease, *, hold: timedelta = timedelta(0)) -> None:
        with trouble.told():
            await self._scripts["release"](
                keys=_names(lease.key, "token", "lease"),
                args=[lease.owner, lease.fence, hold // _MILLISECOND],
            )

    async def spend(self, key: TokenKey, allowance: Allowance) -> timedelta:
        with trouble.told():
            wait = await self._scripts["spend"](
                keys=_names(key, "budget"),
                args=[allowance.pause // _MICROSECOND, allowance.daily],
            )
            return int(wait) * _MICROSECOND

    async def refund(self, key: TokenKey) -> None:
        with trouble.told():
            await self._scripts["refund"](keys=_names(key, "budget"))

    async def changes(self, since: int) -> Changes:
        """Each change is told once, however often the look back meets it. What was told last is
        always met; where it is missing, the server has lost it, whatever came since.
        """
        with trouble.told():
            first = (since or await self._last_change()) - self._look_back(since)
            rows = await self._redis.zrangebyscore(_CHANGES, first, "+inf", withscores=True)
            scores = {str(row[0]): int(row[1]) for row in rows}
        told = self._told if since else {}
        lost = any(at >= first and each not in scores for each, at in told.items())
        newest = max(scores.values(), default=0)
        self._told = {each: at for each, at in (told | scores).items() if at >= newest - _LOOK_BACK}
        return Changes(
            cursor=0 if lost else newest,
            records=frozenset(name for name, score in scores.items() if told.get(name) != score),
        )

    def _look_back(self, since: int) -> int:
        """Not each time: who is woken looks for what is new."""
        now = self._clock.elapsed()
        if since and now < self._look_back_at:
            return 0
        self._look_back_at = now + _LOOK_BACK_PAUSE
        return _LOOK_BACK

    async def _last_change(self) -> int:
        rows = await self._redis.zrange(_CHANGES, -1, -1, withscores=True)
        return int(rows[0][1]) if rows else 0

    async def _announce(self, key: TokenKey) -> None:
        await self._scripts["announce"](
            keys=[_CHANGES], args=[key.record, CHANNEL, self._wakeup.speaker]
        )

    async def woken(self) -> None:
        await self._wakeup.heard.wait()
        self._wakeup.heard.clear()

    async def examine(self, keys: Iterable[TokenKey]) -> list[Finding]:
        """Whether this Redis can be used, and trusted. Raises ``StoreError`` if it is away."""
        with trouble.told():
            examination = Examination(
                client=self._redis,
                scripts=self._scripts,
                clock=self._clock,
                mirrored=self._mirror.names(keys),
            )
            return await examination.findings()

    def _token(self, key: TokenKey, kept: list[str]) -> Token | None:
        written = _written(key, kept)
        if written is None:
            return None
        opened = self._seals.open(written)
        remaining, suspect, owner = kept[4:]
        shown = self._clock.wall() + int(remaining) * _MILLISECOND
        return Token(
            value=opened.value,
            generation=written.generation,
            fence=written.fence,
            expires_at=self._clock.from_wall(min(shown, opened.latest)),
            suspect=suspect == "1",
            refreshing_on=node_of(owner),
        )


def _written(key: TokenKey, kept: list[str]) -> Written | None:
    if not kept:
        return None
    if kept == _FOREIGN:
        raise unreadable(key.record, "no tokend wrote it")
    text, digest, given_generation, given_fence = kept[:4]
    fence = int(given_fence)
    # Of a value that was given once they are one number, which very many keys have as one object.
    generation = fence if given_generation == given_fence else int(given_generation)
    return Written(record=key.record, text=text, digest=digest, generation=generation, fence=fence)


def _source(script: str) -> str:
    return files("tokend.store").joinpath("lua", f"{script}.lua").read_text()


def _names(key: TokenKey, *parts: str) -> list[str]:
    """With a hash tag, so that a cluster keeps the parts of one key together."""
    return [f"tokend:{{{key.record}}}:{part}" for part in parts]
