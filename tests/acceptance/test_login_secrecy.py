"""All that is done about users, and everywhere that a session_key might have got to."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from kit import canaries
from kit.mini_users import Business, User, with_login
from kit.process import one_shot, serving
from redis.asyncio import Redis

if TYPE_CHECKING:
    from kit.process import Simulator

GUESSES = 10_000
AT_ONCE = 20

# What aiohttp and its connections take, and the allocator keeps; with a guess it would be 40 MiB
# for 4 KiB each.
ROOM_KIB = 24 * 1024

_MORE = """
[log]
level = "debug"
audit_file = "{folder}/audit.log"
"""


async def everything(business: Business, ann: User) -> tuple[list[str], list[str]]:
    """Each call as it should be and with each error; the codes and ids that were in URLs."""
    codes = [await ann.code()]
    begun = await business.log_in(codes[0])
    session, openid = f"sessions/{begun['session']}", begun["openid"]
    good = await ann.does("profile")
    signed = {name: good[name] for name in ("rawData", "signature")}
    encrypted = {name: good[name] for name in ("encryptedData", "iv")}
    codes += [(await ann.does("phone-number"))["code"]]
    paid = (await ann.does("pay"))["transaction_id"]
    fine = [
        await business.ask("GET", session),
        await business.ask("PUT", f"{session}/user", {"user": "4711"}),
        await business.ask("POST", f"{session}/verify", signed),
        await business.ask("POST", f"{session}/decrypt", encrypted),
        await business.ask("POST", f"{session}/check"),
        await business.ask("POST", "phone-number", {"code": codes[1]}),
        await business.ask("GET", f"paid-unionid?openid={openid}&transaction_id={paid}"),
        await business.ask("GET", f"users/{openid}"),
        await business.ask("POST", f"{session}/reset"),
    ]
    refused = [
        await business.log_in(codes[0]),
        await business.log_in("unknown"),
        await business.ask("POST", f"{session}/verify", signed),
        await business.ask("POST", f"{session}/decrypt", encrypted),
        await business.ask("POST", f"{session}/decrypt", {**encrypted, "iv": "x"}),
        await business.ask("GET", f"sessions/{secrets.token_urlsafe(32)}"),
    ]
    await ann.does("expire")
    refused += [await business.ask("POST", f"{session}/check")]
    codes.append(await ann.code())
    begun = await business.log_in(codes[2])
    fine += [
        await business.ask("DELETE", f"sessions/{begun['session']}"),
        await business.ask("DELETE", f"users/{openid}/sessions"),
        await business.ask("DELETE", f"users/{openid}"),
    ]
    assert {each["status"] for each in fine} == {200, 204}, fine
    assert all(each["status"] in range(400, 500) for each in refused), refused
    return codes, [session.removeprefix("sessions/"), begun["session"]]


async def kept(folder: Path, redis_socket: Path) -> bytes:
    """Every byte of both stores."""
    files = in_files(folder)
    async with Redis(unix_socket_path=str(redis_socket)) as client:
        rows = [(name, await _value(client, name)) for name in sorted(await client.keys())]
    return files + repr(rows).encode()


def in_files(folder: Path) -> bytes:
    """The write-ahead log, too."""
    return b"".join(each.read_bytes() for each in sorted(folder.glob("tokend.db*")))


async def _value(client: Redis, name: bytes) -> object:
    kind = await client.type(name)
    if kind == b"hash":
        return await client.hgetall(name)
    if kind == b"zset":
        return await client.zrange(name, 0, -1, withscores=True)
    return await client.get(name)


async def test_a_session_key_is_nowhere_to_be_seen_and_codes_and_ids_are_in_no_log(
    configured, folder: Path, wechat: Simulator, store: str, redis_socket: Path
) -> None:
    _, key, _ = await one_shot("seal-key")
    (folder / "seal.key").touch(mode=0o600)
    (folder / "seal.key").write_text(key)
    config = with_login(configured(store=store), _MORE.format(folder=folder))
    config.write_text(config.read_text().replace("[store]", '[store]\nseal_key_file = "seal.key"'))
    ann, trap = User(wechat), folder / "trap"
    fault = ("--at", "after_user", "--do", "SIGKILL", "--trap", str(trap))
    printed: list[str] = []

    async with serving(config, fault=fault) as (tokend, session):
        business = Business(session)
        codes, ids = await everything(business, ann)
        for path in ("/metrics", "/openapi.json", "/v1/apps", "/status"):
            async with session.get(path) as response:
                canaries.look_at(path, await response.text())
        canaries.look_at_process(tokend.process.pid)
        trap.touch()
        codes.append(await User(wechat, "bob").code())
        with pytest.raises(aiohttp.ClientError):
            await business.log_in(codes[-1])
        assert await tokend.ended() == -signal.SIGKILL
        printed += tokend.lines
    left = (await kept(folder, redis_socket)).decode("latin-1")
    async with serving(config) as (tokend, session):
        more = await everything(Business(session), ann)
        codes, ids = codes + more[0], ids + more[1]
        printed += tokend.lines
    left += (await kept(folder, redis_socket)).decode("latin-1")
    logs = "".join(printed) + (folder / "audit.log").read_text()

    canaries.look_at("answers", "\n".join(business.texts))
    canaries.look_at("the audit file", logs)
    canaries.look_at("the store", left)
    assert "sealed:1:" in left
    assert [each for each in codes + ids if each in logs] == []
    assert [each for each in codes + ids if each in left] == []


def rss_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


async def notes(store: str, folder: Path, redis_socket: Path) -> object:
    """Of sessions and users, with their ends."""
    if store == "sqlite":
        with closing(sqlite3.connect(folder / "tokend.db")) as connection:
            return connection.execute("SELECT * FROM note ORDER BY name").fetchall()
    async with Redis(unix_socket_path=str(redis_socket)) as client:
        names = [*await client.keys("tokend:session:*"), *await client.keys("tokend:user:*")]
        return [(name, await client.get(name)) for name in sorted(names)]


async def test_ten_thousand_guesses_change_nothing_and_keep_nobody_waiting(
    configured, folder: Path, wechat: Simulator, store: str, redis_socket: Path
) -> None:
    config, ann = with_login(configured(store=store)), User(wechat)
    async with serving(config) as (tokend, session):
        business = Business(session)
        begun = await business.log_in(await ann.code())
        good = f"/v1/apps/shop/sessions/{begun['session']}"
        await guess(session, GUESSES // 10)
        before = await notes(store, folder, redis_socket), rss_kib(tokend.process.pid)

        guessing = asyncio.create_task(guess(session, GUESSES))
        served: list[dict[str, Any]] = []
        while not guessing.done():
            async with asyncio.timeout(5), session.get(good) as response:
                served.append({"status": response.status, **await response.json()})
        answers = guessing.result()
        async with session.get("/metrics") as response:
            assert response.status == 200

        after = await notes(store, folder, redis_socket), rss_kib(tokend.process.pid)
    assert len(answers) == 1
    assert len(served) > GUESSES / 1000
    assert {(each["status"], each["openid"]) for each in served} == {(200, begun["openid"])}
    assert after[0] == before[0]
    assert len(before[0]) == 2
    assert after[1] - before[1] < ROOM_KIB
    assert await wechat.calls("jscode2session") == 1


async def guess(session: aiohttp.ClientSession, times: int) -> set[tuple[int, str]]:
    """All kinds of answers there were."""
    answers: set[tuple[int, str]] = set()

    async def some() -> None:
        for _ in range(times // AT_ONCE):
            path = f"/v1/apps/shop/sessions/{secrets.token_urlsafe(32)}"
            async with session.get(path) as response:
                answers.add((response.status, await response.text()))

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return answers
