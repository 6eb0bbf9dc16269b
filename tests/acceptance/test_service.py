"""tokend as the service of a real systemd, on a machine that has nothing else."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit import canaries
from kit.machine import PROJECT, Machine, booted, what_is_missing

from tokend.cli.simulate import APP_SECRET, APPID

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first test may have to wait for debootstrap.
pytestmark = [pytest.mark.systemd, pytest.mark.timeout(600)]

WECHAT = "http://127.0.0.1:8391"
TOKEND = "http://127.0.0.1:8390"
SOCKET = "/run/tokend/tokend.sock"
UNITS = "/etc/systemd/system"
CONFIG = f"""\
[wechat]
url = "{WECHAT}"
[apps.shop]
appid = "{APPID}"
secret_credential = "appsecret_shop"
"""

_ASK = """
import sys, urllib.request
method, url, body = sys.argv[1:]
asked = urllib.request.Request(url, body.encode() or None, method=method)
asked.add_header("Content-Type", "application/json")
print(urllib.request.urlopen(asked, timeout=30).read().decode())
"""


@dataclass(frozen=True)
class Service:
    """tokend on the machine, and the simulator it asks."""

    machine: Machine

    def ask(self, url: str, *, method: str = "GET", body: str = "") -> dict[str, object]:
        """Over the network of the machine. Raises what was printed if that fails."""
        done = subprocess.run(
            self.machine.beside("-c", _ASK, method, url, body),
            capture_output=True,
            text=True,
            check=False,
            timeout=40,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def token(self) -> dict[str, object]:
        return self.ask(f"{TOKEND}/v1/apps/shop/access_token")

    def calls(self) -> int:
        calls = self.ask(f"{WECHAT}/simulator/ledger")["calls"]
        return sum(each.get("stable_token", 0) for each in calls.values())

    def weather(self, fault: dict[str, object]) -> None:
        self.ask(f"{WECHAT}/simulator/weather", method="POST", body=json.dumps([fault]))

    def systemctl(self, *arguments: str, check: bool = True):
        return self.machine.run("systemctl", *arguments, check=check)

    def property(self, name: str) -> str:
        return self.systemctl("show", "--value", "--property", name, "tokend.service").out.strip()

    def journal(self) -> list[dict[str, str]]:
        out = self.machine.journal("--output=json", "--unit=tokend.service")
        return [json.loads(line) for line in out.splitlines()]

    def said(self, event: str) -> list[dict[str, object]]:
        """Of the JSON lines in the journal those about *event*, each with its priority."""
        lines = [
            {**json.loads(entry["MESSAGE"]), "PRIORITY": entry["PRIORITY"]}
            for entry in self.journal()
            if entry["MESSAGE"].startswith("{")
        ]
        return [line for line in lines if line["event"] == event]

    def until(self, wanted, *, within: float = 15) -> None:
        end = time.monotonic() + within
        while not wanted():
            assert time.monotonic() < end, self.systemctl("status", "tokend", check=False).out
            time.sleep(0.1)

    def configure(self, text: str) -> None:
        self.machine.write("/etc/tokend/tokend.toml", text)

    def change_unit(self, text: str) -> None:
        self.machine.write(f"{UNITS}/tokend.service.d/test.conf", f"[Service]\n{text}\n")
        self.systemctl("daemon-reload")

    def start(self, *, sockets: bool = True) -> None:
        self.systemctl("start", *(["tokend.socket"] if sockets else []), "tokend.service")


@contextmanager
def simulator(machine: Machine) -> Iterator[None]:
    """WeChat, on the network of the machine."""
    with subprocess.Popen(
        machine.beside("-c", "from tokend.cli import main; main()", "simulate", "--port", "8391"),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr
            assert "is simulated" in process.stderr.readline()
            yield
        finally:
            process.kill()


def install_commands() -> str:
    """Of the README, word for word."""
    readme = (PROJECT / "README.md").read_text()
    commands = re.search(r"```sh\n([^`]*systemd/install.sh[^`]*)```", readme)
    assert commands
    return commands[1]


def search_journal(machine: Machine) -> None:
    """For secrets, in whatever any unit has told it since it was emptied."""
    canaries.look_at("the journal", machine.journal("--output=verbose", "--all"))


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """One on which the README's commands have been run, with an editor that sets the appid."""
    if missing := what_is_missing():
        pytest.skip(missing)
    with booted() as machine:
        machine.write("/root/editor", f"#!/bin/sh\ncat > $1 <<'END'\n{CONFIG}END\n", mode="755")
        with simulator(machine):
            script = f"cd /src; export EDITOR=/root/editor\n{install_commands()}"
            machine.shell(script, stdin=APP_SECRET)
            assert Service(machine).token()["expires_in"] > 7000
        search_journal(machine)
        yield machine


@pytest.fixture(autouse=True)
def searched(machine: Machine) -> Iterator[None]:
    """When a test is over, and what it started has ended."""
    yield
    search_journal(machine)


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """Installed and configured, never started, with a WeChat of its own."""
    service = Service(machine)
    with simulator(machine):
        service.configure(CONFIG)
        machine.write("/etc/tokend/secrets/shop", APP_SECRET, mode="600")
        machine.shell(
            "systemctl stop tokend.service tokend.socket; systemctl reset-failed;"
            f"rm -rf {UNITS}/tokend.service.d/test.conf /var/lib/private/tokend/*"
            " /etc/tokend/shop.encrypted;"
            "journalctl --quiet --rotate --vacuum-time=1us; systemctl daemon-reload"
        )
        yield service
        service.systemctl("stop", "tokend.service", "tokend.socket")


def test_start_returns_when_tokend_answers(service: Service) -> None:
    """Without tokend.socket, where a connection would be held until it does."""
    service.start(sockets=False)

    answer = service.token()

    assert answer["state"] == "fresh"
    assert service.property("StatusText").startswith("1 key: 1 ")


def test_the_status_says_how_all_keys_are_and_what_comes_next(service: Service) -> None:
    service.start()
    service.until(lambda: service.property("StatusText").startswith("1 key: 1 fresh"))

    shown = service.systemctl("status", "tokend").out

    assert re.search(
        r'Status: "1 key: 1 fresh; next refresh shop/access_token at \d\d:\d\d:\d\dZ"', shown
    )


def test_the_journal_has_json_with_priorities(service: Service) -> None:
    service.weather({"reply": {"errcode": 40125, "errmsg": "invalid appsecret"}})

    service.start()
    service.until(lambda: service.said("refresh_failed"))

    assert [line["PRIORITY"] for line in service.said("serving")] == ["6"]
    assert [line["PRIORITY"] for line in service.said("refresh_failed")] == ["4"]
    service.until(lambda: "failing: shop/access_token" in service.property("StatusText"))
    assert "40125" in service.property("StatusText")


def test_the_process_is_nobody_and_shows_no_secret(service: Service) -> None:
    service.start()
    token = str(service.token()["access_token"])
    pid = service.property("MainPID")

    ids = service.machine.shell(f"grep -E '^(Uid|Gid|CapEff|NoNewPrivs)' /proc/{pid}/status").out
    open_to_all = service.machine.shell("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ").out
    status = service.systemctl("show", "tokend.service").out
    journal = json.dumps(service.journal())

    uids = re.search(r"Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)", ids)
    assert uids
    assert all(int(uid) >= 61184 for uid in uids.groups())  # systemd's range of dynamic users
    assert "CapEff:\t0000000000000000" in ids
    assert "NoNewPrivs:\t1" in ids
    assert "appsecret_shop" not in open_to_all
    assert service.said("open_to_others") == []
    for place in (open_to_all, status, journal):
        assert APP_SECRET not in place
        assert token not in place


def test_the_process_writes_nowhere_but_to_its_state(service: Service) -> None:
    places = "/srv/open /var/tmp /tmp /dev/shm /etc/tokend /opt/tokend /root /var/lib/tokend"
    service.machine.shell("install -d -m 777 /srv/open")
    service.change_unit(
        f"ExecStartPre=/bin/sh -c 'for place in {places}; do touch $place/mark; done; true'"
    )

    service.start()

    marked = service.machine.shell(f"ls -d $(printf '%s/mark ' {places}) 2>/dev/null", check=False)
    assert marked.out.split() == ["/var/lib/tokend/mark"]


def test_operators_may_use_the_socket_and_others_may_not(service: Service) -> None:
    service.start()
    token = service.token()["access_token"]
    service.machine.shell(
        "useradd alice; usermod --append --groups tokend-operators alice; useradd bob"
    )

    alice = service.machine.run(
        "runuser", "-u", "alice", "--", "tokend", "get", "shop/access_token"
    )
    bob = service.machine.run(
        "runuser", "-u", "bob", "--", "tokend", "get", "shop/access_token", check=False
    )

    assert alice.out == token
    assert bob.code == 77
    assert "Permission denied" in bob.err


@pytest.mark.parametrize("sockets", [True, False], ids=["held by systemd", "made by tokend"])
def test_the_socket_is_for_root_and_operators(service: Service, *, sockets: bool) -> None:
    if not sockets:
        service.configure(f'[server]\nsocket_mode = "0660"\n{CONFIG}')
    service.start(sockets=sockets)

    listed = service.machine.run("stat", "--format=%a %G", SOCKET).out.strip()

    assert listed == "660 tokend-operators"
    assert service.machine.run("tokend", "get", "shop/access_token").out


# Watchdog


# Blocks its event loop at SIGUSR1, as a bug could.
_BLOCKABLE = """
import signal, sys, time
from tokend.cli import main

def hang(*_):
    time.sleep(600)

signal.signal(signal.SIGUSR1, hang)
sys.exit(main())
"""


def test_a_daemon_that_hangs_is_killed_and_started_again(service: Service) -> None:
    """In less time than the 30 s that it has by default."""
    assert service.property("WatchdogUSec") == "30s"
    service.machine.write("/opt/tokend/blockable.py", _BLOCKABLE)
    service.change_unit(
        "WatchdogSec=8\nExecStart=\nExecStart=/opt/tokend/bin/python /opt/tokend/blockable.py "
        "serve /etc/tokend/tokend.toml"
    )
    service.start()
    before = service.token()
    pid = service.property("MainPID")

    service.systemctl("kill", "--kill-whom=main", "--signal=SIGUSR1", "tokend.service")
    service.until(lambda: service.property("NRestarts") == "1", within=20)
    service.until(lambda: service.property("ActiveState") == "active")

    assert service.property("MainPID") != pid
    assert service.token()["access_token"] == before["access_token"]
    assert service.calls() == 1
    where = "\n".join(entry["MESSAGE"] for entry in service.journal())
    assert "Watchdog timeout" in where
    assert re.search(r'blockable.py", line \d+ in hang', where)


def test_a_daemon_whose_wechat_is_down_is_not_killed(service: Service) -> None:
    service.ask(f"{WECHAT}/simulator/weather", method="POST", body='{"standing": {"status": 502}}')
    service.change_unit("WatchdogSec=8")
    service.start()
    pid = service.property("MainPID")

    time.sleep(17)

    assert service.said("refresh_failed")
    assert (service.property("MainPID"), service.property("NRestarts")) == (pid, "0")


def test_a_daemon_that_is_killed_comes_back_with_its_token(service: Service) -> None:
    service.start()
    before = service.token()

    service.systemctl("kill", "--kill-whom=main", "--signal=SIGKILL", "tokend.service")
    service.until(lambda: service.property("NRestarts") == "1")

    assert service.token()["access_token"] == before["access_token"]
    assert service.calls() == 1


# Configuration


def test_a_reload_with_a_good_file_applies_it(service: Service) -> None:
    service.start()
    before = service.token()
    service.configure(CONFIG.replace("[apps.shop]", "[apps.store]"))

    service.systemctl("reload", "tokend")

    after = service.ask(f"{TOKEND}/v1/apps/store/access_token")
    assert after["access_token"] == before["access_token"]
    assert "store/access_token" in service.property("StatusText")


def test_a_reload_with_a_bad_file_fails_and_keeps_the_old_one(service: Service) -> None:
    service.start()
    before = service.token()
    service.configure(CONFIG.replace(APPID, "wx0"))

    reload = service.systemctl("reload", "tokend", check=False)

    assert reload.code != 0
    assert service.property("ActiveState") == "active"
    assert service.token() | {"expires_in": 0} == before | {"expires_in": 0}
    service.until(
        lambda: "configuration not reloaded: apps.shop.appid: wx0" in service.property("StatusText")
    )
    assert [line["PRIORITY"] for line in service.said("reload_refused")] == ["4"]
    why = [
        entry["PRIORITY"] for entry in service.journal() if "error: apps.shop" in entry["MESSAGE"]
    ]
    assert why == ["3"]


def test_a_reload_of_what_takes_a_restart_fails(service: Service) -> None:
    service.start()
    service.configure(f'[store]\nurl = "memory:"\n{CONFIG}')

    reload = service.systemctl("reload", "tokend", check=False)

    assert reload.code != 0
    assert "not reloaded: store: a change here takes a restart" in service.property("StatusText")


@pytest.mark.parametrize(
    ("config", "mistake"),
    [
        pytest.param(CONFIG.replace(APPID, "wx0"), "apps.shop.appid: wx0", id="a bad setting"),
        pytest.param(
            CONFIG.replace("appsecret_shop", "appsecret_blog"),
            "apps.shop.secret_credential: .*appsecret_blog: No such file",
            id="a credential that is not there",
        ),
        pytest.param(
            f'[server]\nlisten = ["127.0.0.1:8399"]\n{CONFIG}',
            r"server.listen: does not name 127.0.0.1:8390, where systemd listens .*systemctl edit",
            id="another address than that of tokend.socket",
        ),
    ],
)
def test_what_restarting_cannot_cure_is_not_restarted(
    service: Service, config: str, mistake: str
) -> None:
    service.configure(config)

    started = service.systemctl("start", "tokend.socket", "tokend.service", check=False)

    assert started.code != 0
    time.sleep(3)
    shown = [service.property(name) for name in ("ExecMainStatus", "NRestarts", "ActiveState")]
    assert shown == ["78", "0", "failed"]
    said = {
        entry["PRIORITY"] for entry in service.journal() if re.search(mistake, entry["MESSAGE"])
    }
    assert said == {"3"}
    assert re.search(mistake, service.property("StatusText"))


def test_an_encrypted_credential_works_the_same_way(service: Service) -> None:
    service.machine.shell(
        "rm /etc/tokend/secrets/shop;"
        "systemd-creds encrypt --with-key=host --name=appsecret_shop - /etc/tokend/shop.encrypted",
        stdin=APP_SECRET,
    )
    service.change_unit("LoadCredentialEncrypted=appsecret_shop:/etc/tokend/shop.encrypted")

    service.start()

    assert service.token()["state"] == "fresh"


# Restart and stop


def test_a_restart_under_load_refuses_nobody(service: Service) -> None:
    service.start()
    before = service.token()
    load = subprocess.Popen(
        service.machine.beside(
            "-m", "kit.load", TOKEND, WECHAT, f"/proc/{service.machine.init}/root{SOCKET}"
        ),
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
    )
    try:
        for _ in range(5):
            time.sleep(1)
            service.systemctl("restart", "tokend.service")
    finally:
        load.send_signal(signal.SIGTERM)
    met = json.loads(load.communicate(timeout=30)[0])

    assert met["troubles"] == []
    assert met["answers"] > 500
    assert service.token()["access_token"] == before["access_token"]
    assert service.calls() == 1


def test_a_stop_in_the_middle_of_a_refresh_loses_nothing(service: Service) -> None:
    service.start()
    before = service.token()
    service.weather({"late_seconds": 3})
    service.machine.shell("systemd-run --quiet tokend refresh shop/access_token")
    service.until(lambda: service.calls() == 2)

    begun = time.monotonic()
    service.systemctl("stop", "tokend.service", "tokend.socket")
    took = time.monotonic() - begun
    service.start()

    after = service.token()
    assert took <= 15
    assert after["access_token"] != before["access_token"]
    assert service.ask(f"{WECHAT}/simulator/valid?token={after['access_token']}")["valid"] is True
    assert service.property("Result") == "success"


# The files


def test_systemd_finds_nothing_wrong_with_the_units(machine: Machine) -> None:
    files = f"{UNITS}/tokend.service {UNITS}/tokend.socket"

    verified = machine.shell(f"systemd-analyze verify {files}")
    graded = machine.shell("systemd-analyze security --offline=true --json=short tokend.service")

    assert (verified.out, verified.err) == ("", "")
    exposure = sum(float(each["exposure"] or 0) for each in json.loads(graded.out))
    assert exposure <= 1.5


def test_installing_again_is_an_upgrade_and_uninstalling_leaves_what_is_yours(
    service: Service,
) -> None:
    service.start()
    kept = service.token()["access_token"]
    again = "cd /src && systemd/install.sh dist/tokend-*.whl"

    said = service.machine.shell(again).out
    config = service.machine.run("cat", "/etc/tokend/tokend.toml").out
    service.systemctl("restart", "tokend")
    token = service.token()["access_token"]
    service.machine.shell("cd /src && systemd/uninstall.sh && systemd/uninstall.sh")
    left = service.machine.shell(
        f"ls -d /opt/tokend /run/tokend /usr/local/bin/tokend {UNITS}/tokend* /etc/tokend/*"
        " /var/lib/private/tokend/* 2>/dev/null",
        check=False,
    )
    service.machine.shell(again)
    service.start()

    assert "systemctl restart tokend" in said
    assert config == CONFIG
    assert token == kept
    assert left.out.split() == [
        "/etc/tokend/secrets",
        "/etc/tokend/tokend.toml",
        "/var/lib/private/tokend/tokend.db",
    ]
    assert service.token()["access_token"] == kept
    assert service.calls() == 1
