"""``tokend doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tokend import logs, uncaught
from tokend.checkup.round import examine
from tokend.cli import configuration
from tokend.cli.language import spoken
from tokend.cli.words import plain
from tokend.clock import SystemClock
from tokend.findings import Finding, Verdict, shortened

if TYPE_CHECKING:
    from pathlib import Path

_COLOURS = {Verdict.OK: None, Verdict.WARNING: "yellow", Verdict.BAD: "red"}
_VERDICT_WIDTH = max(map(len, Verdict))


@click.command
@configuration.argument
@click.option("--json", "as_json", is_flag=True, help="A list of findings, for programs.")
def doctor(path: Path, *, as_json: bool) -> int:
    """Check the set-up that the configuration file CONFIG describes, and say what to do.

    It needs no running tokend and disturbs none. WeChat is asked for the current token of each
    account of method stable_token, which changes nothing; other accounts are not asked, nor more
    than a hundred. The exit code is 1 if anything is bad.
    """
    logs.configure("error")
    findings = uncaught.run(examine(path, configuration.load(path), SystemClock()))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.subject) for finding in findings)
        for finding in shortened(findings):
            _tell(finding, width)
    return int(any(finding.verdict is Verdict.BAD for finding in findings))


def _tell(finding: Finding, width: int) -> None:
    """On one line, with the advice under it. Colours get no further than a terminal."""
    verdict = click.style(
        finding.verdict.ljust(_VERDICT_WIDTH), fg=_COLOURS[finding.verdict], reset=True
    )
    click.echo(f"{verdict}  {finding.subject:<{width}}  {plain(finding.text)}")
    if advice := spoken(finding.advice, finding.advice_zh):
        click.echo(" " * (_VERDICT_WIDTH + 2 + width + 2) + plain(advice))
