"""What operators type: data to stdout, words to stderr, exit codes as in sysexits.h."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import time
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING

import pytest
from kit.house import House
from kit.process import SERVING, TOKEND, one_shot, serving

from tokend.wechat.advice import WHITELIST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from kit.process import Simulator

    Configured = Callable[..., Path]

FAST_ENOUGH_SECONDS = 0.150


@pytest.fixture
async def env(configured: Configured, folder: Path) -> AsyncIterator[dict[str, str]]:
    """Of a shell that knows where a running tokend is."""
    async with serving(configured()):
        yield {"TOKEND_SOCKET": f"{folder}/tokend.sock"}


async def test_get_prints_the_bare_value(env: dict[str, str], wechat: Simulator) -> None:
    code, out, err = await one_shot("get", "shop/access_token", env=env)

    assert (code, err) == (0, "")
    assert not out.endswith("\n")
    assert await wechat.accepts(out)


async def test_get_is_fast_enough_for_shell_loops(env: dict[str, str]) -> None:
    """The best of ten: the machines of the tests have other work as well."""
    walls = []
    for _ in range(10):
        started = time.perf_counter()
        code, _, _ = await one_shot("get", "shop/access_token", env=env)
        walls.append(time.perf_counter() - started)
        assert code == 0

    assert min(walls) < FAST_ENOUGH_SECONDS


async def test_refresh_replaces_the_token(env: dict[str, str]) -> None:
    _, before, _ = await one_shot("get", "shop/access_token", env=env)

    code, out, _ = await one_shot("refresh", "shop/access_token", env=env)

    _, after, _ = await one_shot("get", "shop/access_token", env=env)
    assert code == 0
    assert re.fullmatch(
        r"shop/access_token: refreshed; generation \d+, expires in 7\d\d\d s\n", out
    )
    assert after != before
    assert before not in out


async def test_a_second_refresh_is_told_to_wait(env: dict[str, str]) -> None:
    await one_shot("refresh", "shop/access_token", env=env)

    code, out, err = await one_shot("refresh", "shop/access_token", env=env)

    said, hint = err.splitlines()
    assert (code, out) == (75, "")
    assert re.fullmatch(
        r"tokend: error: shop/access_token: a new token was asked for less than 60 s ago; "
        r"try again in (5[0-9]|60) s",
        said,
    )
    assert hint == "tokend: hint: the current token stays served; GET it, and ask again later"


@pytest.mark.parametrize("old", ["92_old", "7", "9" * 5000], ids=["token", "generation", "digits"])
async def test_reporting_an_old_token_changes_nothing(env: dict[str, str], old: str) -> None:
    code, out, _ = await one_shot("refresh", "shop/access_token", "--rejected", old, env=env)

    assert code == 0
    assert "not refreshed, another token is current" in out


async def report(rejected: bytes, env: dict[str, str]) -> tuple[int | None, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        TOKEND,
        "refresh",
        "shop/access_token",
        "--rejected",
        "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )
    out, err = await process.communicate(rejected)
    return process.returncode, out, err


async def test_a_rejected_token_may_come_over_stdin(env: dict[str, str]) -> None:
    """On the command line everybody on the host could read it."""
    _, before, _ = await one_shot("get", "shop/access_token", env=env)

    code, out, _ = await report(before.encode(), env)

    assert code == 0
    assert b": refreshed;" in out


@pytest.mark.parametrize("nothing", [b"\n", b"\xff\xfe"], ids=["empty", "no text"])
async def test_what_is_no_token_over_stdin_is_said_to_be_none(
    env: dict[str, str], nothing: bytes
) -> None:
    strict = {**env, "PYTHONIOENCODING": "utf-8:strict"}

    assert await report(nothing, strict) == (
        os.EX_DATAERR,
        b"",
        b"tokend: error: --rejected: no token there\n",
    )


async def test_status_shows_every_key_in_a_table(env: dict[str, str]) -> None:
    await one_shot("get", "shop/access_token", env=env)

    code, out, _ = await one_shot("status", env=env)

    heading, row = out.splitlines()
    assert code == 0
    assert heading.split("  ")[0] == "KEY"
    assert re.fullmatch(r"shop/access_token  fresh  1h 59m      1h 55m      0", row)


async def test_status_follows_the_pages_and_shows_the_states_asked_for(
    aiohttp_server, tmp_path: Path
) -> None:
    tables = (f'[apps.a{n:04}]\nappid = "wx{n:016x}"\nsecret_file = "one"\n' for n in range(1100))
    (tmp_path / "one").touch(mode=0o600)
    (tmp_path / "one").write_text("0" * 32)
    house = House(tmp_path, clients="", apps="".join(tables))
    house.fleet.apply(house.config.apps)
    server = await aiohttp_server(house.app)
    url = str(server.make_url(""))

    _, everything, _ = await one_shot("status", "--url", url)
    _, fresh, _ = await one_shot("status", "--url", url, "--state", "fresh,expired")
    _, documents, _ = await one_shot("status", "--url", url, "--state", "missing", "--json")
    code, _, err = await one_shot("status", "--url", url, "--state", "bad")

    heading, *rows = everything.splitlines()
    assert [row.split()[0] for row in rows] == [f"a{n:04}/access_token" for n in range(1100)]
    assert fresh.splitlines() == ["KEY  STATE  EXPIRES IN  REFRESH IN  FAILURES"]
    assert [len(json.loads(each)["keys"]) for each in documents.splitlines()] == [500, 500, 100]
    assert heading.split("  ")[0] == "KEY"
    assert (code, "state: must be one or more of" in err) == (64, True)


async def test_status_as_json_is_the_answer_of_the_api(env: dict[str, str]) -> None:
    _, out, _ = await one_shot("status", "--json", env=env)

    assert [key["kind"] for key in json.loads(out)["keys"]] == ["access_token"]


async def test_status_tells_what_to_do_about_a_failure(
    configured: Configured, wechat: Simulator, folder: Path
) -> None:
    await wechat.weather({"reply": {"errcode": 40164, "errmsg": "invalid ip 203.0.113.7 , not in"}})
    async with serving(configured()) as (tokend, _):
        await tokend.said(re.compile("refresh_failed"))
        _, out, _ = await one_shot("status", "--socket", f"{folder}/tokend.sock")
        code, _, err = await one_shot(
            "get", "shop/access_token", "--socket", f"{folder}/tokend.sock"
        )

    advice = WHITELIST.about("shop", "203.0.113.7").en
    assert f"  {advice}\n" in out
    assert code == 75
    assert err.splitlines()[1] == f"tokend: hint: {advice}"


async def test_what_to_do_about_a_refusal_is_said_in_chinese_to_who_speaks_it(
    configured: Configured, wechat: Simulator, folder: Path
) -> None:
    """And nothing else."""
    advice = WHITELIST.about("shop", "203.0.113.7").zh
    await wechat.standing(
        {"reply": {"errcode": 40164, "errmsg": "invalid ip 203.0.113.7 , not in"}}
    )
    env = {"LC_ALL": "zh_CN.UTF-8", "TOKEND_SOCKET": f"{folder}/tokend.sock"}
    async with serving(configured()) as (tokend, _):
        await tokend.said(re.compile("refresh_failed"))
        _, status, _ = await one_shot("status", env=env)
        _, _, got = await one_shot("get", "shop/access_token", env=env)
        _, _, unknown = await one_shot("get", "shop/jsapi_ticket", env=env)
        latin = {**env, "PYTHONIOENCODING": "latin-1"}
        code, poor, _ = await one_shot("status", env=latin)

    assert f"  {advice}\n" in status
    assert status.startswith("KEY ")
    assert got.splitlines()[0].startswith("tokend: error: shop/access_token")
    assert got.splitlines()[1] == f"tokend: hint: {advice}"
    assert (
        unknown.splitlines()[1]
        == "tokend: hint: 'tokend status' and GET /v1/apps list the keys there are"
    )
    assert (code, "203.0.113.7?" in poor) == (0, True)


async def test_a_key_made_by_tokend_opens_the_api_over_tcp(
    configured: Configured, folder: Path
) -> None:
    path = configured()
    code, key, snippet = await one_shot("key", "order-service")
    path.write_text(path.read_text() + snippet)
    (folder / "order.key").write_text(key)
    async with serving(path) as (tokend, _):
        env = {"TOKEND_URL": (await tokend.said(SERVING))[1]}

        good = await one_shot(
            "get", "shop/access_token", "--key-file", f"{folder}/order.key", env=env
        )
        bad = await one_shot("get", "shop/access_token", env=env)

    assert code == 0
    assert good[0] == 0
    assert bad[0] == 77
    assert bad[2].startswith("tokend: error: no client key")


async def test_a_key_is_shown_once_and_its_digest_goes_into_the_configuration() -> None:
    _, key, snippet = await one_shot("key", "order-service")

    digest = hashlib.sha256(key.strip().encode()).hexdigest()
    assert snippet.splitlines()[:2] == ["[clients.order-service]", f'key_sha256 = "{digest}"']
    assert key.strip() not in snippet
    assert len(key.strip()) == 43


async def test_check_says_ok_or_everything_that_is_wrong(configured: Configured) -> None:
    path = configured()

    good = await one_shot("check", str(path))
    path.write_text(path.read_text().replace("appid", "apid").replace("[store]", "[stroe]"))
    bad = await one_shot("check", str(path))

    assert good == (0, f"{path}: ok, 1 app, 0 clients\n", "")
    assert bad[0] == 78
    assert bad[2].splitlines() == [
        "tokend: error: stroe: no such setting, did you mean 'store'?",
        "tokend: error: apps.shop.appid: is required",
        "tokend: error: apps.shop.apid: no such setting, did you mean 'appid'?",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        pytest.param(["get", "shop"], 64, "shop: not a key", id="not a key"),
        pytest.param(["get"], 64, "Missing argument 'KEY'.", id="no key"),
        pytest.param(["gett", "x"], 64, "No such command 'gett'", id="unknown command"),
        pytest.param(
            ["get", "shop/access_token", "--socket", "/nowhere.sock"],
            69,
            "/nowhere.sock: No such file or directory",
            id="nobody there",
        ),
        pytest.param(
            ["get", "shop/access_token", "--url", "tokend:8390"],
            64,
            "--url: must be like https://host:port",
            id="not a URL",
        ),
        pytest.param(
            ["get", "shop/x", "--url", "http://127.0.0.1:1", "--key-file", "/nowhere"],
            66,
            "/nowhere: No such file or directory",
            id="no key file",
        ),
        pytest.param(
            ["check", "/nowhere"], 78, "/nowhere: No such file or directory", id="no file"
        ),
        pytest.param(["key", "Order Service"], 64, "Order Service: a client is named", id="name"),
        pytest.param(["status", "--watch", "--json"], 64, "--watch and --json do not", id="both"),
    ],
)
async def test_what_cannot_be_done_is_one_line_with_an_exit_code(
    arguments: list[str], code: int, error: str
) -> None:
    failed, out, err = await one_shot(*arguments)

    assert (failed, out) == (code, "")
    assert err.startswith(f"tokend: error: {error}")
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", ["--version", "--help", "key shop", "get shop/access_token"])
async def test_a_disk_that_is_full_is_told_in_one_line(env: dict[str, str], arguments: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            TOKEND, *arguments.split(), stdout=full, stderr=PIPE, env={**os.environ, **env}
        )
        _, err = await process.communicate()
    finally:
        os.close(full)

    assert err.decode().splitlines()[-1] == (
        "tokend: error: standard output: No space left on device"
    )
    assert process.returncode == os.EX_IOERR
    assert b"Traceback" not in err


async def test_an_unknown_key_is_said_to_be_unknown(
    env: dict[str, str],
) -> None:
    code, _, err = await one_shot("get", "nope/access_token", env=env)

    assert code == 64
    assert err.splitlines() == [
        "tokend: error: nope/access_token: no such key",
        "tokend: hint: 'tokend status' and GET /v1/apps list the keys there are",
    ]


@pytest.mark.parametrize(
    "command", ["", "serve", "doctor", "get", "refresh", "status", "demo", "simulate"]
)
async def test_help_is_there(command: str) -> None:
    code, out, _ = await one_shot(*filter(None, [command]), "--help")

    assert code == 0
    assert out.startswith("Usage: tokend")


async def test_a_reload_says_what_came_of_it(configured: Configured, folder: Path) -> None:
    path = configured()
    good = path.read_text()
    async with serving(path):
        at = ("--socket", f"{folder}/tokend.sock")
        taken = await one_shot("reload", *at)
        path.write_text(good.replace("wx0123456789abcdef", "wx0") + '[log]\nlevel = "loud"\n')
        refused = await one_shot("reload", *at)

    assert taken == (0, "reloaded, 1 key\n", "")
    code, out, err = refused
    assert (code, out) == (78, "")
    assert "tokend: error: apps.shop.appid: wx0: must be" in err
    assert "tokend: error: log.level: must be" in err
