"""Whoever reads the log, or does not, nobody waits for them."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from kit.logged import logging_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

LINES = 3000
LINE = "x" * 999

log = structlog.get_logger("tokend.test")


@contextmanager
def pipe(*, blocking: bool = True) -> Iterator[int]:
    """The end to read from of the one that is logged to."""
    there, here = os.pipe()
    os.set_blocking(here, blocking)
    try:
        with open(here, "w") as stream, logging_to(stream):  # noqa: PTH123, a number
            yield there
    finally:
        os.close(there)


def read(fd: int, last: str) -> list[dict[str, object]]:
    """The lines that come, up to the event *last*."""
    found = b""
    while f'"event": "{last}"'.encode() not in found or not found.endswith(b"\n"):
        found += os.read(fd, 65536)
    return [json.loads(line) for line in found.splitlines()]


def test_lines_come_in_order() -> None:
    with pipe() as there:
        for number in range(1000):
            log.info("line", number=number)
        log.info("the end")

        *lines, _ = read(there, "the end")

    assert [line["number"] for line in lines] == list(range(1000))


def test_a_pipe_that_nobody_reads_makes_nobody_wait_and_what_was_dropped_is_told() -> None:
    with pipe() as there:
        for _ in range(LINES):
            log.info("line", text=LINE)

        *lines, told = read(there, "log_lines_dropped")
        log.info("the end")
        rest = read(there, "the end")

    assert 900 < len(lines) < 1100  # a mebibyte, and what fits into a pipe
    assert told["lines"] == LINES - len(lines)
    assert [line["event"] for line in rest] == ["the end"]


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    """Whoever shares a terminal or a pipe may have made it so."""
    with pipe(blocking=False) as there:
        for _ in range(500):
            log.info("line", text=LINE)
        log.info("the end")

        assert len(read(there, "the end")) == 501


def test_a_reader_that_is_gone_harms_nobody() -> None:
    with pipe() as there, Path(os.devnull).open() as nobody:
        os.dup2(nobody.fileno(), there)
        for _ in range(10):
            log.info("line")


def test_a_full_disk_harms_nobody() -> None:
    with open("/dev/full", "w") as full, logging_to(full):  # noqa: PTH123, no file
        for _ in range(10):
            log.info("line")


class Unwritable:
    def __str__(self) -> str:
        raise ValueError("canary")

    __repr__ = __str__


def test_a_line_that_cannot_be_written_down_is_dropped_without_a_word_of_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pipe() as there:
        log.info("bad", value=Unwritable())
        log.info("good")
        good, told = read(there, "log_lines_dropped")

    assert (good["event"], told["lines"]) == ("good", 1)
    assert "canary" not in capfd.readouterr().err


def test_the_end_does_not_wait_for_ever() -> None:
    with pipe():
        for _ in range(500):
            log.info("line", text=LINE)
