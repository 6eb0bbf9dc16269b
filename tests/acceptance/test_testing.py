"""tokend.testing: the kit that tests of other programs use."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen
from uuid import uuid4

import pytest
from kit.process import TOKEND

from tokend.client import AsyncClient, Away, Client, UserBlocked
from tokend.testing import AWAY, BUSY, Ended, Fault, Tokend, refusal, running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tokend.testing.plugin"]

KEY = "shop/access_token"
SOON = timedelta(seconds=0.1)

_SHOP_AND_ROBOT = """\
[apps.mall]
appid = "wx0123456789abcdef"
secret_file = "shop.secret"
kinds = ["access_token", "jsapi_ticket"]
[apps.robot]
type = "wecom"
corpid = "ww0123456789abcdef"
agentid = 1000002
secret_file = "robot.secret"
"""

_TESTS = """\
pytest_plugins = ["tokend.testing.plugin"]

used = set()


def fresh(tokend):
    tokend.client.token("shop/access_token")
    assert tokend.url not in used
    used.add(tokend.url)


def test_first(tokend):
    fresh(tokend)


def test_second(tokend):
    fresh(tokend)


def test_third(tokend):
    fresh(tokend)
    assert tokend.wechat.calls("stable_token") == 2, repr(tokend.client.token("shop/access_token"))
"""

_SESSION = """\
import pytest
from tokend.testing import running

pytest_plugins = ["tokend.testing.plugin"]


@pytest.fixture(scope="session")
def tokend():
    with running() as running_tokend:
        yield running_tokend


def test_first(tokend, used=[]):
    used.append(tokend.url)


def test_second(tokend):
    assert tokend.url in test_first.__defaults__[0]
"""

_BAD_END = """\
import pytest

pytest_plugins = ["tokend.testing.plugin"]


@pytest.fixture
def other():
    yield
    raise RuntimeError("a fixture of the program's")


def test_first(other, tokend):
    pass


def test_second():
    pass
"""

_HANGING = """\
import os, time

pytest_plugins = ["tokend.testing.plugin"]


def test_hangs(tokend):
    if not os.fork():
        os.execlp("sleep", "sleep", "60")
    if not os.fork():
        time.sleep(60)
        os._exit(0)
    open("hanging", "w").close()
    time.sleep(60)
"""

_UNITTEST = """\
import unittest
from tokend.testing import running


class Tests(unittest.TestCase):
    def setUp(self):
        self.tokend = self.enterContext(running())

    def test_it(self):
        self.assertTrue(self.tokend.client.token("shop/access_token"))


unittest.main()
"""


def call(tokend: Tokend, token: str) -> dict[str, object]:
    url = f"{tokend.wechat.url}/cgi-bin/message/custom/send?access_token={token}"
    return json.loads(fetch(url, b"{}"))


def fetch(url: str, body: bytes | None = None) -> bytes:
    with urlopen(url, body, timeout=10) as answer:  # noqa: S310, ours
        return answer.read()


def greet(tokend: Tokend, key: str = KEY) -> object:
    return tokend.client.call(key, lambda token: call(tokend, token))["errcode"]


# What happens to tokens, WeChat and tokend


def test_tokens_that_somebody_else_replaced_are_rejected_at_once_and_made_good(tokend) -> None:
    for _ in range(3):
        tokend.wechat.rotate()
        assert greet(tokend) == 0

    assert tokend.wechat.calls("custom_send") == 6


def test_an_outage_of_wechats_lasts_as_long_as_its_block(tokend) -> None:
    with tokend.wechat.weather(BUSY):
        assert greet(tokend) == -1
        with tokend.wechat.weather(refusal(45015, endpoint="custom_send")):
            assert greet(tokend) == 45015
        assert greet(tokend) == -1
    with tokend.wechat.weather(AWAY), pytest.raises(OSError, match=r"[Cc]losed|reset"):
        greet(tokend)

    assert greet(tokend) == 0
    assert tokend.wechat.calls("custom_send") == 1


def test_an_outage_ends_with_a_test_that_fails_in_it(tokend) -> None:
    with pytest.raises(AssertionError), tokend.wechat.weather(BUSY):
        raise AssertionError

    assert greet(tokend) == 0


def test_single_faults_strike_once_each_and_in_order(tokend) -> None:
    tokend.wechat.next(refusal(45009), Fault(body=b"\xff", endpoint="custom_send"))

    assert greet(tokend) == 45009
    with pytest.raises(UnicodeDecodeError):
        greet(tokend)
    assert greet(tokend) == 0


def test_a_fault_that_cannot_be_is_refused(tokend) -> None:
    with pytest.raises(ValueError, match="endpoint: must be one of"):
        tokend.wechat.next(Fault(endpoint="nowhere"))


def test_calls_of_an_endpoint_that_is_not_simulated_are_not_none(tokend) -> None:
    with pytest.raises(ValueError, match=r"custom/send: not simulated; there are .*custom_send"):
        tokend.wechat.calls("custom/send")


def test_the_phone_of_a_user_logs_in_signs_and_shows_its_number(tokend) -> None:
    shop, ann = tokend.client.logins("shop"), tokend.wechat.phone("ann")
    begun, paid = shop.login(ann.login()), ann.pay()
    sent = ann.profile()

    assert shop.verify(begun.session, raw_data=sent["rawData"], signature=sent["signature"])
    assert begun.openid == ann.openid != tokend.wechat.phone("bob").openid
    assert shop.phone_number(ann.show_number()).number.startswith("199")
    assert shop.paid_unionid(ann.openid, transaction_id=paid["transaction_id"]) == ann.unionid


def test_a_session_key_may_end_and_nothing_can_be_encrypted_then(tokend) -> None:
    ann = tokend.wechat.phone("ann")
    with pytest.raises(ValueError, match="log in first"):
        ann.profile()
    ann.login()
    assert ann.check_session()

    ann.end_session()

    assert not ann.check_session()
    with pytest.raises(ValueError, match="log in first"):
        ann.profile()


def test_a_user_may_be_blocked(tokend) -> None:
    ann, bob = tokend.wechat.phone("ann"), tokend.wechat.phone("bob")
    ann.block()

    assert tokend.client.login("shop", bob.login()).new
    with pytest.raises(UserBlocked):
        tokend.client.login("shop", ann.login())


def test_a_user_may_have_any_name_but_none(tokend) -> None:
    names = ["\u5f20\u4e09", "a/b?c#d %2F..", "..", "x" * 500]
    phones = [tokend.wechat.phone(name) for name in names]

    logins = [tokend.client.login("shop", phone.login()) for phone in phones]

    assert len({login.openid for login in logins}) == len(names)
    assert [json.loads(phone.profile()["rawData"])["nickName"] for phone in phones] == names
    with pytest.raises(ValueError, match="needs a name"):
        tokend.wechat.phone("")


def test_a_tokend_that_was_stopped_is_away_and_comes_back_as_it_was(tokend) -> None:
    before, log = tokend.client.token(KEY), tokend.log
    tokend.stop()

    assert tokend.client.token(KEY) == before
    with pytest.raises(OSError, match="refused"):
        fetch(f"{tokend.url}/healthz")
    with Client(socket=tokend.socket, patience=SOON) as another, pytest.raises(Away):
        another.token(KEY)

    tokend.start()

    assert json.loads(fetch(f"{tokend.url}/v1/apps/{KEY}"))["access_token"] == before
    with Client(socket=tokend.socket) as another:
        assert another.token(KEY) == before
    assert tokend.wechat.calls("stable_token") == 1
    assert tokend.log.startswith(log)


def test_a_tokend_that_is_stopped_ends_as_by_systemctl_and_its_port_is_not_free(tokend) -> None:
    tokend.stop()

    assert '"event": "stopping"' in tokend.log
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", int(tokend.url.rpartition(":")[2])))


def test_what_runs_is_not_started_and_what_does_not_is_not_stopped(tokend) -> None:
    with pytest.raises(RuntimeError, match="runs already"):
        tokend.start()
    tokend.stop()
    with pytest.raises(RuntimeError, match="does not run"):
        tokend.stop()


def test_its_environment_leads_another_process_to_it_whatever_is_set(tokend) -> None:
    elsewhere = {"TOKEND_URL": "http://127.0.0.1:1", "TOKEND_KEY_FILE": "/nowhere"}
    asked = subprocess.run(
        [TOKEND, "get", KEY],
        env={**os.environ, **elsewhere, **tokend.env},
        check=True,
        capture_output=True,
        timeout=20,
    )

    assert asked.stdout.decode().strip() == tokend.client.token(KEY)


async def test_a_test_with_an_event_loop_uses_it_as_it_is(tokend) -> None:
    async with AsyncClient(socket=tokend.socket) as client:
        dead = await client.token(KEY)
        tokend.wechat.rotate()
        token = await client.rejected(dead)
        tokend.stop()
        tokend.start()
        assert (await asyncio.to_thread(call, tokend, token))["errcode"] == 0

    assert token != dead


def test_other_apps_and_kinds_are_a_matter_of_configuration() -> None:
    with running(_SHOP_AND_ROBOT) as tokend:
        assert tokend.client.token("mall/jsapi_ticket")
        assert tokend.client.token("robot/access_token")
        tokend.wechat.rotate()
        assert [greet(tokend, f"{app}/access_token") for app in ("mall", "robot")] == [0, 0]
        assert tokend.wechat.calls("custom_send") == 4


# What is left of it


def test_a_tokend_that_does_not_start_says_why_and_leaves_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    mistaken = _SHOP_AND_ROBOT.replace("jsapi_ticket", "jsapi_tickets")

    with (
        marked(monkeypatch) as mark,
        pytest.raises(
            Ended, match=r"(?s)tokend serve: ended with 78.*apps\.mall.*kinds.*wx_card_ticket"
        ),
        running(mistaken),
    ):
        pass

    assert running_for(mark) == []
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    never_ready = _SHOP_AND_ROBOT.replace("wx0123456789abcdef", "wxffffffffffffffff")
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    interrupt = threading.Timer(2, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    interrupt.start()
    try:
        with marked(monkeypatch) as mark, pytest.raises(KeyboardInterrupt), running(never_ready):
            pass
    finally:
        interrupt.cancel()
        signal.signal(signal.SIGUSR1, before)

    assert running_for(mark) == []
    assert list(tmp_path.iterdir()) == []


def test_a_service_manager_of_the_tests_hears_nothing(folder, monkeypatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{folder}/notify")
        monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/notify")
        with running():
            manager.settimeout(0)
            with pytest.raises(BlockingIOError):
                manager.recv(100)


def test_each_test_has_its_own_and_a_failure_shows_what_tokend_said(tmp_path, monkeypatch) -> None:
    # Neither the tests' modules nor what a program was told of another tokend matter.
    (tmp_path / "click.py").write_text("raise AssertionError")
    monkeypatch.setenv("TOKEND_URL", "http://127.0.0.1:1")
    with marked(monkeypatch) as mark:
        ran = run_pytest(tmp_path, _TESTS)

    assert "1 failed, 2 passed" in ran
    assert ran.count('"event": "serving"') == 1
    assert "<token of shop/access_token, generation" in ran
    assert "92_" not in ran
    assert running_for(mark) == []


def test_a_wider_scope_takes_three_lines(tmp_path) -> None:
    assert "2 passed" in run_pytest(tmp_path, _SESSION)


def test_a_failure_after_its_end_is_one_failure_and_the_tests_go_on(tmp_path) -> None:
    ran = run_pytest(tmp_path, _BAD_END)

    assert "2 passed, 1 error" in ran
    assert "a fixture of the program's" in ran


def test_workers_of_xdist_have_their_own(tmp_path, monkeypatch) -> None:
    with marked(monkeypatch) as mark:
        ran = run_pytest(tmp_path, _TESTS, "-n", "2")

    assert "1 failed, 2 passed" in ran
    assert running_for(mark) == []


def test_unittest_enters_it(tmp_path, monkeypatch) -> None:
    with marked(monkeypatch) as mark:
        subprocess.run([sys.executable, "-c", _UNITTEST], cwd=tmp_path, check=True, timeout=60)

    assert running_for(mark) == []


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_nothing_runs_on_when_pytest_is(tmp_path, monkeypatch, end) -> None:
    (tmp_path / "test_it.py").write_text(_HANGING)
    with marked(monkeypatch) as mark, hanging(tmp_path) as tests:
        assert len(running_for(mark)) == 2

        tests.send_signal(end)
        tests.wait(timeout=20)

        # The children that the test forked are still there; they hold nothing up.
        until(lambda: not running_for(mark))


def test_ctrl_c_is_for_the_tests(tmp_path, monkeypatch) -> None:
    (tmp_path / "test_it.py").write_text(_HANGING)
    with marked(monkeypatch) as mark, hanging(tmp_path) as tests:
        groups = {os.getpgid(process) for process in running_for(mark)}

    assert len(groups) == 2
    assert tests.pid not in groups


@contextmanager
def hanging(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """pytest in the middle of a test; what that has forked is killed in the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as tests:
        try:
            until((folder / "hanging").exists)
            yield tests
        finally:
            os.killpg(tests.pid, signal.SIGKILL)


def run_pytest(folder: Path, tests: str, *arguments: str) -> str:
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        timeout=60,
    )
    return ran.stdout.decode()


@contextmanager
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What is started in here, and by that, can be found."""
    mark = f"TOKEND_TESTS_MARK={uuid4()}"
    with monkeypatch.context() as patch:
        patch.setenv(*mark.split("=", 1))
        yield mark


def running_for(mark: str) -> list[int]:
    """The process ids of what the kit has started under this mark."""
    return [
        int(each.name)
        for each in Path("/proc").glob("[0-9]*")
        if mark in content(each / "environ") and "tokend.testing.ward" in content(each / "cmdline")
    ]


def content(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def until(holds, *, within: float = 30) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
