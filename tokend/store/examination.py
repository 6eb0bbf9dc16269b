"""Whether a Redis is one that tokens can be trusted to.

Every script is tried on a scratch key, so that a missing permission shows at start and not in the
middle of a refresh; and the settings that decide whether a token may vanish are looked at.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from tokend.findings import Finding, Verdict
from tokend.store.trouble import said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from redis.commands.core import AsyncScript

    from tokend.clock import Clock
    from tokend.store.connection import Client

_SUBJECT = "store"
_LARGEST_SKEW = timedelta(seconds=5)

# Every command that the scripts use, so that it can be tried: Redis 6 does not name the one that a
# script was refused. {key} is a scratch key. What is wrong with it otherwise does not matter.
_COMMANDS: tuple[tuple[str | int, ...], ...] = (
    ("SET", "{key}", "scratch"),
    ("GET", "{key}"),
    ("TYPE", "{key}"),
    ("EXISTS", "{key}"),
    ("PEXPIRE", "{key}", 1000),
    ("PTTL", "{key}"),
    ("RENAME", "{key}", "{key}"),
    ("HSET", "{key}", "field", "scratch"),
    ("HGET", "{key}", "field"),
    ("HMGET", "{key}", "field"),
    ("HEXISTS", "{key}", "field"),
    ("ZADD", "{key}", 1, "scratch"),
    ("ZRANGE", "{key}", 0, 0),
    ("ZRANGEBYSCORE", "{key}", 0, 1),
    ("PUBLISH", "tokend:scratch", ""),
    ("TIME",),
    ("DEL", "{key}"),
)
_PERMISSIONS = " ".join(
    (
        *(f"+{command[0]}".lower() for command in _COMMANDS),
        "+evalsha +eval +script|load +subscribe +unsubscribe +info +ping +client|setinfo +select",
        "+cluster|slots resetchannels ~tokend:* &tokend:*",
    )
)
_GRANT = f"give tokend's user in Redis: {_PERMISSIONS}"

# Script → its keys, as parts of the scratch key's name, and its arguments.
_TRIALS: Mapping[str, tuple[tuple[str, ...], tuple[str | int, ...]]] = {
    "load": (("token", "lease"), ()),
    "acquire": (("token", "lease", "fence", "unreadable"), ("owner", 1000, 0, 1000, 1000)),
    "save": (("token", "lease"), ("owner", 1, 1, "scratch", "scratch", 1000, 0)),
    "release": (("token", "lease"), ("owner", 1, 0)),
    "spend": (("budget",), (1, 1)),
    "refund": (("budget",), ()),
    "announce": (("changes",), ("scratch", "tokend:scratch", "nobody")),
    "swap": (("note",), ("", "scratch", 1000)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Of one Redis, through the client and the scripts that the store uses.

    *mirrored* are the names under which tokens are written for others.
    """

    client: Client
    scripts: Mapping[str, AsyncScript]
    clock: Clock
    mirrored: Sequence[str]

    async def findings(self) -> list[Finding]:
        """Raises ``RedisError`` if nobody is there to be examined."""
        return [finding async for finding in self._all()]

    async def _all(self) -> AsyncIterator[Finding]:
        async for finding in self._permissions():
            yield finding
        async for finding in self._mirror():
            yield finding
        yield await self._clock()
        for look in (self._memory, self._persistence, self._replication):
            try:
                yield await look()
            except NoPermissionError:
                yield _warning("what INFO says cannot be checked: no permission", "grant +info")

    async def _permissions(self) -> AsyncIterator[Finding]:
        scratch = f"tokend:{{scratch/{secrets.token_hex(8)}}}:"
        refused = [line async for line in self._refused(scratch)]
        for line in refused:
            yield _bad(line, _GRANT)
        if not refused:
            yield _ok("every script runs")
        if isinstance(self.client, Redis):
            yield await self._listening(self.client)

    async def _refused(self, scratch: str) -> AsyncIterator[str]:
        """What may not be done, in the words of Redis."""
        for command in _COMMANDS:
            words = [f"{scratch}command" if word == "{key}" else word for word in command]
            try:
                await self.client.execute_command(*words)
            except NoPermissionError as error:
                yield said(error)
            except ResponseError:
                pass
        keys = {scratch + part for parts, _ in _TRIALS.values() for part in parts}
        try:
            for name, (parts, arguments) in _TRIALS.items():
                await self.scripts[name](keys=[scratch + part for part in parts], args=arguments)
        except NoPermissionError as error:
            yield said(error)
        except ResponseError as error:
            if "can't run this command" not in str(error):
                raise
        finally:
            with suppress(RedisError):
                await self.client.delete(*keys, f"{scratch}command")

    async def _listening(self, client: Redis) -> Finding:
        try:
            async with client.pubsub() as subscription:
                await subscription.subscribe("tokend:scratch")
        except NoPermissionError as error:
            return _warning(f"nodes do not wake each other: {said(error)}", _GRANT)
        return _ok("nodes wake each other")

    async def _mirror(self) -> AsyncIterator[Finding]:
        """No more than a warning: tokens are kept and served without it."""
        refused = [name for name in self.mirrored if not await self._may_set(name)]
        for name in refused:
            yield _warning(
                f"store.mirror: '{name}' may not be written, so who looks there finds no token",
                f"give tokend's user in Redis: ~{name}",
            )
        if self.mirrored and not refused:
            yield _ok("the keys of the mirror may be written")

    async def _may_set(self, name: str) -> bool:
        """NX and XX contradict each other: with the permission Redis refuses that, and writes
        nothing.
        """
        try:
            await self.client.execute_command("SET", name, "", "NX", "XX")
        except NoPermissionError:
            return False
        except ResponseError:
            pass
        return True

    async def _clock(self) -> Finding:
        seconds, _ = await self.client.time()
        skew = abs(seconds - self.clock.wall().timestamp())
        if skew > _LARGEST_SKEW.total_seconds():
            return _warning(
                f"the clocks of Redis and of this host differ by {skew:.0f} s", "set them by NTP"
            )
        return _ok("its clock agrees with this host's")

    async def _memory(self) -> Finding:
        policies = {info["maxmemory_policy"] for info in await self._info("memory")}
        if policies != {"noeviction"}:
            return _warning(
                f"maxmemory-policy is {', '.join(sorted(policies))}: tokens, leases, sessions "
                "and users may be evicted",
                "CONFIG SET maxmemory-policy noeviction, and in redis.conf",
            )
        return _ok("maxmemory-policy is noeviction")

    async def _persistence(self) -> Finding:
        if any(not info.get("aof_enabled") for info in await self._info("persistence")):
            return _warning(
                "appendonly is off: a restart forgets what came after the last snapshot",
                "CONFIG SET appendonly yes, and in redis.conf",
            )
        return _ok("appendonly is on")

    async def _replication(self) -> Finding:
        nodes = await self._info("replication")
        if any(info.get("role") != "master" for info in nodes):
            return _bad("is a replica: nothing can be written", "name the master, or its sentinels")
        if any(info.get("connected_slaves") for info in nodes) and not await self._min_replicas():
            return _warning(
                "min-replicas-to-write is 0: a master cut off from its replicas goes on granting "
                "leases",
                "CONFIG SET min-replicas-to-write 1, min-replicas-max-lag 10, and in redis.conf",
            )
        return _ok("its replicas would be missed, if it has any")

    async def _min_replicas(self) -> bool:
        """Where the setting may not be read, nothing can be said against it."""
        try:
            settings = await self.client.config_get("min-replicas-to-write")
        except RedisError:
            return True
        return settings.get("min-replicas-to-write") != "0"

    async def _info(self, section: str) -> list[dict[str, Any]]:
        """Of the server, or of each node of a cluster."""
        if isinstance(self.client, Redis):
            return [await self.client.info(section)]
        by_node: dict[str, dict[str, Any]] = await self.client.info(
            section, target_nodes=self.client.PRIMARIES
        )
        return list(by_node.values())


def _ok(text: str) -> Finding:
    return Finding(Verdict.OK, _SUBJECT, f"redis: {text}")


def _warning(text: str, advice: str) -> Finding:
    return Finding(Verdict.WARNING, _SUBJECT, f"redis: {text}", advice)


def _bad(text: str, advice: str) -> Finding:
    return Finding(Verdict.BAD, _SUBJECT, f"redis: {text}", advice)
