"""A week of real processes, in 26 minutes: see ``kit.endurance``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_in_a_week_tokend_grows_no_larger_and_serves_no_dead_token() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "kit.endurance", "--days", "7"),
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = (await process.communicate())[0].decode()

    assert process.returncode == 0, told
    sys.stdout.write(told)
