"""What a running tokend keeps from others on its host, and what it does without a log."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.process import START_SECONDS, TOKEND, Simulator, serving

from tokend.cli.simulate import APP_SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Configured = Callable[..., Path]

TOKEN = "/v1/apps/shop/access_token"
REFRESH = f"{TOKEN}/refresh"
NOBODY = 65534


# Memory


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


async def test_it_leaves_no_core(configured: Configured) -> None:
    path = configured()

    async with serving(path) as (tokend, _):
        limits = _proc(tokend.process.pid, "limits")
        tokend.send(signal.SIGSEGV)
        code = await tokend.ended()

    assert re.search(r"Max core file size +0 +0 ", limits)
    assert code == -signal.SIGSEGV


# Becoming somebody else closes a process too; so it is opened again, to be like one that was
# started by that user.
_AS_NOBODY = f"""
import ctypes, os, sys
from tokend import process
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
"""
_READ = f"{_AS_NOBODY}[open(place, 'rb').close() for place in sys.argv[1:]]"
_WAIT = "print('ready', flush=True); input()"
_CLOSED = f"{_AS_NOBODY}assert process.close_to_others() == []; {_WAIT}"
_OPEN = f"{_AS_NOBODY}{_WAIT}"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")


@contextmanager
def _waiting(code: str) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate(b"\n")


@as_root
@pytest.mark.parametrize("place", ["environ", "mem", "maps"])
def test_programs_of_the_same_user_do_not_get_at_its_memory(place: str) -> None:
    """As Python is they do: what is refused is refused by tokend."""
    ended = []
    for code in (_OPEN, _CLOSED):
        with _waiting(code) as pid:
            reading = [sys.executable, "-c", _READ, f"/proc/{pid}/{place}"]
            ended.append(subprocess.run(reading, capture_output=True, check=False, text=True))

    assert ended[0].returncode == 0, ended[0].stderr
    assert "PermissionError" in ended[1].stderr


@as_root
@pytest.mark.skipif(not shutil.which("gdb"), reason="needs gdb")
def test_a_debugger_of_the_same_user_is_refused() -> None:
    with _waiting(_CLOSED) as pid:
        attached = subprocess.run(
            ["gdb", "-nx", "-batch", "-p", str(pid)],  # noqa: S607, any
            user=NOBODY,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert "Operation not permitted" in attached.stderr + attached.stdout


async def test_a_daemon_that_could_not_close_itself_says_so_and_serves(
    configured: Configured,
) -> None:
    """With seccomp or without Linux: here prctl is not there."""
    path = configured()
    program = (
        "import ctypes, sys; from types import SimpleNamespace;"
        "ctypes.CDLL = lambda *_, **__: SimpleNamespace(prctl=lambda *_: -1);"
        f"sys.argv = ['tokend', 'serve', {str(path)!r}];"
        "from tokend.cli import main; sys.exit(main())"
    )
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stderr=asyncio.subprocess.PIPE
    )
    assert done.stderr
    lines = []
    async with asyncio.timeout(START_SECONDS):
        while "serving" not in (line := (await done.stderr.readline()).decode()):
            lines.append(line)
    done.terminate()
    await done.wait()

    assert any("open_to_others" in line and "PR_SET_DUMPABLE" in line for line in lines)


# Where Python would talk


async def test_no_debug_mode_of_python_makes_it_talk(
    configured: Configured, wechat: Simulator
) -> None:
    """The canaries of the kit look at what comes out."""
    path = configured(method="token")
    path.write_text(path.read_text() + '[log]\nlevel = "debug"\n')
    talkative = {"PYTHONDEVMODE": "1", "PYTHONASYNCIODEBUG": "1"}
    await wechat.weather({"cut": True}, {"body": f"<html>{APP_SECRET}"}, {"status": 500})

    async with serving(path, env=talkative) as (tokend, session):
        await tokend.said(re.compile("refresh_failed"))
        answers = [await _status(session) for _ in range(3)]
        tokend.send(signal.SIGTERM)
        code = await tokend.ended()

    assert set(answers) <= {200, 503}
    assert code == 0
    assert not any("Traceback" in line for line in tokend.lines)


async def _status(session: aiohttp.ClientSession) -> int:
    async with session.get(TOKEN) as response:
        return response.status


# Without anybody to tell


def _full_pipe() -> tuple[int, int]:
    """Nobody reads it, and not a byte more goes in."""
    there, here = os.pipe()
    os.set_blocking(here, False)
    with suppress(BlockingIOError):
        while True:
            os.write(here, b"\n" * 4096)
    with suppress(BlockingIOError):
        while True:
            os.write(here, b"\n")
    os.set_blocking(here, True)
    return there, here


def _abandoned_pipe() -> tuple[int, int]:
    there, here = os.pipe()
    os.close(there)
    return os.open(os.devnull, os.O_RDONLY), here


def _full_disk() -> tuple[int, int]:
    return os.open(os.devnull, os.O_RDONLY), os.open("/dev/full", os.O_WRONLY)


@asynccontextmanager
async def _untold(path: Path, folder: Path, log: int | None) -> AsyncIterator[_Untold]:
    """``tokend serve`` with both outputs going to *log*; None: closed."""

    def close() -> None:
        for fd in (1, 2):
            os.close(fd)

    process = await asyncio.create_subprocess_exec(
        TOKEND,
        "serve",
        str(path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=close if log is None else None,
    )
    connector = aiohttp.UnixConnector(f"{folder}/tokend.sock")
    try:
        async with aiohttp.ClientSession("http://tokend", connector=connector) as session:
            yield _Untold(process, session)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class _Untold:
    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.process = process
        self._session = session

    async def token(self) -> str:
        """Once there is one."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                with suppress(aiohttp.ClientConnectionError):
                    async with self._session.get(TOKEN) as response:
                        if response.status == 200:
                            return (await response.json())["access_token"]
                await asyncio.sleep(0.05)

    async def refresh(self) -> str:
        async with self._session.post(REFRESH, json={}) as response:
            assert response.status == 200, await response.text()
            return (await response.json())["access_token"]

    async def stop(self) -> int:
        self.process.terminate()
        async with asyncio.timeout(START_SECONDS):
            return await self.process.wait()


def _all_lines(fd: int) -> list[dict[str, object]]:
    with open(fd, "rb") as pipe:
        return [json.loads(line) for line in pipe.read().splitlines()]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_full_pipe, id="nobody reads"),
        pytest.param(_abandoned_pipe, id="reader gone"),
        pytest.param(_full_disk, id="disk full"),
        pytest.param(lambda: (None, None), id="closed"),
    ],
)
async def test_without_a_log_it_starts_serves_refreshes_and_ends(
    configured: Configured, folder: Path, wechat: Simulator, make
) -> None:
    """It even has something to say before the log begins: a secret that others can read."""
    path = configured()
    (folder / "shop.secret").chmod(0o644)
    there, here = make()

    async with _untold(path, folder, here) as tokend:
        first = await tokend.token()
        second = await tokend.refresh()
        served = await tokend.token()
        code = await tokend.stop()

    for end in (there, here):
        if end is not None:
            os.close(end)
    assert first != second == served
    assert await wechat.is_valid(served)
    assert code == 0


def test_nothing_else_gets_the_number_of_a_closed_stderr(tmp_path: Path) -> None:
    """What is written there would go into a socket, or a database."""
    code = (
        "import os, sys; from tokend import process; [os.close(fd) for fd in (0, 1, 2)];"
        "process.fill_standard_streams(); open(sys.argv[1], 'w'); os.write(2, b'lost')"
    )

    subprocess.run([sys.executable, "-c", code, tmp_path / "database"], check=True)

    assert (tmp_path / "database").read_text() == ""


async def test_a_reader_that_comes_back_reads_on(configured: Configured, folder: Path) -> None:
    there, here = os.pipe()
    fcntl.fcntl(here, fcntl.F_SETPIPE_SZ, 4096)
    async with _untold(configured(), folder, here) as tokend:
        os.close(here)
        for _ in range(50):
            await tokend.token()
            tokend.process.send_signal(signal.SIGHUP)
        reading = asyncio.create_task(asyncio.to_thread(_all_lines, there))
        await tokend.stop()
        lines = await reading

    assert "serving" in {line["event"] for line in lines}
    assert "stopping" in {line["event"] for line in lines[-3:]}
