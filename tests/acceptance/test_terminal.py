"""``tokend status --watch`` in a terminal, as somebody sees it who sits there, and on a pipe."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from kit.process import SERVING, TOKEND, one_shot, running, serving
from kit.proxy import proxy
from kit.tmux import BEFORE, PROGRAM, Terminal, terminal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Configured = Callable[..., Path]

ROW = r"^shop/access_token  fresh    \[[#-]{10}\]  1h 5\dm   1h 5\dm   0 "
SHELL = "0 1"  # its own screen, with a cursor
DRAWN = "1 0"

in_a_terminal = pytest.mark.skipif(PROGRAM is None, reason="tmux is not installed")


@pytest.fixture
async def env(configured: Configured, folder: Path) -> AsyncIterator[dict[str, str]]:
    async with serving(configured()):
        yield {"TOKEND_SOCKET": f"{folder}/tokend.sock"}


@asynccontextmanager
async def watching(folder: Path, env: dict[str, str]) -> AsyncIterator[Terminal]:
    """Until left, in a terminal that shows a table."""
    async with terminal(folder, **env) as there:
        await there.run("tokend status --watch; echo it ended with $?")
        await there.shows(ROW)
        yield there


async def ended(there: Terminal, code: int) -> str:
    """The shell's screen, which is as it was before."""
    screen = await there.shows(rf"^it ended with {code}$")
    assert screen.startswith(f"{BEFORE}\n$ tokend status --watch")
    assert "KEY" not in screen
    assert await there.state() == SHELL
    return screen


@in_a_terminal
async def test_a_refresh_is_seen_without_a_key_press_and_the_screen_is_given_back(
    folder: Path, env: dict[str, str]
) -> None:
    async with watching(folder, env) as there:
        before = await there.screen()
        assert await there.state() == DRAWN

        await one_shot("refresh", "shop/access_token", env=env)
        seen = await there.shows(ROW + r"      refreshed \ds ago")

        await there.shows(r"refreshed [3-9]s ago")
        await there.press("C-c")
        await ended(there, 130)

    assert before.splitlines()[0] == "1 key: 1 fresh"
    assert BEFORE not in before
    assert len(seen.splitlines()) == 3


@in_a_terminal
async def test_it_fits_whatever_size_the_terminal_is_given(
    folder: Path, env: dict[str, str]
) -> None:
    async with watching(folder, env) as there:
        await there.resize(44, 4)
        narrow = await there.shows(r"^shop/access_token  fresh    1h")
        await there.resize(120, 30)
        wide = await there.shows(ROW)

    assert narrow.splitlines()[1] == "KEY                STATE    REFRESH  EXPIRES"
    assert [line.split()[0] for line in wide.splitlines()] == ["1", "KEY", "shop/access_token"]


@in_a_terminal
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_and_the_screen_is_given_back(
    folder: Path, env: dict[str, str], number: signal.Signals
) -> None:
    async with watching(folder, env) as there:
        os.kill(there.child(), number)

        await ended(there, 128 + number)


@in_a_terminal
async def test_it_gives_the_screen_back_while_it_is_stopped(
    folder: Path, env: dict[str, str]
) -> None:
    async with watching(folder, env) as there:
        await there.press("C-z")
        await there.shows("Stopped")
        assert await there.state() == SHELL

        await there.run("fg")
        await there.shows(ROW)
        assert await there.state() == DRAWN


@in_a_terminal
async def test_it_says_that_tokend_is_away_and_goes_on_when_it_is_back(
    configured: Configured, folder: Path
) -> None:
    path = configured()
    env = {"TOKEND_SOCKET": f"{folder}/tokend.sock"}
    async with serving(path) as (tokend, _), watching(folder, env) as there:
        tokend.send(signal.SIGTERM)
        await tokend.ended()
        away = await there.shows(r"^\S+tokend.sock: .*; trying again$")
        async with serving(path):
            await there.shows("^1 key: 1 fresh$")
            await one_shot("refresh", "shop/access_token", env=env)
            await there.shows(ROW + r"      refreshed \ds ago")

    assert "shop/access_token  fresh" in away


@in_a_terminal
async def test_a_key_that_a_reload_brings_or_takes_away_comes_and_goes(
    configured: Configured, folder: Path
) -> None:
    """Of which there is no event, or none but that it was refreshed."""
    path = configured()
    alone = path.read_text()
    env = {"TOKEND_SOCKET": f"{folder}/tokend.sock"}
    async with serving(path), watching(folder, env) as there:
        path.write_text(f'{alone}kinds = ["access_token", "jsapi_ticket"]\n')
        await one_shot("reload", env=env)
        await there.shows("^shop/jsapi_ticket  fresh")

        path.write_text(alone)
        await one_shot("reload", env=env)
        await there.shows("^1 key: 1 fresh$")


@in_a_terminal
async def test_an_error_ends_it_with_words_on_the_shells_screen(
    configured: Configured, folder: Path
) -> None:
    """What the client may is taken away by a reload."""
    path = configured()
    alone = path.read_text()
    digest = hashlib.sha256(b"key-of-ops").hexdigest()
    client = f'[clients.ops]\nkey_sha256 = "{digest}"\napps = ["*"]\ncan = ["status"]\n'
    path.write_text(alone + client)
    (folder / "ops.key").write_text("key-of-ops")
    async with serving(path) as (tokend, _):
        url = (await tokend.said(SERVING))[1]
        env = {"TOKEND_URL": url, "TOKEND_KEY_FILE": str(folder / "ops.key")}
        async with watching(folder, env) as there:
            path.write_text(alone + client.replace("status", "read"))
            tokend.send(signal.SIGHUP)

            screen = await ended(there, 77)

    assert "tokend: error: ops may not see the status\n" in screen


@in_a_terminal
@pytest.mark.parametrize("no_color", ["", "1"])
async def test_colours_are_shown_unless_somebody_has_said_no(
    folder: Path, env: dict[str, str], no_color: str
) -> None:
    async with watching(folder, {**env, "NO_COLOR": no_color}) as there:
        screen = await there.screen(colours=True)

    assert ("\x1b[32m" in screen) == (not no_color)
    assert ("\x1b[" in screen) == (not no_color)


@in_a_terminal
async def test_a_dumb_terminal_gets_lines(folder: Path, env: dict[str, str]) -> None:
    async with terminal(folder, **env) as there:
        await there.run("TERM=dumb tokend status --watch; echo it ended with $?")
        await there.shows("^shop/access_token  fresh  ")
        await one_shot("refresh", "shop/access_token", env=env)
        await there.shows("Z  shop/access_token  refreshed in .* s, fresh$")
        assert await there.state() == SHELL
        await there.press("C-c")
        await there.shows("^it ended with 130$")


async def test_on_a_pipe_it_is_lines_of_what_is_and_then_of_what_happens(
    configured: Configured, folder: Path
) -> None:
    path = configured()
    env = {"TOKEND_SOCKET": f"{folder}/tokend.sock"}
    async with running("status", "--watch", env=env) as early:
        assert await early.ended() == 69
    async with serving(path) as (tokend, _), running("status", "--watch", env=env) as watch:
        await watch.said(re.compile("^shop/access_token  fresh", re.MULTILINE))
        await one_shot("refresh", "shop/access_token", env=env)
        await watch.said(
            re.compile(r"^\S+Z  shop/access_token  refreshed in [\d.]+ s, fresh$", re.MULTILINE)
        )
        tokend.send(signal.SIGTERM)
        await tokend.ended()
        await watch.said(re.compile(r"^tokend: .*; trying again$", re.MULTILINE))
        async with serving(path):
            await watch.said(re.compile(r"^tokend: connected, but some events are", re.MULTILINE))
        watch.send(signal.SIGINT)
        assert await watch.ended() == 130

    assert len(early.lines) == 2
    assert not [line for line in watch.lines if "\x1b" in line]


async def test_on_a_pipe_nothing_is_missed_while_the_connection_is_away(
    folder: Path, env: dict[str, str]
) -> None:
    """Though no event was there before."""
    async with proxy(folder / "tokend.sock", folder / "between.sock") as between:
        there = {"TOKEND_SOCKET": str(folder / "between.sock")}
        async with running("status", "--watch", env=there) as watch:
            await watch.said(re.compile("^shop/access_token  fresh", re.MULTILINE))
            between.cut()
            await watch.said(re.compile(r"^tokend: .*; trying again$", re.MULTILINE))
            await one_shot("refresh", "shop/access_token", env=env)
            between.mend()
            await watch.said(
                re.compile(r"^tokend: connected again\n\S+Z  shop/access_token  ref", re.MULTILINE)
            )


async def test_who_reads_no_more_lines_ends_it(env: dict[str, str]) -> None:
    shell = await asyncio.create_subprocess_shell(
        f"{TOKEND} status --watch | head -n 2",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **env},
    )
    async with asyncio.timeout(30):
        line = await shell.stdout.readline()
        await one_shot("refresh", "shop/access_token", env=env)
        out, _ = await shell.communicate()

    assert line.startswith(b"KEY")
    assert b"Traceback" not in out
