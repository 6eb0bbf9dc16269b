"""The search for secrets that goes with every test finds what is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

PLANTED = {
    "it prints a secret": "print('canary-secret')",
    "it prints a token": "print('token=92_' + 'x' * 133)",
    "it prints a session_key": "print(key_value(Random(1)))",
    "it prints a session_key in a URL": "print(quote(key_value(Random(1))))",
    "it complains of the simulator's secret": "print(simulate.APP_SECRET, file=sys.stderr)",
    "a process prints one": "await ran(f'print({simulate.APP_SECRET!r})')",
    "a process prints what a simulator issued": (
        "canaries.release('issued-ticket'); await ran('print(\"issued-\" \"ticket\")')"
    ),
    "a process has one in its command line": "await ran('import sys', simulate.APP_SECRET)",
    "a process has one in its environment": (
        "await ran(STAYS, env={'SECRET': simulate.APP_SECRET})"
    ),
    "a refusal holds one": 'await asked(401, b\'{"detail": "canary-secret"}\')',
    "an errcode comes with one": 'await asked(200, b\'{"errcode": 1, "t": "canary-secret"}\')',
}
CLEAN = {
    "it prints a word": "print('92_ is how they begin')",
    "a process prints a word": "await ran('print(1)')",
    "somebody gets what is his": 'await asked(200, b\'{"access_token": "canary-token"}\')',
}

_FILE = """
import re
import sys
from random import Random
from urllib.parse import quote
import aiohttp
from kit import canaries
from kit.process import running
from kit.upstream import http, upstream
from tokend.cli import simulate
from tokend.simulator.session import key_value

STAYS = "import signal; print('here', flush=True); signal.pause()"

async def ran(code, *arguments, env=None):
    program = (sys.executable, "-c", code, *arguments)
    async with running(program=program, env=env) as process:
        if code is STAYS:
            await process.said(re.compile("here"))
        else:
            await process.ended()

async def asked(status, body):
    answer = http(body, status=f"{status} X", headers="Content-Type: application/json\\r\\n")
    async with upstream(answer) as server:
        middlewares = [canaries.look_at_refusals]
        async with aiohttp.ClientSession(server.url, middlewares=middlewares) as session:
            async with session.get("/") as response:
                await response.read()

TESTS
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What pytest says of each test; what that prints is not for this run to see."""
    folder = tmp_path_factory.mktemp("planted")
    codes = PLANTED | CLEAN
    tests = (
        f"async def test_{number}():\n    {code}\n" for number, code in enumerate(codes.values())
    )
    (folder / "test_planted.py").write_text(_FILE.replace("TESTS", "\n".join(tests)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-pkit.canaries", "-oasyncio_mode=auto", folder],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    said = re.findall(r"^([A-Z]+) \S+::test_(\d+)\b", done.stdout, re.MULTILINE)
    return {
        name: [word for word, of in said if int(of) == number] for number, name in enumerate(codes)
    }


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(outcomes: dict[str, list[str]], name: str) -> None:
    assert outcomes[name] == ["PASSED", "ERROR"]


@pytest.mark.parametrize("name", CLEAN)
def test_what_may_be_seen_is_not_complained_of(outcomes: dict[str, list[str]], name: str) -> None:
    assert outcomes[name] == ["PASSED"]
