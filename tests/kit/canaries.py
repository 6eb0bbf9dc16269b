"""A pytest plugin: no secret and no token may be seen where it does not belong, in any test.

What may not be seen: whatever begins with ``canary``, the simulator's secrets, everything a
simulator has issued, session_keys too, client keys. Where it is looked for, after each test: what
it printed, what the processes of tokend printed and have in ``/proc``, what a session got that was
refused, and the journal of a machine with units. Tests that make secrets call ``release``, those
that see something new ``look_at``.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tokend.cli.simulate import AGENT_SECRET, APP_SECRET
from tokend.simulator.session import MARK

if TYPE_CHECKING:
    from collections.abc import Generator

    import aiohttp

# As the simulator names access_tokens, of which the README shows what begins like one, and
# session_keys, quoted in a URL too.
_LOOKS_SECRET = re.compile(rf"canary[\w-]*|\b92_[\w-]{{13,}}|{MARK.rstrip('+')}")

_LARGEST_REFUSAL = 64 * 1024
_BAD_REQUEST = 400
_SHOWN = 60

_released = {APP_SECRET, AGENT_SECRET}
_seen: list[tuple[str, str]] = []


def release(*values: str) -> None:
    """From now on none of *values* may be seen."""
    _released.update(value for value in values if value)


def look_at(where: str, text: str) -> None:
    """Nothing secret may be in *text*; it is searched when the test is over."""
    _seen.append((where, text))


def look_at_process(pid: int) -> None:
    """What every user of the host may see of it, and what is root's."""
    for name in ("cmdline", "environ"):
        with suppress(OSError):  # it has ended, or we are not root
            look_at(f"/proc/{pid}/{name}", Path(f"/proc/{pid}/{name}").read_text("latin-1"))


async def look_at_refusals(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """For the sessions of tests, as a middleware: who is refused gets nothing else either."""
    response = await handler(request)
    is_short = (response.content_length or _LARGEST_REFUSAL) < _LARGEST_REFUSAL
    if is_short and response.content_type.endswith("json"):
        text = await response.text("latin-1")
        if response.status >= _BAD_REQUEST or re.search(r'"errcode": ?[1-9-]', text):
            look_at(f"the answer {response.status} to {request.method} {request.url.path}", text)
    return response


def found() -> list[str]:
    """What has been seen since this was asked last."""
    hits = [
        f"{where}: ...{text[max(0, at - _SHOWN) : at + _SHOWN]!r}..."
        for where, text in _seen
        if (at := _first(text)) >= 0
    ]
    _seen.clear()
    return hits


def _first(text: str) -> int:
    """Where in *text* something secret begins; -1 if nothing does."""
    if match := _LOOKS_SECRET.search(text):
        return match.start()
    return max((text.find(value) for value in _released), default=-1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport]:
    """Fail what has shown something, once all that it started has ended."""
    report: pytest.TestReport = yield
    if report.when != "teardown":
        return report
    look_at("stdout", report.capstdout)
    look_at("stderr", report.capstderr)
    if hits := found():
        report.outcome = "failed"
        report.longrepr = "\n".join([f"{item.nodeid} has shown a secret:", *hits])
    return report
