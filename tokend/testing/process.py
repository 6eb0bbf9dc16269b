"""One process: started, ended, and what it said last."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# tokend ends within 15 s, whatever it is doing.
_STOP_SECONDS = 20.0

_LAST_LINES = 20


class Ended(Exception):
    """A process ended, or did not begin; the message has its last lines."""


class Process:
    """``tokend`` with *arguments*. What it says is added to the file *log*."""

    def __init__(self, arguments: Sequence[str], *, log: Path, fds: Sequence[int] = ()) -> None:
        self.name = f"tokend {arguments[0]}"
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603, ourselves
                # -P: what lies in the folder of the tests is not imported.
                [sys.executable, "-P", "-m", "tokend.testing.ward", str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=fds,
                start_new_session=True,  # Ctrl-C is for the tests; fixtures are still at work then
                env=_environment(),
            )

    def check(self) -> None:
        """Raise ``Ended`` if it has."""
        code = self._popen.poll()
        if code is not None:
            raise self.trouble(f"ended with {code}")

    def trouble(self, what: str) -> Ended:
        lines = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        said = "\n".join(["and said last:", *lines]) if lines else "and said nothing"
        return Ended(f"{self.name}: {what}, {said}")

    def stop(self) -> None:
        """By SIGTERM: calls under way end first."""
        self._popen.terminate()
        try:
            self._popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise self.trouble("did not stop") from None

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait()


def _environment() -> dict[str, str]:
    """Without the service manager, if the tests run under one: tokend would call itself ready."""
    return {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
