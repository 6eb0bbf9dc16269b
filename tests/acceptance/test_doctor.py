"""tokend doctor, the real command, on a set-up with the simulator as its WeChat."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kit.process import one_shot, serving

from tokend.cli.simulate import APP_SECRET
from tokend.wechat.advice import WHITELIST, WRONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.process import Simulator

    Configured = Callable[..., Path]


@pytest.fixture
def path(configured: Configured, folder: Path) -> Iterator[Path]:
    """A set-up in which all is well: /tmp may be a file system in memory, /var/tmp must not be."""
    path = configured()
    path.chmod(0o644)
    with tempfile.TemporaryDirectory(prefix="tokend-", dir="/var/tmp") as lasting:
        change(path, f"sqlite://{folder}", f"sqlite://{lasting}")
        yield path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


async def findings(path: Path) -> tuple[int, list[dict[str, str]]]:
    code, out, _ = await one_shot("doctor", str(path), "--json")
    return code, json.loads(out)


async def test_a_healthy_set_up_is_all_ok(path: Path, wechat: Simulator) -> None:
    code, out, err = await one_shot("doctor", str(path))

    lines = [line for line in out.splitlines() if not line.startswith(" ")]
    assert (code, err) == (0, "")
    assert {line.split()[0] for line in lines} == {"ok"}
    assert {line.split()[1] for line in lines} == {
        "files",
        "listen",
        "store",
        "reach",
        "account",
        "clock",
    }
    assert "ok       account  shop: WeChat accepts the address, the appid and the secret" in lines
    assert f"{wechat.url}: answers in 0." in out
    assert "\x1b" not in out


async def test_it_disturbs_no_tokend_that_runs(path: Path, wechat: Simulator) -> None:
    async with serving(path) as (_, session):
        async with session.get("/v1/apps/shop/access_token") as response:
            before = (await response.json())["access_token"]
        code, out, _ = await one_shot("doctor", str(path))
        async with session.get("/v1/apps/shop/access_token") as response:
            after = (await response.json())["access_token"]

    assert code == 0
    assert after == before
    assert before not in out
    assert await wechat.accepts(before)


async def test_a_secret_that_everyone_can_read_is_bad(path: Path, folder: Path) -> None:
    (folder / "shop.secret").chmod(0o644)

    code, out, _ = await one_shot("doctor", str(path))

    lines = out.splitlines()
    (place,) = [number for number, line in enumerate(lines) if line.startswith("bad")]
    assert code == 1
    assert lines[place].endswith(": readable by everyone")
    assert lines[place + 1].strip() == f"chmod 600 {folder}/shop.secret"


@pytest.mark.parametrize("errcode", [40164, 61004, 45035])
async def test_an_address_that_is_not_whitelisted_is_named(
    path: Path, wechat: Simulator, errcode: int
) -> None:
    errmsg = "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist"
    await wechat.weather({"reply": {"errcode": errcode, "errmsg": f"{errmsg} rid: x-1"}})

    code, found = await findings(path)

    (bad,) = [finding for finding in found if finding["verdict"] != "ok"]
    assert code == 1
    assert bad == {
        "verdict": "bad",
        "subject": "account",
        "text": f"shop: errcode {errcode}: {errmsg}",
        "advice": WHITELIST.about("shop", "203.0.113.9").en,
        "advice_zh": WHITELIST.about("shop", "203.0.113.9").zh,
    }


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_what_to_do_about_a_refusal_is_said_in_the_language_of_the_environment(
    path: Path, wechat: Simulator, language: str
) -> None:
    await wechat.weather({"reply": {"errcode": 40125, "errmsg": "invalid appsecret"}})

    _, out, _ = await one_shot("doctor", str(path), env={"LC_ALL": f"{language}.UTF-8"})

    (place,) = [number for number, line in enumerate(out.splitlines()) if "40125" in line]
    advice = getattr(WRONG.about("shop", ""), language)
    assert out.splitlines()[place + 1].strip() == advice


async def test_a_wrong_secret_is_bad_and_what_passes_is_a_warning(
    path: Path, wechat: Simulator
) -> None:
    await wechat.weather(
        {"reply": {"errcode": 40125, "errmsg": "invalid appsecret"}},
        {"reply": {"errcode": -1, "errmsg": "system error"}},
    )

    wrong, busy = await findings(path), await findings(path)

    assert [wrong[0], busy[0]] == [1, 0]
    assert [one["verdict"] for one in wrong[1] if one["subject"] == "account"] == ["bad"]
    assert [one["verdict"] for one in busy[1] if one["subject"] == "account"] == ["warning"]


async def test_an_account_of_the_classic_call_is_not_asked(path: Path, wechat: Simulator) -> None:
    change(path, '"stable_token"', '"token"')

    code, found = await findings(path)

    (account,) = [finding for finding in found if finding["subject"] == "account"]
    assert code == 0
    assert account["text"].startswith("shop: not asked, as /cgi-bin/token would end the life")
    assert (await wechat.ledger())["calls"] == {}


async def test_one_call_is_made_for_an_account_and_it_is_not_forced(
    path: Path, wechat: Simulator
) -> None:
    await findings(path)
    await findings(path)

    assert (await wechat.ledger())["calls"] == {"wx0123456789abcdef": {"stable_token": 2}}


async def test_a_wechat_that_is_away_is_bad(path: Path, wechat: Simulator) -> None:
    change(path, wechat.url, "http://127.0.0.1:1")

    code, found = await findings(path)

    (bad,) = [finding for finding in found if finding["verdict"] == "bad"]
    assert code == 1
    assert bad["subject"] == "reach"
    assert bad["text"].startswith("http://127.0.0.1:1: Connect call failed")


async def test_a_wechat_that_cuts_the_call_is_bad(path: Path, wechat: Simulator) -> None:
    await wechat.weather({"cut": True})

    code, found = await findings(path)

    (bad,) = [finding for finding in found if finding["verdict"] == "bad"]
    assert code == 1
    assert bad["text"].startswith("shop: ")
    assert "closed without an answer" in bad["text"]


async def test_a_configuration_that_cannot_be_read_ends_with_78(path: Path) -> None:
    change(path, "appid", "apid")

    code, out, err = await one_shot("doctor", str(path))

    assert (code, out) == (78, "")
    assert err.startswith("tokend: error: apps.shop.appid: is required")


async def test_what_it_prints_holds_no_secret(path: Path, folder: Path, wechat: Simulator) -> None:
    await wechat.weather(
        {"reply": {"errcode": 40125, "errmsg": f"invalid appsecret {APP_SECRET}"}},
        {"merge": {"expires_in": 0, "access_token": "canary-token"}},
    )
    (folder / "shop.secret").chmod(0o666)

    refused = await one_shot("doctor", str(path))
    unclear = await one_shot("doctor", "--json", str(path))

    printed = "".join(map(str, [*refused, *unclear]))
    assert "40125" in printed
    assert "expires_in" in printed
    assert APP_SECRET not in printed
    assert "canary-token" not in printed


async def test_nothing_that_a_terminal_obeys_is_shown_whoever_answers_in_redis_place(
    configured: Configured, folder: Path
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            while asked := await reader.read(4096):
                for _ in re.findall(rb"(?m)^\*\d+\r$", asked):
                    writer.write(b"-ERR \x1b]0;owned\x07\r\n")

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    change(path := configured(), f"sqlite://{folder}/tokend.db", f"redis://{host}:{port}")
    async with server:
        _, out, _ = await one_shot("doctor", str(path))

    assert "owned" in out
    assert all(line.isprintable() for line in out.split("\n"))
