"""A terminal with a shell in it, as somebody sees it: tmux, with a server of its own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kit.process import TOKEND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROGRAM = shutil.which("tmux")
SECONDS = 30.0
BEFORE = "what stood there before"


class Terminal:
    """*shell* is the shell's pid."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.shell = 0

    async def tmux(self, *arguments: str, **env: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(str(PROGRAM), "-S", str(self._socket), "-f", "/dev/null", *arguments),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C.UTF-8", **env},
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, arguments
        return out.decode()

    async def run(self, command: str) -> None:
        """Type it."""
        await self.tmux("send-keys", "-l", command)
        await self.tmux("send-keys", "Enter")

    async def press(self, key: str) -> None:
        await self.tmux("send-keys", key)

    async def resize(self, width: int, height: int) -> None:
        await self.tmux("resize-window", "-x", str(width), "-y", str(height))

    async def screen(self, *, colours: bool = False) -> str:
        """As far down as there is something."""
        shown = await self.tmux("capture-pane", "-p", *(["-e"] if colours else []))
        return f"{shown.rstrip()}\n"

    async def shows(self, pattern: str) -> str:
        """The screen, once it does."""
        screen = ""
        try:
            async with asyncio.timeout(SECONDS):
                while not re.search(pattern, screen, re.MULTILINE):
                    await asyncio.sleep(0.05)
                    screen = await self.screen()
        except TimeoutError:
            raise AssertionError(f"no {pattern!r} in:\n{screen}") from None
        return screen

    async def state(self) -> str:
        """Tell if it is the other screen, and if there is a cursor."""
        return (await self.tmux("display", "-p", "#{alternate_on} #{cursor_flag}")).strip()

    def child(self) -> int:
        """The pid of what runs in the shell."""
        children = Path(f"/proc/{self.shell}/task/{self.shell}/children").read_text()
        return int(children.split()[0])


@asynccontextmanager
async def terminal(folder: Path, **env: str) -> AsyncIterator[Terminal]:
    """Of a hundred columns and twenty lines. ``tokend`` is a command in it."""
    there = Terminal(folder / "tmux.sock")
    path = f"{Path(TOKEND).parent}:{os.environ['PATH']}"
    shell = "env PS1='$ ' bash --norc --noprofile"
    await there.tmux(*("new-session", "-d", "-x", "100", "-y", "20", shell), PATH=path, **env)
    try:
        there.shell = int(await there.tmux("display", "-p", "#{pane_pid}"))
        await there.run(f"clear; echo {BEFORE}")
        await there.shows(f"^{BEFORE}")
        yield there
    finally:
        await there.tmux("kill-server")
