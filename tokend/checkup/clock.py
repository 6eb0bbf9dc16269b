"""If the host's clocks can be relied on."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tokend.findings import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokend.checkup.reach import Visit

_SUBJECT = "clock"
_UNWISE = timedelta(seconds=5)
_BAD = timedelta(seconds=60)

# systemd-timesyncd makes it. Without it somebody else may keep the clock, so nothing is said then.
_SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")


def examine(visits: Iterable[Visit], *, synchronized: Path = _SYNCHRONIZED) -> Iterator[Finding]:
    """The clock tokend lives by, and the wall clock against WeChat's, if WeChat told its time."""
    yield _boottime()
    told = [(visit.ahead, visit.url) for visit in visits if visit.ahead is not None]
    if told:
        yield _against_wechat(*told[0])
    if synchronized.exists():
        yield Finding(Verdict.OK, _SUBJECT, "systemd-timesyncd has synchronised the wall clock")


def _boottime() -> Finding:
    if hasattr(time, "CLOCK_BOOTTIME"):
        return Finding(Verdict.OK, _SUBJECT, "CLOCK_BOOTTIME is there; it never jumps")
    return Finding(
        Verdict.WARNING,
        _SUBJECT,
        "no CLOCK_BOOTTIME: if the machine sleeps, dead tokens look alive",
        "run tokend on Linux, or keep the machine awake",
    )


def _against_wechat(ahead: timedelta, url: str) -> Finding:
    distance = abs(ahead)
    if distance <= _UNWISE:
        text = f"the wall clock agrees with {url} within {_UNWISE.seconds} s"
        return Finding(Verdict.OK, _SUBJECT, text)
    side = "ahead of" if ahead > timedelta(0) else "behind"
    return Finding(
        Verdict.BAD if distance > _BAD else Verdict.WARNING,
        _SUBJECT,
        f"the wall clock is {distance.total_seconds():.0f} s {side} that of {url}",
        "synchronise it: timedatectl set-ntp true, or install chrony",
    )
