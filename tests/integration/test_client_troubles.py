"""What happens to programs, and must not end the renewal of their tokens: the Python client."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from kit.scripted import KEY, issued, problem, scripted

from tokend.client import AsyncClient, Away, Client, NoToken, Refused, boottime, wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = 20
SOON = timedelta(seconds=0.3)

Answer = tuple[int, dict[str, Any]] | None


class Tokend:
    """The token of *generation*, polls that wait, and *report* for whoever reports one."""

    def __init__(self, report: Answer = None) -> None:
        self.generation = 1
        self.report = report
        self.client_key: str | None = None
        self.heard: list[str] = []

    def __call__(self, method: str, path: str, authorization: str | None) -> Answer:
        self.heard.append(method)
        if self.client_key is not None and authorization != f"Bearer {self.client_key}":
            return problem(401, "unauthorized")
        if method == "POST":
            return self.report
        if "after=" in path:
            return self._poll(int(path.partition("after=")[2].partition("&")[0]))
        return issued(self.generation)

    def _poll(self, known: int, /) -> Answer:
        until = time.monotonic() + SECONDS
        while self.generation == known and time.monotonic() < until:
            time.sleep(0.02)
        return issued(self.generation)


class Silent(Tokend):
    """Its polls never end."""

    def _poll(self, _: int, /) -> None:
        return None


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


# Threads


def test_a_thread_that_could_not_be_started_is_started_by_a_later_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with scripted(Silent()) as url, Client(url=url) as client:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(Away, match="can't start new thread"):
                client.token(KEY)

        assert client.token(KEY) == "92_1"


def test_a_thread_that_has_ended_is_replaced_by_a_later_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with scripted(Silent()) as url, Client(url=url, patience=SOON) as client:
        with monkeypatch.context() as patch:
            patch.setattr("tokend.client.poller.Poller.run", lambda _: None)
            with pytest.raises(Away, match="no answer from tokend yet"):
                client.token(KEY)

        assert client.token(KEY) == "92_1"


_UWSGI = """\
import ctypes, os, sys, time
from tokend.client import Client

client = Client(url=sys.argv[1])
first = client.token("shop/access_token")
# As uWSGI does: no hook of Python's hears of it. The other thread waits for tokend by then: nobody
# would ever give back in the child what it held at this moment.
time.sleep(0.5)
if child := ctypes.PyDLL(None).fork():
    sys.exit(os.waitpid(child, 0)[1] != 0)
assert client.token("shop/access_token") == first
print("forked", flush=True)
end = time.monotonic() + 20
while client.token("shop/access_token") == first and time.monotonic() < end:
    time.sleep(0.01)
os._exit(client.token("shop/access_token") == first)
"""


def test_a_child_of_a_fork_that_python_does_not_hear_of_polls_for_itself() -> None:
    tokend = Tokend()
    with (
        scripted(tokend) as url,
        subprocess.Popen(
            [sys.executable, "-c", _UWSGI, url], stdout=subprocess.PIPE, text=True
        ) as program,
    ):
        assert program.stdout
        try:
            assert program.stdout.readline() == "forked\n"
            until(lambda: len(tokend.heard) >= 4)
            tokend.generation = 2

            assert program.wait(SECONDS) == 0
        finally:
            program.kill()


def test_keys_that_cannot_be_connected_are_closed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def slow(*_: object, **__: object) -> None:
        over.wait()
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client = Client(url="http://tokend.internal:1", patience=timedelta(seconds=0.05))
    for n in range(4):
        with pytest.raises(Away):
            client.token(f"shop{n}/access_token")

    began = time.monotonic()
    client.close()
    took = time.monotonic() - began
    over.set()

    assert took < 5


@pytest.mark.parametrize("asleep", [1200, 3 * 3600])
def test_after_a_sleep_a_reader_does_not_wait_for_a_dead_connection(
    monkeypatch: pytest.MonkeyPatch, asleep: int
) -> None:
    tokend = Silent()
    slept = [0.0]
    for module in ("sync", "poller", "connection"):
        monkeypatch.setattr(
            f"tokend.client.{module}.elapsed", lambda: boottime.elapsed() + slept[0]
        )
    with scripted(tokend) as url, Client(url=url) as client:
        assert client.token(KEY) == "92_1"
        until(lambda: len(tokend.heard) == 2)
        tokend.generation = 2
        slept[0] = asleep
        began = time.monotonic()

        assert client.token(KEY) == "92_2"
        assert time.monotonic() - began < 3


async def test_after_a_sleep_readers_that_come_one_by_one_give_up_one_dead_connection() -> None:
    class Sleeper(AsyncClient):
        _elapsed = staticmethod(lambda: boottime.elapsed() + slept)

    async def read(turn: int) -> str:
        for _ in range(turn):
            await asyncio.sleep(0)
        return await client.token(KEY)

    slept = 0.0
    tokend = Silent()
    with scripted(tokend) as url:
        async with Sleeper(url=url) as client:
            assert await client.token(KEY) == "92_1"
            async with asyncio.timeout(SECONDS):
                while len(tokend.heard) < 2:
                    await asyncio.sleep(0.01)
            tokend.generation, slept = 2, 1200.0

            assert {*await asyncio.gather(*map(read, range(10)))} == {"92_2"}
            assert len(tokend.heard) < 6


def threads() -> int:
    return sum(thread.name.startswith("tokend ") for thread in threading.enumerate())


async def test_keys_that_are_refused_and_read_no_more_are_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokend.client.watch._REFUSED_IDLE_SECONDS", 0.2)
    keys = [f"tenant{n}/access_token" for n in range(10)]
    with scripted(lambda *_: problem(404, "unknown_key")) as url, Client(url=url) as client:
        for key in keys:
            with pytest.raises(Refused):
                client.token(key)
        until(lambda: threads() == 0)
        with pytest.raises(Refused):
            client.token(keys[0])

        async with AsyncClient(url=url) as aio:
            for key in keys:
                with pytest.raises(Refused):
                    await aio.token(key)
            async with asyncio.timeout(SECONDS):
                while any(task.get_name().startswith("tokend ") for task in asyncio.all_tasks()):
                    await asyncio.sleep(0.01)
            with pytest.raises(Refused):
                await aio.token(keys[0])


@pytest.mark.parametrize("is_away", [False, True])
def test_a_loop_begins_with_what_tokend_says_of_an_old_token(is_away: bool) -> None:  # noqa: FBT001
    class Later(AsyncClient):
        _elapsed = staticmethod(lambda: boottime.elapsed() + later)

    later, tokend = 0, Silent()
    with scripted(tokend) as url:
        client = Later(url=url)
        assert asyncio.run(client.token(KEY)) == "92_1"
        tokend.generation = 2
        assert asyncio.run(client.token(KEY)) == "92_1"
        later = 61
        if not is_away:
            assert asyncio.run(client.token(KEY)) == "92_2"
    if is_away:
        assert asyncio.run(client.token(KEY)) == "92_1"


# Logs


@pytest.fixture
def quiet_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokend.client.watch._QUIET_SECONDS", 0.1)


@pytest.mark.usefixtures("quiet_for")
def test_a_log_that_asks_for_a_token_itself_stops_nothing(request: pytest.FixtureRequest) -> None:
    """To send its alert by. Who logs holds the lock of its handler."""
    asked: list[object] = []

    class Alert(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            try:
                client.token(KEY)
            except NoToken as error:
                asked.append(error)

    handler = Alert()
    log = logging.getLogger()
    log.addHandler(handler)
    request.addfinalizer(lambda: log.removeHandler(handler))
    with Client(url="http://127.0.0.1:1", patience=SOON) as client:
        app = [threading.Thread(target=log.error, args=["x"], daemon=True) for _ in range(20)]
        for each in app:
            each.start()
        until(lambda: len(asked) >= len(app))


@pytest.mark.usefixtures("quiet_for")
async def test_a_log_that_fails_stops_nothing(request: pytest.FixtureRequest) -> None:
    failed: list[str] = []

    def fail(record: logging.LogRecord) -> bool:
        failed.append(record.getMessage())
        raise LookupError

    log = logging.getLogger("tokend.client")
    log.addFilter(fail)
    request.addfinalizer(lambda: log.removeFilter(fail))
    answer: list[Answer] = [problem(503, "not_ready")]

    def script(_: str, path: str, __: str | None) -> Answer:
        return None if "after=" in path else answer[0]

    with scripted(script) as url:
        for kind in (Client, AsyncClient):
            answer[0] = problem(503, "not_ready")
            failed.clear()
            client = kind(url=url, patience=timedelta(seconds=SECONDS))
            if isinstance(client, Client):
                reading = asyncio.create_task(asyncio.to_thread(client.token, KEY))
            else:
                reading = asyncio.create_task(client.token(KEY))
            async with asyncio.timeout(SECONDS):
                while not failed:
                    await asyncio.sleep(0.01)
                answer[0] = issued(1)
                assert await reading == "92_1"
            if isinstance(client, Client):
                client.close()
            else:
                await client.aclose()


# Reports


@pytest.mark.parametrize(
    ("report", "kind"), [(None, Away), (problem(403, "forbidden"), Refused)], ids=["away", "no"]
)
async def test_who_waits_for_a_report_shares_what_comes_of_it(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    report: Answer,
    kind: type[Exception],
) -> None:
    monkeypatch.setattr(wire, "_REPORT_SECONDS", 0.5)
    monkeypatch.setattr("tokend.client.line.CONNECT_SECONDS", 0.5)
    tokend = Silent(report)
    with scripted(tokend) as url:
        with Client(url=url) as client:
            token = await asyncio.to_thread(client.token, KEY)
            began = time.monotonic()
            outcomes = await asyncio.gather(
                *(asyncio.to_thread(client.rejected, token) for _ in range(8)),
                return_exceptions=True,
            )
            # Nor is it made again at once, nor said again.
            assert client.call(KEY, lambda _: {"errcode": 40001}) == {"errcode": 40001}
        async with AsyncClient(url=url) as aio:
            token = await aio.token(KEY)
            outcomes += await asyncio.gather(
                *(aio.rejected(token) for _ in range(8)), return_exceptions=True
            )

    assert [type(outcome) for outcome in outcomes] == [kind] * 16
    assert len({id(outcome) for outcome in outcomes}) == 16
    assert tokend.heard.count("POST") == 2
    assert [line.split()[0] for line in caplog.messages] == ["token_not_replaced"] * 2
    assert time.monotonic() - began < 4


def test_a_signal_handler_may_report_while_its_thread_does() -> None:
    outcomes: list[object] = []
    reports: list[threading.Event] = []
    main = threading.main_thread()

    def script(method: str, path: str, _: str | None) -> Answer:
        if method == "POST":
            reports.append(threading.Event())
            if len(reports) == 1:
                assert main.ident
                signal.pthread_kill(main.ident, signal.SIGUSR1)
                reports[0].wait(SECONDS)
            return issued(2)
        return None if "after=" in path else issued(1)

    def handle(*_: object) -> None:
        outcomes.append(client.rejected(token))
        reports[0].set()

    with scripted(script) as url, Client(url=url) as client:
        token = client.token(KEY)
        before = signal.signal(signal.SIGUSR1, handle)
        try:
            outcomes.append(client.rejected(token))
        finally:
            signal.signal(signal.SIGUSR1, before)

    assert outcomes == ["92_2", "92_2"]


# Client keys


async def test_a_client_key_that_is_replaced_in_its_file_is_not_noticed(tmp_path: Path) -> None:
    """Whichever is first, the file or tokend."""
    tokend = Tokend(issued(2))
    tokend.client_key = "old"
    file = tmp_path / "key"
    file.write_text("old")
    with scripted(tokend) as url, Client(url=url, key_file=file) as client:
        token = await asyncio.to_thread(client.token, KEY)
        async with AsyncClient(url=url, key_file=file) as aio:
            assert await aio.token(KEY) == token
            file.write_text("new")
            tokend.client_key = "new"

            assert await asyncio.to_thread(client.rejected, token) == "92_2"
            assert await aio.rejected(token) == "92_2"


@pytest.mark.parametrize("report", [None, (200, {**issued(2)[1], "app": "other"})])
async def test_a_traceback_with_locals_shows_no_key_and_no_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, report: Answer
) -> None:
    monkeypatch.setattr(wire, "_REPORT_SECONDS", 0.3)
    monkeypatch.setattr("tokend.client.line.CONNECT_SECONDS", 0.3)
    file = tmp_path / "key"
    file.write_text("canary-key")

    def shown(error: BaseException) -> str:
        """From the client's first frame on."""
        assert error.__traceback__
        error = error.with_traceback(error.__traceback__.tb_next)
        how = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join(how.format())

    with scripted(Silent(report)) as url:
        with Client(url=url, key_file=file) as client:
            token = await asyncio.to_thread(client.token, KEY)
            with pytest.raises(Away) as by_thread:
                client.rejected(token)
        async with AsyncClient(url=url, key_file=file) as aio:
            token = await aio.token(KEY)
            with pytest.raises(Away) as by_task:
                await aio.rejected(token)

    for caught in (by_thread, by_task):
        text = shown(caught.value)
        assert "canary" not in text
        assert "92_" not in text
