"""The command line.

Its rules: data goes to stdout, words for people to stderr (``tokend: error: …``,
``tokend: hint: …``), exit codes are those of sysexits.h. A command imports what it needs when it
runs, because ``get`` and ``refresh`` stand in shell loops; ``get`` not even what reads command
lines (``shortcut``).
"""

from __future__ import annotations

import errno
import os
import sys
from io import TextIOWrapper

from tokend.cli import shortcut
from tokend.cli.failure import Failure

# What a disk says that stdout goes to.
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main() -> int:
    """Run the command in ``sys.argv``; the exit code."""
    sys.excepthook = _tell_crash
    if isinstance(sys.stdout, TextIOWrapper):
        # Not every terminal has the characters of what WeChat says.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = _run(sys.argv[1:])
        if sys.stdout:
            sys.stdout.flush()
    except Failure as failure:
        return _tell(failure)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stdout = None
        return os.EX_OK
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        sys.stdout = None
        return _tell(Failure(f"standard output: {error.strerror}", code=os.EX_IOERR))
    return code


def _run(arguments: list[str]) -> int:
    if asked := shortcut.read(arguments, os.environ):
        return asked()
    from tokend.cli import commands  # noqa: PLC0415, takes as long as Python's own start

    return commands.run(arguments)


def _tell_crash(_: type[BaseException], error: BaseException, *_rest: object) -> None:
    """A bug, told without the values that went into it."""
    from tokend.traces import shown  # noqa: PLC0415, of use to crashes alone

    print(shown(error), file=sys.stderr)


def _tell(failure: Failure) -> int:
    from tokend.systemd import PREFIXES, is_journal  # noqa: PLC0415, of use to failures alone

    prefix = PREFIXES["error"] if is_journal(sys.stderr) else ""
    for line in str(failure).splitlines():
        print(f"{prefix}tokend: error: {line}", file=sys.stderr)
    if failure.hint:
        print(f"{prefix}tokend: hint: {failure.hint}", file=sys.stderr)
    return failure.code
