"""README's mini-program and its server, as they stand there: a phone by Node.js, tokend, WeChat."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kit.process import Running, running

from tokend.simulator.customer import APPID
from tokend.testing import Fault, Phone, Tokend
from tokend.testing import running as tokend_running
from tokend.testing.port import reserve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

README = (Path(__file__).parents[2] / "README.md").read_text()
WX = Path(__file__).parents[1] / "kit" / "wx.cjs"
SECONDS = 60.0


def blocks(heading: str) -> list[str]:
    """The programs in this chapter, in order."""
    chapter = README.partition(f"\n### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    return re.findall(r"```(?:python|js)\n(.*?)```", chapter, re.DOTALL)


LOGIN_JS, ME_JS, SERVER = blocks("A mini-program and its server")
(FROM_PYTHON,) = blocks("Logins from Python")


@pytest.fixture
def tokend() -> Iterator[Tokend]:
    with tokend_running() as tokend:
        yield tokend


@dataclass
class App:
    """The mini-program on the phone of Ann, with its server's port."""

    process: asyncio.subprocess.Process
    server: Running
    port: str

    async def does(self, expression: str) -> Any:
        """What it evaluates to there."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{expression}\n".encode())
        async with asyncio.timeout(SECONDS):
            line = await self.process.stdout.readline()
        assert line, "the phone has ended; stderr says why"
        return json.loads(line)


@pytest.fixture
def ann(tokend: Tokend) -> Phone:
    return tokend.wechat.phone("ann")


@pytest.fixture
async def app(folder: Path, tokend: Tokend) -> AsyncIterator[App]:
    port = str(reserve())
    (folder / "login.js").write_text(
        LOGIN_JS.replace("https://shop.example", f"http://127.0.0.1:{port}")
    )
    (folder / "me.js").write_text(ME_JS)
    async with served(folder, tokend, port) as server:
        process = await asyncio.create_subprocess_exec(
            str(shutil.which("node")),
            str(WX),
            tokend.wechat.url,
            APPID,
            "ann",
            cwd=folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield App(process, server, port)
        finally:
            process.kill()
            await process.wait()


@asynccontextmanager
async def served(folder: Path, tokend: Tokend, port: str) -> AsyncIterator[Running]:
    (folder / "server.py").write_text(SERVER.replace("8080", port))
    server = (sys.executable, "-u", str(folder / "server.py"))
    async with running(program=server, env=tokend.env) as process:
        await process.said(re.compile(r"Running on http"))
        yield process


FIFTY_PROFILES = (
    'all(50, () => load("./login.js").request("/profile", load("./login.js").encrypted))'
)


def failing(errcode: int) -> Fault:
    """What WeChat says to each login; it counts them."""
    reply = {"errcode": errcode, "errmsg": "by the test"}
    return Fault(endpoint="jscode2session", reply=reply, when="after")


def logins(tokend: Tokend) -> int:
    return tokend.wechat.calls("jscode2session")


async def test_from_wx_login_to_a_profile_and_on_when_the_session_key_is_another(
    app: App, tokend: Tokend, ann: Phone
) -> None:
    opened = await app.does('open("./me.js")')
    assert opened == {"user": "customer 1", "name": "ann", "error": ""}
    assert logins(tokend) == 1

    assert await app.does('open("./me.js")') == opened
    assert logins(tokend) == 1

    ann.login()  # elsewhere
    assert await app.does('open("./me.js")') == opened
    assert logins(tokend) == 2

    ann.end_session()
    assert await app.does('open("./me.js")') == opened
    assert logins(tokend) == 3
    assert await app.does('open("./me.js")') == opened
    assert logins(tokend) == 3

    ann.login()
    assert await app.does(FIFTY_PROFILES) == [{"name": "ann"}] * 50
    assert logins(tokend) == 4

    ann.login()
    with tokend.wechat.weather(failing(45011)):
        outcomes = await app.does(FIFTY_PROFILES)
    assert outcomes == [{"error": "login failed (tries: 3): login_limited"}] * 50
    assert logins(tokend) == 7
    assert await app.does('open("./me.js")') == opened


async def test_fifty_requests_at_once_make_one_login(app: App, tokend: Tokend) -> None:
    answers = await app.does('all(50, () => load("./login.js").request("/me"))')
    assert answers == [{"user": "customer 1"}] * 50
    assert logins(tokend) == 1


async def test_a_401_that_comes_late_makes_no_further_login(
    app: App, tokend: Tokend, ann: Phone
) -> None:
    await app.does('open("./me.js")')
    tokend.client.logins("shop").logout_everywhere(ann.openid)

    me = 'load("./login.js").request("/me")'
    answer = await app.does(f"late(() => {me}, () => {me})")

    assert answer == {"user": "customer 1"}
    assert logins(tokend) == 2


async def test_what_was_encrypted_before_a_login_is_encrypted_anew(
    app: App, tokend: Tokend, ann: Phone
) -> None:
    await app.does('open("./me.js")')
    ann.login()

    answer = await app.does(
        '(async ({ request, encrypted }, first = true) => request("/profile", async () => {'
        "  const body = await encrypted();"
        '  if (first) { first = false; await request("/profile", encrypted); }'
        "  return body;"
        '}))(load("./login.js"))'
    )

    assert answer == {"name": "ann"}
    assert logins(tokend) == 2


@pytest.mark.parametrize(
    ("errcode", "words", "calls"),
    [
        # tokend itself comes back to a WeChat that is busy, twice for each code.
        pytest.param(-1, "(tries: 3): wechat_busy", 9, id="busy"),
        pytest.param(45011, "(tries: 3): login_limited", 3, id="limited"),
        pytest.param(40226, "(tries: 1): user_blocked", 1, id="blocked"),
    ],
)
async def test_a_login_that_keeps_failing_is_given_up_and_the_page_says_so(
    app: App, tokend: Tokend, errcode: int, words: str, calls: int
) -> None:
    with tokend.wechat.weather(failing(errcode)):
        outcomes = await app.does('all(50, () => load("./login.js").request("/me"))')

    assert outcomes == [{"error": f"login failed {words}"}] * 50
    assert logins(tokend) == calls
    assert (await app.does('open("./me.js")'))["user"] == "customer 1"


async def test_where_tokend_is_away_the_page_says_so(app: App, tokend: Tokend) -> None:
    tokend.stop()

    shown = await app.does('open("./me.js")')

    assert shown == {"user": "", "name": "", "error": "login failed (tries: 3): away"}


async def test_where_the_operator_has_to_act_the_page_says_that_the_server_failed(
    app: App, tokend: Tokend
) -> None:
    with tokend.wechat.weather(failing(40125)):
        shown = await app.does('open("./me.js")')
    assert shown["error"] == "login failed (tries: 3): 500"

    outcomes = await app.does('all(1, () => load("./login.js").request("/nowhere"))')
    assert outcomes == [{"error": "/nowhere: 404"}]


async def test_what_is_forged_is_refused_and_nobody_logs_in_for_it(
    app: App, tokend: Tokend
) -> None:
    await app.does('open("./me.js")')
    forged = '{ encryptedData: "A".repeat(22) + "==", iv: "A".repeat(22) + "==" }'
    outcomes = await app.does(
        f'all(1, () => load("./login.js").request("/profile", async () => ({forged})))'
    )

    assert outcomes == [{"error": "/profile: data_refused"}]
    assert logins(tokend) == 1


async def test_a_server_that_has_forgotten_its_sessions_is_not_noticed(
    app: App, tokend: Tokend, folder: Path
) -> None:
    opened = await app.does('open("./me.js")')
    app.server.send(signal.SIGKILL)
    await app.server.ended()
    async with served(folder, tokend, app.port):
        assert await app.does('open("./me.js")') == opened

    assert logins(tokend) == 2


def test_its_lines_for_python_log_in(tokend: Tokend, ann: Phone) -> None:
    code = FROM_PYTHON.replace("Client()", "tokend.client")
    shop = {"tokend": tokend}
    exec(code, shop)  # noqa: S102, it is the README's

    first, second = shop["login"](ann.login()), shop["login"](ann.login())

    openid = ann.openid
    assert tokend.client.logins("shop").session(first).user == f"customer of {openid}"
    assert first != second
