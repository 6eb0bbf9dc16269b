"""What the log says, and what it never does, by whatever way a line gets there."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
import warnings
from typing import TYPE_CHECKING, TypeAlias

import pytest
import structlog
from kit.logged import logging_to

from tokend import traces, uncaught
from tokend.errors import StoreError
from tokend.model import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CANARY = "canary-secret-value"

Shown: TypeAlias = "Callable[[], str]"


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[io.TextIOWrapper, Terminal], ids=["pipe", "terminal"])
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shown]:
    """All that was logged so far, down to the level debug."""
    path = tmp_path / "log"
    with request.param(path.open("wb")) as stream, logging_to(stream) as outlet:

        def read() -> str:
            outlet.flush()
            return path.read_text()

        yield read


def fail(secret: Secret) -> None:
    """With a value in a local variable, in the message, in a note and in what led to it."""
    revealed = secret.reveal()
    try:
        {}[revealed]
    except KeyError as cause:
        error = ValueError(f"no such thing: {revealed}")
        error.add_note(revealed)
        raise error from cause


def fail_as_group(secret: Secret) -> None:
    try:
        fail(secret)
    except ValueError as error:
        raise ExceptionGroup(secret.reveal(), [error, OSError(2, secret.reveal())]) from None


@pytest.mark.parametrize("raising", [fail, fail_as_group], ids=["error", "group"])
def test_a_traceback_says_what_was_raised_where_and_no_value(shown: Shown, raising) -> None:
    log = structlog.get_logger("tokend.test")
    try:
        raising(Secret(CANARY))
    except (ValueError, ExceptionGroup):
        log.exception("failed", token=Secret(CANARY), deep=[Secret(CANARY)])
        logging.getLogger("library").exception("failed with %s", CANARY)

    said = shown()
    assert CANARY not in said
    assert said.count("KeyError") >= 2
    assert said.count("ValueError") >= 2
    assert "in fail" in said
    assert Secret(CANARY).fingerprint in said


def test_what_tokend_itself_raises_keeps_its_message() -> None:
    assert traces.shown(StoreError("redis: away")) == "tokend.errors.StoreError: redis: away"
    assert traces.shown(OSError(2, CANARY)) == "FileNotFoundError: No such file or directory"


def test_a_recursion_does_not_fill_the_log() -> None:
    def there() -> None:
        back()

    def back() -> None:
        there()

    with pytest.raises(RecursionError) as caught:
        there()

    assert len(traces.shown(caught.value)) < 10_000


class Forgotten:
    """Fails where nobody can be told."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return self._value

    def __del__(self) -> None:
        raise ValueError(self._value)


def in_a_thread() -> None:
    thread = threading.Thread(target=fail, args=(Secret(CANARY),))
    thread.start()
    thread.join()


def in_a_finalizer() -> None:
    Forgotten(CANARY)


def in_a_callback() -> None:
    async def work() -> None:
        asyncio.get_running_loop().call_soon(int, CANARY)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    uncaught.run(work())


def in_a_task_that_nobody_awaits() -> None:
    async def forgotten() -> None:
        fail(Secret(CANARY))

    async def work() -> None:
        task = asyncio.create_task(forgotten())
        await asyncio.wait([task])

    uncaught.run(work())


def as_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning(ResourceWarning(CANARY), ResourceWarning, __file__, 7)


def at_the_end_of_the_process() -> None:
    try:
        fail(Secret(CANARY))
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)


@pytest.mark.parametrize(
    ("happen", "event"),
    [
        pytest.param(in_a_thread, "thread_crashed", id="thread"),
        pytest.param(in_a_finalizer, "exception_ignored", id="finalizer"),
        pytest.param(in_a_callback, "asyncio_troubled", id="callback"),
        pytest.param(in_a_task_that_nobody_awaits, "asyncio_troubled", id="task"),
        pytest.param(as_a_warning, "python_warned", id="warning"),
        pytest.param(at_the_end_of_the_process, "crashed", id="end"),
    ],
)
def test_what_nobody_catches_is_in_the_log_without_values(
    shown: Shown, capfd: pytest.CaptureFixture[str], happen, event: str
) -> None:
    happen()

    printed = capfd.readouterr()
    assert event in shown()
    assert CANARY not in shown() + printed.out + printed.err


def test_asyncio_does_not_debug_whatever_the_environment_wants(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would show the arguments of a slow callback."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")

    async def is_debugging() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert not uncaught.run(is_debugging())
    assert shown() == ""


def test_logs_on_a_pipe_are_json_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as stream, logging_to(stream, level="info"):
        structlog.get_logger("tokend.test").info("token_refreshed", key="shop", advice=None)
        structlog.get_logger("tokend.test").debug("not at this level")
        logging.getLogger("redis").info("of a library, which told every step")

    (line,) = path.read_text().splitlines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "token_refreshed", "key": "shop", "level": "info"}


def test_a_line_cannot_be_forged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    hostile = '\n{"event": "forged"}\r\x1b\ud800'
    with path.open("w") as stream, logging_to(stream):
        structlog.get_logger("tokend.test").info("called", by=hostile)

    (line,) = path.read_text().splitlines()
    assert json.loads(line)["by"].startswith(hostile[:-1])
