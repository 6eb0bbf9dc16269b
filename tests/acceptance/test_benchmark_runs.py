"""The benchmark runs: a row with tiny numbers, real processes, and none of them left behind."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from benchmark import requests
from benchmark.program import output, python

TESTS = Path(__file__).parents[1]
LITTLE = ("--rounds", "1", "--seconds", "0.2", "--keys", "5", "--waiters", "3", "--sessions", "9")

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not shutil.which("taskset"), reason="needs taskset: util-linux"),
]


async def started(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmark", *LITTLE, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS), "TMPDIR": str(folder)},
    )


async def test_each_row_that_is_asked_for_is_measured_and_nothing_is_left(folder: Path) -> None:
    rows = ("waiters", "memory", "start-many", "session-many", "session-memory", "session-file")
    async with asyncio.timeout(250):
        process = await started(folder, *rows)
        out, err = await process.communicate()

    lines = out.decode().splitlines()[-len(rows) :]
    assert process.returncode in {0, 1}, err.decode()
    assert {re.match(r"\| `([\w-]+)`", line)[1] for line in lines} == set(rows)
    for line in lines:
        assert re.search(r" to .* \| 1 \| ≤ .* \| (yes|no) \|$", line)
    assert left_of(folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_it_ends_all_that_it_has_started(folder: Path, number) -> None:
    async with asyncio.timeout(250):
        process = await started(folder, "waiters")
        while not any("openloop" in line or "polls" in line for line in left_of(folder)):
            assert process.returncode is None
            await asyncio.sleep(0.05)
        process.send_signal(number)
        await process.communicate()

    assert process.returncode != 0
    assert left_of(folder) == []


async def test_what_is_due_while_a_server_stands_still_counts_as_slow(folder: Path) -> None:
    """All of it, and not just the one GET that it stands still over."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                asked += 1
                if asked == 10:
                    time.sleep(1)  # noqa: ASYNC251, nobody is answered meanwhile
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    gets = requests.write(folder / "gets", [requests.get("/", "key")])
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answers = await output(
            *python("load.openloop", port, gets, 200, 2), log=folder / "openloop.log"
        )

    took = sorted(took for _, took in answers)
    assert len(took) == 400
    assert sum(each > 0.2 for each in took) >= 120
    assert took[-1] > 0.9


def left_of(folder: Path) -> list[str]:
    """Files of the benchmark in *folder*, and processes that were told of it."""
    return [*_command_lines(f"TMPDIR={folder}"), *map(str, folder.iterdir())]


def _command_lines(variable: str) -> list[str]:
    found = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdecimal() and variable in (each / "environ").read_text("latin-1"):
                found.append((each / "cmdline").read_text("latin-1").replace("\0", " "))
        except OSError:
            continue
    return found
