"""The command line.

Its rules: data goes to stdout, words for people to stderr (``tokend: error: …``,
``tokend: hint: …``), exit codes are those of sysexits.h. A command imports what it needs when it
runs, because ``get`` and ``refresh`` stand in shell loops.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from tokend.cli.failure import Failure

COMMANDS = {
    "serve": "tokend.cli.serve",
    "check": "tokend.cli.serve",
    "doctor": "tokend.cli.doctor",
    "key": "tokend.cli.key",
    "seal-key": "tokend.cli.seal_key",
    "get": "tokend.cli.ask",
    "refresh": "tokend.cli.ask",
    "status": "tokend.cli.status",
    "reload": "tokend.cli.reload",
    "simulate": "tokend.cli.simulate",
    "demo": "tokend.cli.demo",
}


class _Commands(click.Group):
    """Commands by name, each imported when it is called or listed."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[name]), name.replace("-", "_"))
        return command


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="tokend", message="tokend %(version)s")
def tokend() -> None:
    """Owns the access_token of each WeChat account and serves it to business servers.

    Try it without an account: tokend demo
    """


def main() -> int:
    """Run the command in ``sys.argv``; the exit code."""
    sys.excepthook = _tell_crash
    try:
        code = tokend.main(prog_name="tokend", standalone_mode=False)
    except click.UsageError as error:
        return _tell(Failure(error.format_message(), hint=_usage(error), code=os.EX_USAGE))
    except click.ClickException as error:
        return _tell(Failure(error.format_message()))
    except Failure as failure:
        return _tell(failure)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        sys.stdout = None
        return os.EX_OK
    return code if isinstance(code, int) else os.EX_OK


def _tell_crash(_: type[BaseException], error: BaseException, *_rest: object) -> None:
    """A bug, told without the values that went into it."""
    from tokend.traces import shown  # noqa: PLC0415, of use to crashes alone

    click.echo(shown(error), err=True)


def _usage(error: click.UsageError) -> str:
    return f"{error.ctx.command_path} --help" if error.ctx else "tokend --help"


def _tell(failure: Failure) -> int:
    from tokend.systemd import PREFIXES, is_journal  # noqa: PLC0415, of use to failures alone

    prefix = PREFIXES["error"] if is_journal(sys.stderr) else ""
    for line in str(failure).splitlines():
        click.echo(f"{prefix}tokend: error: {line}", err=True)
    if failure.hint:
        click.echo(f"{prefix}tokend: hint: {failure.hint}", err=True)
    return failure.code
