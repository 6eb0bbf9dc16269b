"""``python -m kit.soak --seed 7 --days 7 --nodes 3``: a week in minutes, in which much goes wrong.

What goes wrong, when, and for how long is drawn from the seed; the same seed is the same week, to
the last step. Each day ends without trouble, and has to end well.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import random
import sys
import tempfile
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from kit.judge import HEALED, Judge
from kit.stoppable import make_task
from kit.troubles import TROUBLES
from kit.virtual import VirtualLoop
from kit.week import Town

DAY = timedelta(days=1)
EVENING = timedelta(hours=22)
BETWEEN = timedelta(minutes=12)

# What is kept of a day differs by up to 2000; what is lost at each use would be a million.
GROWTH = 4000
LONGEST_REFUSAL = timedelta(minutes=66)


class Soak:
    """*days* in a town."""

    def __init__(self, folder: Path, *, seed: int, days: float, nodes: int) -> None:
        self.judge = Judge(nodes=nodes)
        self.town = Town(folder, seed, nodes, self.judge)
        self.recoveries: list[timedelta] = []
        self.weights: list[int] = []
        self._draw = random.Random(seed)
        self._days = days
        self._struck: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        await self._heal()
        for _ in range(max(round(self._days), 1)):
            await self._day(EVENING * min(self._days, 1))
            await self._heal()
            self.weights.append(self._weigh())
        if self.weights[-1] - self.weights[0] > GROWTH:
            self.judge.broken.append(f"tokend holds on to more each day: {self.weights}")

    async def _day(self, length: timedelta) -> None:
        end = self.town.clock.elapsed() + length
        while self.town.clock.elapsed() < end and not self.judge.broken:
            await asyncio.sleep(self._draw.expovariate(1 / BETWEEN.total_seconds()))
            name = self._draw.choice(list(TROUBLES))
            if TROUBLES[name].place not in {TROUBLES[each].place for each in self.judge.troubles}:
                struck = asyncio.get_running_loop().create_task(self._strike(name))
                self._struck.add(struck)
                struck.add_done_callback(self._struck.discard)
                await asyncio.sleep(0)
        while self._struck:
            await asyncio.sleep(1)

    async def _strike(self, name: str) -> None:
        trouble = TROUBLES[name]
        lasts = self._draw.uniform(0, trouble.longest.total_seconds())
        shakes = trouble.place in {"store", "clock", "node"}
        with (
            self.judge.during(name, hides=trouble.hides, shakes_store=shakes),
            trouble.make(self.town, self._draw),
        ):
            await asyncio.sleep(lasts)

    async def _heal(self) -> None:
        """Within minutes, or when it may do again what WeChat has refused."""
        begun = self.town.clock.elapsed()
        patience = HEALED + min(self.town.wait(), LONGEST_REFUSAL)
        while trouble := await self.town.trouble():
            if self.town.clock.elapsed() - begun > patience:
                self.judge.broken.append(f"{begun}: no trouble for {patience}, and {trouble}")
                return
            await asyncio.sleep(5)
        self.recoveries.append(self.town.clock.elapsed() - begun)

    def _weigh(self) -> int:
        """How many things tokend holds on to, in all nodes: its objects, what stands in its
        containers, and tasks.
        """
        seen: dict[int, object] = {}
        todo: list[object] = [
            part
            for node in self.town.nodes.values()
            for part in (node.fleet, node.schedule, node.follower, node.tasks)
        ]
        while todo:
            thing = todo.pop()
            if id(thing) not in seen and _is_of_tokend(thing):
                seen[id(thing)] = thing
                todo += gc.get_referents(thing)
        return len(asyncio.all_tasks()) + sum(
            len(thing) if isinstance(thing, _CONTAINERS) else 1 for thing in seen.values()
        )


_CONTAINERS = (dict, list, tuple, set, frozenset, deque)


def _is_of_tokend(thing: object) -> bool:
    """Or what is built in; other objects lead everywhere."""
    module = type(thing).__module__
    is_ours = module.startswith("tokend.") and not module.startswith("tokend.simulator")
    return is_ours or isinstance(thing, _CONTAINERS)


def _notice_crashes(judge: Judge) -> None:
    """What tokend itself calls a bug is one."""

    def look(_logger: object, _name: str, event: dict[str, Any]) -> Any:
        if event["event"].endswith("crashed"):
            judge.broken.append(f"{event['event']}: {event.get('exc_info')}")
        raise structlog.DropEvent

    structlog.configure(processors=[look], cache_logger_on_first_use=False)


async def _soak(folder: Path, seed: int, days: float, nodes: int) -> Soak:
    asyncio.get_running_loop().set_task_factory(make_task)
    soak = Soak(folder, seed=seed, days=days, nodes=nodes)
    _notice_crashes(soak.judge)
    await soak.run()
    for number in sorted(soak.town.nodes):
        soak.town.kill(number)
    await asyncio.sleep(120)
    return soak


def _told(soak: Soak, seed: int) -> list[str]:
    judge = soak.judge
    return [
        *(f"broken: {promise}" for promise in judge.broken[:20]),
        f"seed {seed}, history {judge.history}",
        ", ".join(f"{number} {what}" for what, number in sorted(judge.seen.items())),
        f"well again after {', '.join(str(each) for each in soak.recoveries)}",
        "a dead token was used for {} at the longest: {}".format(*judge.longest_dead),
        f"at the end of each day tokend holds on to {soak.weights} things",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--nodes", type=int, default=3)
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # or sets have another order each time
        again = [sys.executable, "-m", "kit.soak", f"--seed={given.seed}", f"--days={given.days}"]
        again.append(f"--nodes={given.nodes}")
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606
    random.seed(given.seed)
    logging.disable()
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        soak = runner.run(_soak(Path(folder), given.seed, given.days, given.nodes))
    sys.stdout.write("\n".join(_told(soak, given.seed)) + "\n")
    return 1 if soak.judge.broken else 0


if __name__ == "__main__":
    sys.exit(main())
