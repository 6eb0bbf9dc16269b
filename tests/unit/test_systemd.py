"""What systemd is told and hands over, with a socket in its place."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tokend.errors import UpstreamRefused
from tokend.model import State, Status, TokenKey
from tokend.summary import Summary
from tokend.systemd import Systemd, is_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, folder: Path) -> Iterator[socket.socket]:
    """Where systemd would listen; its address is in NOTIFY_SOCKET's form in ``address``."""
    name = "\0tokend-test-" + folder.name if request.param == "abstract" else f"{folder}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name)
        listening.setblocking(False)  # noqa: FBT003, its only parameter
        yield listening


def address(manager: socket.socket) -> str:
    name = manager.getsockname()
    return f"@{name[1:].decode()}" if isinstance(name, bytes) else name


def heard(manager: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_systemd_hears_how_tokend_is(manager: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": address(manager)}
    systemd = Systemd(environ)

    systemd.status("1 key:\n1 fresh")
    systemd.ready()
    systemd.status("1 key:\n1 fresh")
    systemd.alive()
    systemd.stopping()

    assert heard(manager) == ["STATUS=1 key: 1 fresh", "READY=1", "WATCHDOG=1", "STOPPING=1"]
    assert environ == {}


def test_systemd_hears_when_a_reload_began_and_that_it_is_over(manager: socket.socket) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": address(manager)})
    before = time.monotonic_ns() // 1000

    with pytest.raises(ZeroDivisionError), systemd.reloading():
        raise ZeroDivisionError

    begun, over = heard(manager)
    reloading, _, when = begun.partition("\nMONOTONIC_USEC=")
    assert (reloading, over) == ("RELOADING=1", "READY=1")
    assert before <= int(when) <= time.monotonic_ns() // 1000


def test_a_long_status_fits_into_what_systemd_reads(manager: socket.socket) -> None:
    Systemd({"NOTIFY_SOCKET": address(manager)}).status("x" * 100_000)

    assert 1000 < len(heard(manager)[0]) < 4096


@pytest.mark.parametrize("where", ["", "/nowhere/notify", "@nobody-listens-here", "/" + "x" * 200])
def test_a_systemd_that_does_not_listen_harms_nobody(where: str) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": where})

    with capture_logs() as events:
        systemd.ready()
        systemd.alive()

    assert [event["event"] for event in events] == ["systemd_does_not_listen"] * bool(where)


def test_a_systemd_that_does_not_read_does_not_block(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"{folder}/notify")
        systemd = Systemd({"NOTIFY_SOCKET": f"{folder}/notify"})

        with capture_logs() as events:
            for _ in range(1000):
                systemd.alive()

    assert [event["event"] for event in events] == ["systemd_does_not_listen"]


# What a process does to which systemd has passed a socket. In this one something else is number 3.
PASSED = """
import os, sys
from tokend.systemd import Systemd

os.dup2(int(sys.argv[1]), 3)
environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "tokend.socket"}
try:
    (taken,) = Systemd(environ).sockets
    print(taken.getsockname()[1], taken.fileno(), taken.get_inheritable(), environ)
except ValueError as error:
    print(error)
"""


def told_with(passed: socket.socket) -> str:
    """What it says of it."""
    number = passed.fileno()
    command = [sys.executable, "-c", PASSED, str(number)]
    done = subprocess.run(command, pass_fds=[number], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_sockets_that_systemd_holds_are_taken_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert told_with(listening) == f"{listening.getsockname()[1]} 3 False {{}}"


@pytest.mark.parametrize(
    ("pid", "number"),
    [
        pytest.param("1", "1", id="those of another process"),
        pytest.param(str(os.getpid()), "", id="none"),
        pytest.param(str(os.getpid()), "many", id="no number"),
        pytest.param("", "1", id="nobody's"),
    ],
)
def test_sockets_that_are_not_for_this_process_are_left_alone(pid: str, number: str) -> None:
    assert Systemd({"LISTEN_PID": pid, "LISTEN_FDS": number}).sockets == ()


def test_what_is_no_listening_socket_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        told = told_with(datagrams)

    assert told == "LISTEN_FDS: file descriptor 3: not a listening stream socket"


def test_only_the_journal_gets_priorities(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (folder / "journal").open("w") as journal, (folder / "file").open("w") as file:
        status = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")

        assert is_journal(journal)
        assert not is_journal(file)


# The line in systemctl status


def key(name: str, state: State, *, minutes: int = 60, error: Exception | None = None) -> Status:
    return Status(
        key=TokenKey(app=name, appid="wx0123456789abcdef", kind="access_token"),
        state=state,
        token=None,
        expires_in=timedelta(0),
        refreshing=False,
        next_refresh_in=timedelta(minutes=minutes),
        failures=1 if error else 0,
        error=error,
    )


REFUSED = UpstreamRefused(40125, "invalid appsecret", advice="mend it")


@pytest.mark.parametrize(
    ("statuses", "mistakes", "store_trouble", "line"),
    [
        pytest.param(
            [key("shop", State.FRESH)],
            [],
            None,
            "1 key: 1 fresh; next refresh shop/access_token at 09:00:00Z",
            id="one key",
        ),
        pytest.param(
            [key("shop", State.FRESH), key("blog", State.STALE, minutes=2), key("a", State.FRESH)],
            [],
            None,
            "3 keys: 2 fresh, 1 stale; next refresh blog/access_token at 08:02:00Z",
            id="some keys",
        ),
        pytest.param(
            [key("shop", State.EXPIRED, error=REFUSED), key("blog", State.MISSING, error=REFUSED)],
            [],
            None,
            f"2 keys: 1 expired, 1 missing; failing: shop/access_token, {REFUSED} (and 1 more); "
            "next refresh shop/access_token at 09:00:00Z",
            id="keys that fail",
        ),
        pytest.param(
            [],
            ["apps.shop.appid: wx0: no", "log.level: no"],
            "redis: Connection refused",
            "configuration not reloaded: apps.shop.appid: wx0: no (and 1 more); "
            "store: redis: Connection refused; no keys",
            id="trouble",
        ),
    ],
)
def test_one_line_says_what_needs_somebody_and_what_comes_next(
    statuses: list[Status], mistakes: list[str], store_trouble: str | None, line: str
) -> None:
    now = datetime(2026, 11, 20, 8, tzinfo=UTC)
    summary = Summary()

    for status in statuses:
        summary.add(status)

    assert summary.line(mistakes=mistakes, store_trouble=store_trouble, now=now) == line
