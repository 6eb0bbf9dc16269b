"""The file of the audit trail, on disks as they are."""

from __future__ import annotations

import json
import os
import resource
import stat
import threading
import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tokend.audit import file as audit_file
from tokend.audit.file import AuditFile

if TYPE_CHECKING:
    from pathlib import Path


def written(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def write(file: AuditFile, *numbers: int) -> None:
    """And wait for the thread to have done so."""
    for number in numbers:
        file.write(str(number))
    file._waiting.join()  # noqa: SLF001  # nobody else needs to know


def test_lines_are_appended_to_a_file_of_our_own(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.touch(mode=0o600)
    path.write_text("0\n")
    other = tmp_path / "new.log"

    for each in (path, other):
        file = AuditFile(str(each))
        with file.running():
            file.write("1")

    assert written(path) == [0, 1]
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


def test_after_a_move_lines_go_to_the_new_file_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = AuditFile(str(path))
    with file.running():
        write(file, 1)
        path.rename(tmp_path / "audit.log.1")
        write(file, 2)
        file.move(str(path))
        write(file, 3)

    assert written(tmp_path / "audit.log.1") == [1, 2]
    assert written(path) == [3]


@pytest.mark.parametrize("bad", ["/dev/full", "/", "/nowhere/audit.log", "fifo"])
def test_what_cannot_be_written_is_told_once_and_stops_nobody(tmp_path: Path, bad: str) -> None:
    if bad == "fifo":
        os.mkfifo(tmp_path / bad)
        bad = str(tmp_path / bad)
    file = AuditFile(bad)

    with capture_logs() as logs, file.running():
        write(file, 1, 2, 3)

    assert [line["event"] for line in logs] == ["audit_not_written"]
    assert logs[0]["file"] == bad
    assert logs[0]["error"]


def test_a_file_that_is_mended_says_how_much_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "later" / "audit.log"
    file = AuditFile(str(path))
    with capture_logs() as logs, file.running():
        write(file, 1, 2, 3)
        path.parent.mkdir()
        write(file, 4, 5)

    assert written(path) == [4, {"what": "lost", "times": 3}, 5]
    assert [line["event"] for line in logs] == ["audit_not_written", "audit_written_again"]
    assert logs[1]["lost"] == 3


def test_a_line_that_a_full_disk_has_torn_spoils_no_other(tmp_path: Path) -> None:
    """A limit on the size of files tears a write as a full disk does."""
    path = tmp_path / "audit.log"
    file = AuditFile(str(path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with capture_logs(), file.running():
        write(file, 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
        try:
            write(file, 22222)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        write(file, 3)

    assert path.read_text().splitlines() == ["1", "22", "3", '{"what": "lost", "times": 1}']


def test_a_disk_that_hangs_holds_up_nobody_and_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening hangs, as on a network file system whose server is away."""
    path, back = tmp_path / "audit.log", threading.Event()
    real = os.open

    def hanging(*arguments: object, **more: object) -> int:
        back.wait()
        return real(*arguments, **more)

    monkeypatch.setattr(audit_file.os, "open", hanging)
    file = AuditFile(str(path))
    with capture_logs(), file.running():
        began = time.monotonic()
        for number in range(50_000):
            file.write(str(number))
        took = time.monotonic() - began
        back.set()
        write(file, 1)

    lines = written(path)
    assert took < 5
    (lost,) = [line["times"] for line in lines if isinstance(line, dict)]
    assert lost + len(lines) - 1 == 50_001
    assert lost > 30_000


def test_what_is_lost_while_that_is_being_said_is_said_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.log"
    real = os.write

    def crowded(fd: int, content: bytes) -> int:
        """Lines come meanwhile, more than may wait."""
        if content in {b"0\n", b'{"what": "lost", "times": 1}\n'}:
            file.write("1")
            file.write("2")
        return real(fd, content)

    monkeypatch.setattr(audit_file, "_MOST_WAITING", 1)
    monkeypatch.setattr(audit_file.os, "write", crowded)
    file = AuditFile(str(path))
    with capture_logs(), file.running():
        write(file, 0)

    lost = [line["times"] for line in written(path) if isinstance(line, dict)]
    assert lost == [1, 2]


def test_without_a_path_nothing_is_kept(tmp_path: Path) -> None:
    file = AuditFile("")
    with file.running():
        file.write("1")

    assert list(tmp_path.iterdir()) == []
