"""All commands, each imported when it is called or listed."""

from __future__ import annotations

import os
from importlib import import_module

import click

from tokend.cli.failure import Failure

COMMANDS = {
    "serve": "tokend.cli.serve",
    "check": "tokend.cli.check",
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


def run(arguments: list[str]) -> int:
    """The exit code. Raises ``Failure``, also for what click calls one."""
    try:
        code = tokend.main(arguments, prog_name="tokend", standalone_mode=False)
    except click.UsageError as error:
        raise Failure(error.format_message(), hint=_usage(error), code=os.EX_USAGE) from None
    except click.ClickException as error:
        raise Failure(error.format_message()) from None
    except click.Abort:
        raise KeyboardInterrupt from None
    return code if isinstance(code, int) else os.EX_OK


def _usage(error: click.UsageError) -> str:
    return f"{error.ctx.command_path} --help" if error.ctx else "tokend --help"
