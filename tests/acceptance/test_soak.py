"""A long time in which much goes wrong, in a process of its own: see ``kit.soak``.

What it prints in the end says with which seed it can be had again:
``cd tests && python -m kit.soak --seed 7 --days 7``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)

TESTS = Path(__file__).parents[1]


async def soaked(seed: int, days: float) -> str:
    """What it told, all promises kept."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kit.soak",
        f"--seed={seed}",
        f"--days={days}",
        cwd=TESTS,
        stdout=asyncio.subprocess.PIPE,
    )
    told = (await process.communicate())[0].decode()
    assert process.returncode == 0, told
    return told


@pytest.mark.parametrize("seed", [2, 4])
async def test_in_some_hours_of_troubles_every_promise_is_kept(seed: int) -> None:
    await soaked(seed, days=0.1)


async def test_a_seed_is_the_same_history_each_time() -> None:
    assert await soaked(5, days=0.05) == await soaked(5, days=0.05)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_in_a_week_of_troubles_every_promise_is_kept(seed: int) -> None:
    sys.stdout.write(await soaked(seed, days=7))
