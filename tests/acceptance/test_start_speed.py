"""What a start costs, beside what does least: curl, and the import of an HTTP server.

``pytest -n 0 -m long -s tests/acceptance/test_start_speed.py`` prints the lines that README shows.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.process import TOKEND, running, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.long

ROUNDS = 15
CURL = ("curl", "--silent", "--fail", "--header", "Accept: text/plain", "--unix-socket")


def wall(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


async def start(path: Path, socket: Path) -> float:
    """Until ``/readyz`` says 200."""
    began = time.perf_counter()
    async with (
        running("serve", str(path)),
        aiohttp.ClientSession("http://a", connector=aiohttp.UnixConnector(str(socket))) as http,
    ):
        while True:
            try:
                async with http.get("/readyz") as response:
                    if response.status == 200:
                        return time.perf_counter() - began
            except aiohttp.ClientError:
                assert time.perf_counter() - began < 20
            await asyncio.sleep(0.005)


async def test_get_takes_no_more_than_six_times_what_curl_does(
    configured: Callable[..., Path], folder: Path
) -> None:
    socket = f"{folder}/tokend.sock"
    took: dict[str, list[float]] = {"curl": [], "tokend get": []}
    async with serving(configured()):
        for _ in range(ROUNDS):
            took["curl"].append(wall(*CURL, socket, "http://a/v1/apps/shop/access_token"))
            took["tokend get"].append(wall(TOKEND, "get", "--socket", socket, "shop/access_token"))

    assert ratio(took) < 6


async def test_a_restart_takes_no_more_than_three_times_the_import_of_a_server(
    configured: Callable[..., Path], folder: Path
) -> None:
    took: dict[str, list[float]] = {"import": [], "tokend serve": []}
    path = configured()
    await start(path, folder / "tokend.sock")
    for _ in range(ROUNDS):
        took["import"].append(wall(sys.executable, "-c", "import aiohttp.web"))
        (folder / "tokend.sock").unlink(missing_ok=True)
        took["tokend serve"].append(await start(path, folder / "tokend.sock"))

    assert ratio(took) < 3


def ratio(took: dict[str, list[float]]) -> float:
    """Of the second to the first."""
    medians = {name: median(walls) * 1000 for name, walls in took.items()}
    print(", ".join(f"{name} {each:.0f} ms" for name, each in medians.items()))  # noqa: T201
    least, most = medians.values()
    return most / least
