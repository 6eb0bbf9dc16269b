"""Every order in which nodes can get in each other's way, on a real Redis.

Each node acquires, asks WeChat, saves and releases; or is refused by WeChat; or never hears its
answer; or dies after any step. Whenever it helps to do harm, the lease of another node is lost
first. WeChat gives a new token to each call, and only the last one it gave lives on: a store that
ends with another one has to have it marked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations_with_replacement, groupby
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from tokend.clock import SystemClock
from tokend.model import Issued, Secret, Token, TokenKey
from tokend.store.redis import open_redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tokend.model import Lease
    from tokend.store.redis import RedisStore

KEY = TokenKey(app="shop", appid="wx0123456789abcdef", kind="access_token")
CLOCK = SystemClock()
LEASE = timedelta(seconds=30)
QUARANTINE = timedelta(seconds=90)

# acquire, ask, save, release; hold: WeChat has acted, its answer was lost.
PROGRAMS = ("a", "ak", "aks", "aksr", "ar", "akh")

Step = tuple[int, str]


def interleavings(programs: tuple[str, ...]) -> Iterator[tuple[Step, ...]]:
    """All orders of the steps of all nodes, each node's in its own order."""
    if not any(programs):
        yield ()
        return
    for node, program in enumerate(programs):
        if program:
            left = (*programs[:node], program[1:], *programs[node + 1 :])
            for rest in interleavings(left):
                yield ((node, program[0]), *rest)


def schedules(nodes: int) -> Iterator[tuple[Step, ...]]:
    for programs in combinations_with_replacement(PROGRAMS, nodes):
        yield from interleavings(programs)


@dataclass
class World:
    """The store, and what WeChat gave last."""

    store: RedisStore
    redis: Redis
    minted: int = 0

    async def play(self, schedule: tuple[Step, ...]) -> Token:
        """What is kept at the end, when every lease has run out."""
        await self.redis.flushdb()
        self.minted = 0
        leases: dict[int, Lease] = {}
        tokens: dict[int, str] = {}
        for step in [(-1, "a"), (-1, "k"), (-1, "s"), (-1, "r"), *schedule]:
            await self._take(*step, leases, tokens)
        await self._lose_lease()
        kept = await self.store.load(KEY)
        assert kept is not None
        return kept

    @property
    def latest(self) -> str:
        return f"92_{self.minted}"

    async def _take(
        self, node: int, step: str, leases: dict[int, Lease], tokens: dict[int, str]
    ) -> None:
        if step == "a":
            await self._lose_lease()
            leases[node] = await self.store.acquire(
                KEY, owner=str(node), ttl=LEASE, above=0, quarantine=QUARANTINE
            )
        elif step == "k":
            self.minted += 1
            tokens[node] = self.latest
        elif step == "s":
            issued = Issued(value=Secret(tokens[node]), lifetime=timedelta(seconds=7200))
            token = Token.of(issued, asked_at=CLOCK.now(), fence=leases[node].fence)
            await self.store.save(leases[node], token)
        else:
            hold = QUARANTINE if step == "h" else timedelta(0)
            await self.store.release(leases[node], hold=hold)

    async def _lose_lease(self) -> None:
        await self.redis.delete(f"tokend:{{{KEY.record}}}:lease")


def is_residue(schedule: tuple[Step, ...]) -> bool:
    """Tell if a node asked WeChat after two others had taken the lease since, and told nobody.

    The guard before the call keeps a node from asking so late: two leases last a minute.
    """
    for node in {node for node, _ in schedule}:
        steps = [position for position, (who, _) in enumerate(schedule) if who == node]
        program = "".join(schedule[position][1] for position in steps)
        if program in {"ak", "akh"}:
            between = schedule[steps[0] : steps[1]]
            if sum(what == "a" for who, what in between if who != node) >= 2:
                return True
    return False


async def play_all(nodes: int, path: Path) -> tuple[Counter[str], list[tuple[Step, ...]]]:
    outcomes: Counter[str] = Counter()
    silent = []
    async with (
        Redis(unix_socket_path=str(path)) as redis,
        open_redis(f"unix://{path}", CLOCK) as store,
    ):
        world = World(store, redis)
        for schedule in schedules(nodes):
            kept = await world.play(schedule)
            latest = kept.value.reveal() == world.latest
            outcomes[f"{'latest' if latest else 'superseded'}, suspect: {kept.suspect}"] += 1
            if not (latest or kept.suspect):
                silent.append(schedule)
    return outcomes, silent


def show(schedule: tuple[Step, ...]) -> str:
    runs = groupby(schedule, key=lambda step: step[0])
    return " ".join(f"{node}:{''.join(step for _, step in steps)}" for node, steps in runs)


async def test_of_two_nodes_no_order_of_steps_ends_with_a_dead_token_that_looks_good(
    redis_socket: Path,
) -> None:
    outcomes, silent = await play_all(2, redis_socket)

    assert [show(schedule) for schedule in silent] == []
    assert outcomes["superseded, suspect: True"] > 0
    assert outcomes["latest, suspect: False"] > 0


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_of_three_nodes_only_the_known_residue_does(
    redis_socket: Path,
) -> None:
    outcomes, silent = await play_all(3, redis_socket)

    print(dict(outcomes), *map(show, silent), sep="\n")  # noqa: T201, what remains is to be seen
    assert [show(schedule) for schedule in silent if not is_residue(schedule)] == []
    assert outcomes["superseded, suspect: True"] > 0
