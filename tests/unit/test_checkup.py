"""What tokend doctor finds on this host: real files, real SQLite, no network."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from kit.house import House
from kit.tls import Authority

from tokend.checkup import accounts, files, listeners, store
from tokend.checkup import clock as clocks
from tokend.checkup.reach import Visit
from tokend.config import load
from tokend.errors import UpstreamUnreachable
from tokend.findings import Finding, Verdict, shortened
from tokend.model import Platform
from tokend.store.sqlite import open_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from kit.clock import ManualClock

NOBODY = 65534
CONFIG = """\
[server]
socket = "{folder}/tokend.sock"
[store]
url = "sqlite://{folder}/tokend.db"
[apps.shop]
appid = "wx0123456789abcdef"
secret_file = "shop.secret"
"""


@pytest.fixture
def path(folder: Path) -> Path:
    """A configuration in which all is well."""
    secret = folder / "shop.secret"
    secret.touch(mode=0o600)
    secret.write_text("0123456789abcdef0123456789abcdef")
    path = folder / "tokend.toml"
    path.write_text(CONFIG.format(folder=folder))
    path.chmod(0o644)
    return path


@contextmanager
def somebody() -> Iterator[None]:
    """Be somebody who is not root, for root may do everything."""
    if os.geteuid():
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def locked(folder: Path) -> Iterator[Path]:
    """A folder that can be entered, and not written to by anybody but root."""
    folder.chmod(0o755)
    locked = folder / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    yield locked
    locked.chmod(0o755)


def about(findings: Iterable[Finding], text: str) -> Finding:
    (found,) = [finding for finding in findings if text in finding.text]
    return found


def looked_at(path: Path) -> list[Finding]:
    return list(files.examine(path, load(path, environ={})))


def test_files_for_their_owner_alone_are_ok(path: Path) -> None:
    findings = looked_at(path)

    assert {finding.verdict for finding in findings} == {Verdict.OK}
    assert {finding.subject for finding in findings} == {"files"}


def test_it_says_which_user_the_checks_ran_as(path: Path) -> None:
    found = about(looked_at(path), "the checks ran as")

    assert found.text.split(",")[0].endswith(f"ran as {files.user()}")
    assert found.advice.endswith(f"sudo -u USER tokend doctor {path}")


@pytest.mark.parametrize(
    ("mode", "verdict", "said"),
    [
        pytest.param(0o400, Verdict.OK, "", id="its owner reads"),
        pytest.param(0o640, Verdict.WARNING, "readable by its group", id="its group reads"),
        pytest.param(0o620, Verdict.WARNING, "writable by its group", id="its group writes"),
        pytest.param(0o644, Verdict.BAD, "readable by everyone", id="everyone reads"),
        pytest.param(0o602, Verdict.BAD, "writable by everyone", id="everyone writes"),
    ],
)
def test_a_secret_that_others_can_reach_is_worse_the_more_they_are(
    path: Path, folder: Path, mode: int, verdict: Verdict, said: str
) -> None:
    (folder / "shop.secret").chmod(mode)

    found = about(looked_at(path), "apps.shop.secret_file")

    assert found.verdict is verdict
    assert found.text.endswith(said)
    assert f"mode {mode:04o}" in found.text
    assert found.advice.startswith(f"chmod 600 {folder}/shop.secret" if said else "")


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [(0o664, Verdict.WARNING), (0o646, Verdict.BAD)],
    ids=["by its group", "by everyone"],
)
def test_a_configuration_may_be_read_but_not_changed_by_others(
    path: Path, mode: int, verdict: Verdict
) -> None:
    """Whoever changes it says where the secrets are sent."""
    path.chmod(mode)

    found = about(looked_at(path), "configuration")

    assert found.verdict is verdict
    assert found.advice.startswith(f"chmod go-w {path}")


def test_a_file_of_somebody_else_is_a_warning(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.geteuid():
        os.chown(folder / "shop.secret", NOBODY, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    found = about(looked_at(path), "apps.shop.secret_file")

    assert found.verdict is Verdict.WARNING
    assert found.advice.startswith(f"chown 12345 {folder}/shop.secret")


def test_the_password_of_the_store_is_a_secret_too(path: Path, folder: Path) -> None:
    (folder / "redis password").write_text("canary")
    (folder / "redis password").chmod(0o644)
    redis = 'url = "redis://127.0.0.1"\npassword_file = "redis password"'
    path.write_text(path.read_text().replace(f'url = "sqlite://{folder}/tokend.db"', redis))

    found = about(looked_at(path), "store.password_file")

    assert (found.verdict, found.advice) == (Verdict.BAD, f"chmod 600 '{folder}/redis password'")


def test_so_are_the_url_of_a_webhook_and_what_calls_to_it_are_signed_with(
    path: Path, folder: Path
) -> None:
    for name, content in (("ops.url", "https://h/canary"), ("ops.secret", "canary-robot-secret")):
        (folder / name).write_text(content)
        (folder / name).chmod(0o604)
    table = 'format = "feishu"\nurl_file = "ops.url"\nsecret_file = "ops.secret"\n'
    path.write_text(f"{path.read_text()}[notify.ops]\n{table}")

    for setting in ("url_file", "secret_file"):
        found = about(looked_at(path), f"notify.ops.{setting}")
        assert (found.verdict, "readable by everyone" in found.text) == (Verdict.BAD, True)


def test_so_is_the_database_for_it_holds_tokens(path: Path, folder: Path) -> None:
    (folder / "tokend.db").touch(mode=0o600)
    (folder / "tokend.db").chmod(0o644)

    assert about(looked_at(path), "tokend.db").verdict is Verdict.BAD


def test_a_folder_that_is_missing_for_the_socket_is_bad(path: Path, folder: Path) -> None:
    path.write_text(path.read_text().replace("tokend.sock", "run/tokend.sock"))

    found = about(looked_at(path), "server.socket")

    assert (found.verdict, found.text) == (
        Verdict.BAD,
        f"server.socket: {folder}/run: no folder that {files.user()} can see",
    )
    assert found.advice == f"install -d -m 700 -o {files.user()} {folder}/run"


def test_so_is_one_that_cannot_be_written_to(path: Path, locked: Path) -> None:
    path.write_text(path.read_text().replace("tokend.sock", "locked/tokend.sock"))
    config = load(path, environ={})

    with somebody():
        me = files.user()
        found = about(files.examine(path, config), "server.socket")

    assert found.verdict is Verdict.BAD
    assert found.text == f"server.socket: {locked}: {me} may not write there"
    assert found.advice.startswith(f"chown {me} {locked}")


def test_without_a_socket_no_folder_is_needed(path: Path, folder: Path) -> None:
    path.write_text(path.read_text().replace(f"{folder}/tokend.sock", ""))

    assert not [finding for finding in looked_at(path) if "socket" in finding.text]


async def make_database(path: Path) -> None:
    async with open_table(path):
        pass


def stored(path: Path, clock: ManualClock) -> list[Finding]:
    return asyncio.run(store.examine(load(path, environ={}), clock))


def test_sqlite_is_tried_and_nothing_of_it_stays(
    path: Path, folder: Path, clock: ManualClock
) -> None:
    before = set(folder.iterdir())

    found = about(stored(path, clock), "journal_mode")

    assert found.verdict is Verdict.OK
    assert "journal_mode wal, synchronous full" in found.text
    assert set(folder.iterdir()) == before


def test_what_is_stored_is_not_touched(path: Path, folder: Path, clock: ManualClock) -> None:
    asyncio.run(make_database(folder / "tokend.db"))
    before = [(each, each.stat().st_mtime_ns) for each in sorted(folder.iterdir())]

    findings = stored(path, clock)

    assert all(finding.verdict is not Verdict.BAD for finding in findings)
    assert [(each, each.stat().st_mtime_ns) for each in sorted(folder.iterdir())] == before


def test_a_store_in_memory_is_a_warning(path: Path, folder: Path, clock: ManualClock) -> None:
    path.write_text(path.read_text().replace(f"sqlite://{folder}/tokend.db", "memory:"))

    (found,) = stored(path, clock)

    assert found.verdict is Verdict.WARNING
    assert "forgets every token when" in found.text


def test_where_users_log_in_a_store_in_memory_forgets_them_too(
    path: Path, folder: Path, clock: ManualClock
) -> None:
    text = path.read_text().replace(f"sqlite://{folder}/tokend.db", "memory:")
    path.write_text(f"{text}\n[login]\nenabled = true\n")

    (found,) = stored(path, clock)

    assert "forgets every token, session and user when" in found.text


def test_so_is_a_file_system_in_memory(path: Path, folder: Path, clock: ManualClock) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        path.write_text(path.read_text().replace(f"sqlite://{folder}", f"sqlite://{memory}"))

        found = about(stored(path, clock), "tmpfs")

    assert found.verdict is Verdict.WARNING


def test_a_missing_folder_is_bad_and_is_not_made(
    path: Path, folder: Path, clock: ManualClock
) -> None:
    path.write_text(path.read_text().replace("tokend.db", "lib/tokend.db"))

    (found,) = stored(path, clock)

    assert (found.verdict, found.text) == (
        Verdict.BAD,
        f"store.url: {folder}/lib: No such file or directory",
    )
    assert found.advice == f"install -d -m 700 -o {files.user()} {folder}/lib"
    assert not (folder / "lib").exists()


def test_a_folder_that_cannot_be_written_to_is_bad(
    path: Path, locked: Path, clock: ManualClock
) -> None:
    path.write_text(path.read_text().replace("tokend.db", "locked/tokend.db"))
    config = load(path, environ={})

    with somebody():
        me = files.user()
        (found,) = asyncio.run(store.examine(config, clock))

    assert (found.verdict, found.text) == (
        Verdict.BAD,
        f"store.url: {locked}: Permission denied",
    )
    assert found.advice.startswith(f"chown {me} {locked}")


def test_a_folder_that_cannot_be_entered_is_bad(
    path: Path, locked: Path, clock: ManualClock
) -> None:
    path.write_text(path.read_text().replace("tokend.db", "locked/tokend.db"))
    config = load(path, environ={})
    locked.chmod(0)

    with somebody():
        findings = [*files.examine(path, config), *asyncio.run(store.examine(config, clock))]

    assert about(findings, "store.url").verdict is Verdict.BAD


def test_a_database_of_somebody_else_is_bad(path: Path, folder: Path, clock: ManualClock) -> None:
    (folder / "tokend.db").touch(mode=0)
    folder.chmod(0o777)
    config = load(path, environ={})

    with somebody():
        me = files.user()
        found = about(asyncio.run(store.examine(config, clock)), "may not read and write")

    assert found.verdict is Verdict.BAD
    assert found.advice.startswith(f"chown {me} {folder}/tokend.db")


def visit(ahead: float | None) -> Visit:
    return Visit(
        url="https://api.weixin.qq.com",
        duration=timedelta(seconds=0.1),
        ahead=None if ahead is None else timedelta(seconds=ahead),
    )


@pytest.mark.parametrize(
    ("ahead", "verdict", "said"),
    [
        pytest.param(0.9, Verdict.OK, "agrees", id="the second HTTP leaves out"),
        pytest.param(-5, Verdict.OK, "agrees", id="a little"),
        pytest.param(6, Verdict.WARNING, "is 6 s ahead of", id="ahead"),
        pytest.param(-60, Verdict.WARNING, "is 60 s behind", id="behind"),
        pytest.param(-61, Verdict.BAD, "is 61 s behind", id="far behind"),
        pytest.param(86400, Verdict.BAD, "is 86400 s ahead of", id="far ahead"),
    ],
)
def test_a_wall_clock_is_worse_the_farther_it_is_from_wechat(
    ahead: float, verdict: Verdict, said: str
) -> None:
    found = about(clocks.examine([visit(ahead)]), "the wall clock")

    assert found.verdict is verdict
    assert said in found.text
    assert bool(found.advice) == (verdict is not Verdict.OK)


def test_without_wechats_time_nothing_is_said_about_the_wall_clock(folder: Path) -> None:
    away = Visit(
        url="https://api2.weixin.qq.com",
        duration=timedelta(seconds=3),
        error=UpstreamUnreachable("away"),
    )

    (found,) = clocks.examine([away, visit(None)], synchronized=folder / "no")

    assert found.text.startswith("CLOCK_BOOTTIME")


def test_that_the_clock_is_kept_is_told_where_it_can_be_known(folder: Path) -> None:
    (folder / "synchronized").touch()

    findings = clocks.examine([], synchronized=folder / "synchronized")

    assert about(findings, "systemd-timesyncd").verdict is Verdict.OK


# Listeners


def listening(path: Path, server: str, days: float = 0) -> list[Finding]:
    """Of a set-up with this in ``[server]``, so many *days* from now."""
    text = path.read_text().replace("[server]\n", f"[server]\n{server}")
    path.write_text(f'{text}[clients.x]\nkey_sha256 = "{64 * "a"}"\napps = ["*"]\ncan = ["read"]\n')
    now = datetime.now(UTC) + timedelta(days=days)
    return list(listeners.examine(load(path, environ={}), now=now))


def test_loopback_needs_no_tls(path: Path) -> None:
    (found,) = listening(path, 'listen = ["127.0.0.1:8390"]\n')

    assert found.verdict is Verdict.OK
    assert found.text == "server.listen: 127.0.0.1:8390: no TLS, and this host alone"


def test_an_address_that_others_can_listen_to_is_a_warning(path: Path) -> None:
    loopback, open_to_all = listening(
        path, 'listen = ["[::1]:8390", "0.0.0.0:8390"]\ninsecure_http = true\n'
    )

    assert loopback.verdict is Verdict.OK
    assert open_to_all.verdict is Verdict.WARNING
    assert open_to_all.text.startswith("server.listen: 0.0.0.0:8390: no TLS")
    assert "server.cert_file" in open_to_all.advice


@pytest.mark.parametrize(
    ("days", "verdict", "said"),
    [
        pytest.param(0, Verdict.OK, ", 29 days", id="new"),
        pytest.param(15.5, Verdict.OK, ", 14 days", id="just long enough"),
        pytest.param(16.5, Verdict.WARNING, ", 13 days", id="soon"),
        pytest.param(29.9, Verdict.WARNING, ", 0 days", id="today"),
        pytest.param(30.1, Verdict.BAD, "has expired on ", id="too late"),
    ],
)
def test_a_certificate_is_worse_the_sooner_it_ends(
    path: Path, folder: Path, days: float, verdict: Verdict, said: str
) -> None:
    authority = Authority(folder)
    authority.issue("server", "127.0.0.1", days=30)
    authority.revoke("crl", days=30)

    address, ours, clients, lists = listening(
        path,
        'cert_file = "server.pem"\nclient_ca_file = "ca.pem"\nclient_crl_file = "crl.pem"\n',
        days,
    )

    assert address.text == "server.listen: 127.0.0.1:8390: TLS"
    assert (ours.verdict, lists.verdict) == (verdict, verdict)
    assert said in ours.text
    assert said in lists.text
    assert clients.text == "server.client_ca_file: a certificate of clients is required"
    assert ("tokend reload" in ours.advice) == (verdict is not Verdict.OK)


def test_the_key_of_the_certificate_is_a_secret(path: Path, folder: Path) -> None:
    Authority(folder).issue("server", "127.0.0.1")
    (folder / "server.pem").chmod(0o640)
    path.write_text(path.read_text().replace("[server]\n", '[server]\ncert_file = "server.pem"\n'))

    found = about(looked_at(path), "server.cert_file")

    assert found.verdict is Verdict.WARNING
    assert found.text.endswith("readable by its group")


# Of very much


async def test_wechat_is_asked_for_the_first_hundred_accounts(folder: Path) -> None:
    (folder / "one").touch(mode=0o600)
    (folder / "one").write_text("0" * 32)
    tables = (f'[apps.a{n}]\nappid = "wx{n:016x}"\nsecret_file = "one"\n' for n in range(150))
    house = House(folder, clients="", apps="".join(tables))

    *asked, others = await accounts.examine(house.config, dict.fromkeys(Platform, house.wechat))

    assert len(asked) == 100
    assert others.text.startswith("50 more accounts were not asked")


def test_of_findings_of_a_sort_the_first_are_told_and_how_many_more_there_are() -> None:
    good = [Finding(Verdict.OK, "files", f"{n}") for n in range(21)]
    bad = [Finding(Verdict.BAD, "files", "x")]

    told = list(shortened([*good, *bad]))

    more = Finding(Verdict.OK, "files", "and 1 more, which --json tells")
    assert told == [*good[:20], *bad, more]
