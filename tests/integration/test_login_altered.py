"""Sessions and users where somebody else writes in the store, too, or nobody can."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import AsyncExitStack, closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.redis_server import redis_server
from kit.shop import APPIDS, Shop, open_shop, shop, wechat
from redis.asyncio import Redis

from tokend.clock import SystemClock
from tokend.simulator.weather import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class Sqlite:
    """The notes as whoever has the file can read and write them."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite://{path}"
        self._path = path

    async def names(self, kind: str) -> list[str]:
        return [name for name, _ in self._do("SELECT name, 0 FROM note") if name.startswith(kind)]

    async def get(self, name: str) -> bytes:
        read = "SELECT CAST(text AS BLOB), 0 FROM note WHERE name = ?"
        ((text, _),) = self._do(read, name)
        return text

    async def put(self, name: str, text: bytes) -> None:
        """As text, whatever it is."""
        self._do("INSERT OR REPLACE INTO note VALUES (?, CAST(? AS TEXT), NULL)", name, text)

    async def take(self, name: str) -> None:
        self._do("DELETE FROM note WHERE name = ?", name)

    def _do(self, statement: str, *values: object) -> list[tuple]:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            return connection.execute(statement, values).fetchall()


class InRedis:
    """The same."""

    def __init__(self, socket: Path) -> None:
        self.url = f"unix://{socket}"
        self.client = Redis(unix_socket_path=str(socket))

    async def names(self, kind: str) -> list[str]:
        return [name.decode()[7:] for name in await self.client.keys(f"tokend:{kind}:*")]

    async def get(self, name: str) -> bytes:
        return await self.client.get(f"tokend:{name}")

    async def put(self, name: str, text: bytes) -> None:
        await self.client.set(f"tokend:{name}", text)

    async def take(self, name: str) -> None:
        await self.client.delete(f"tokend:{name}")


@pytest.fixture(params=["sqlite", "redis"])
async def notes(
    request: pytest.FixtureRequest, folder: Path, redis_socket: Path
) -> AsyncIterator[Sqlite | InRedis]:
    if request.param == "sqlite":
        yield Sqlite(folder / "tokend.db")
        return
    notes = InRedis(redis_socket)
    async with notes.client:
        await notes.client.flushall()
        yield notes


@pytest.fixture
async def sealed(folder: Path, notes: Sqlite | InRedis) -> AsyncIterator[Shop]:
    async with open_shop(folder, notes.url, is_sealed=True) as shop:
        yield shop


@pytest.fixture(params=["as it is", "sealed"])
async def either(
    request: pytest.FixtureRequest, folder: Path, notes: Sqlite | InRedis
) -> AsyncIterator[Shop]:
    async with open_shop(folder, notes.url, is_sealed=request.param == "sealed") as shop:
        yield shop


async def of(notes: Sqlite | InRedis, shop: Shop, user: str) -> tuple[str, str, str]:
    """The path of a session of *user*'s, and the names of the notes of both."""
    before = set(await notes.names("session"))
    path = await shop.session(user)
    (session,) = set(await notes.names("session")) - before
    return path, session, f"user:{APPIDS['shop']}/{shop.wechat.phone(user).openid}"


# Altered


def inside(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """What is sealed is cut instead: there is no such place in it."""
    return lambda text: text.replace(old, new) if old in text else text[:-1]


ALTERED = {
    "empty": lambda _: b"",
    "an object": lambda _: b"{}",
    "cut": lambda text: text[:-1],
    "a byte more": lambda text: text + b"\xff",
    "a NUL more": lambda text: text + b"\0",
    "a space more": lambda text: text + b" ",
    "another byte": lambda text: text[:-1] + bytes([text[-1] ^ 1]),
    "much more": lambda text: text + b"x" * 1_000_000,
    "nested": lambda _: b"[" * 100_000,
    "a member twice": lambda text: text[:1] + text[1:-1] + b"," + text[1:],
    "a time that there is not": inside(b'":1', b'":1' + b"0" * 17),
    "a time before all": inside(b'":1', b'":-1'),
    "half of a character": inside(b'"epoch":"', b'"epoch":"\\ud800'),
    "of no key that is known": lambda _: b"sealed:1:01234567:99999999999:" + b"A" * 64,
}


async def test_a_session_that_somebody_altered_is_nobodys_and_can_be_ended(
    either: Shop, notes: Sqlite | InRedis
) -> None:
    bob = await either.session("bob")
    for how, alter in ALTERED.items():
        ann, name, _ = await of(notes, either, "ann")
        await notes.put(name, alter(await notes.get(name)))

        answered = [
            await either.ask("GET", ann),
            await either.ask("POST", f"{ann}/check"),
            await either.ask("POST", f"{ann}/verify", {"rawData": "", "signature": ""}),
            await either.ask("DELETE", ann),
            await either.ask("GET", ann),
        ]

        assert [each.status for each in answered] == [503, 503, 503, 204, 404], how
        assert answered[0].code == "store_away"
    assert (await either.ask("GET", bob)).status == 200


async def test_a_user_whose_record_somebody_altered_is_let_in_again_once_forgotten(
    either: Shop, notes: Sqlite | InRedis
) -> None:
    for how, alter in ALTERED.items():
        ann, _, name = await of(notes, either, "ann")
        user = f"shop/users/{name.rpartition('/')[2]}"
        await notes.put(name, alter(await notes.get(name)))

        answered = [
            await either.ask("GET", ann),
            await either.log_in(),
            await either.ask("GET", user),
            await either.ask("DELETE", f"{user}/sessions"),
            await either.ask("DELETE", user),
            await either.ask("GET", ann),
        ]

        assert [each.status for each in answered] == [503, 503, 503, 503, 204, 404], how
        assert "a code that was sent is used up" in answered[1].answer["advice"]
        assert (await either.log_in()).answer["new"]


async def test_what_is_sealed_is_of_no_use_in_another_place(
    sealed: Shop, notes: Sqlite | InRedis
) -> None:
    ann, anns_session, anns_user = await of(notes, sealed, "ann")
    bob, bobs_session, bobs_user = await of(notes, sealed, "bob")

    await notes.put(bobs_session, await notes.get(anns_session))
    assert (await sealed.ask("GET", bob)).code == "store_away"
    await notes.put(bobs_user, await notes.get(anns_user))
    await notes.put(anns_session, await notes.get(anns_user))
    assert (await sealed.log_in(sealed.wechat.code("bob"))).code == "store_away"
    assert (await sealed.ask("GET", ann)).code == "store_away"


async def test_an_unsealed_record_is_not_taken_where_records_are_sealed(
    sealed: Shop, notes: Sqlite | InRedis
) -> None:
    ann, name, _ = await of(notes, sealed, "ann")
    forged = {"openid": "o", "session_key": "forged", "epoch": "e", "began": 1, "ends": 2**33}

    await notes.put(name, json.dumps(forged, separators=(",", ":")).encode())

    assert (await sealed.ask("GET", ann)).code == "store_away"


@pytest.mark.parametrize("end", ["sessions", ""], ids=["logged out everywhere", "forgotten"])
async def test_an_old_session_that_is_put_back_stays_over(
    either: Shop, notes: Sqlite | InRedis, end: str
) -> None:
    ann, name, user = await of(notes, either, "ann")
    old = await notes.get(name)
    openid = user.rpartition("/")[2]
    assert (await either.ask("DELETE", f"shop/users/{openid}/{end}".rstrip("/"))).status == 204
    await either.session()

    await notes.put(name, old)

    assert (await either.ask("GET", ann)).code == "unknown_session"


async def test_what_is_evicted_is_unknown_and_who_is_evicted_is_new(
    either: Shop, notes: Sqlite | InRedis
) -> None:
    ann, session, user = await of(notes, either, "ann")
    again = await either.session()

    await notes.take(session)
    gone = [(await either.ask("GET", path)).status for path in (ann, again)]
    await notes.take(user)

    assert gone == [404, 200]
    assert (await either.ask("GET", again)).code == "unknown_session"
    assert (await either.log_in()).answer["new"]


async def test_of_a_guess_only_its_digest_gets_to_the_store(
    folder: Path, redis_socket: Path
) -> None:
    """So the time that a look-up takes says nothing of how much of an id is right: two ids that
    differ in one character have nothing in common there.
    """
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Redis(unix_socket_path=str(redis_socket)))
        await client.flushall()
        shop = await stack.enter_async_context(open_shop(folder, f"unix://{redis_socket}"))
        session = await shop.session()
        right = session.rpartition("/")[2]
        wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
        watch = await stack.enter_async_context(client.monitor())

        for id_, app in ((right, "shop"), (wrong, "shop"), (right, "blog")):
            await shop.ask("GET", f"{app}/sessions/{id_}")
        await client.echo("the end")

        asked = []
        while "the end" not in (command := (await watch.next_command())["command"]):
            asked.append(command)
        names = [line.partition(":session:")[2] for line in asked if ":session:" in line]
        assert len(names) == len({name[:6] for name in names}) == 3
        assert not any(right[:8] in line for line in asked)


# Where nothing can be written


class Ahead(SystemClock):
    """Its wall is ahead of the host's."""

    ahead = timedelta(0)

    def wall(self):
        return super().wall() + self.ahead


@pytest.mark.parametrize("trouble", ["full", "a replica"])
async def test_while_redis_cannot_be_written_sessions_are_known_and_logins_are_refused(
    folder: Path, trouble: str
) -> None:
    clock = Ahead()
    async with AsyncExitStack() as stack:
        server = stack.enter_context(redis_server(folder))
        admin = await stack.enter_async_context(Redis(unix_socket_path=str(server.path)))
        shop = await stack.enter_async_context(
            open_shop(folder, f"unix://{server.path}", clock=clock)
        )
        ann = await shop.session()
        clock.ahead = timedelta(days=10)

        if trouble == "full":
            await admin.config_set("maxmemory", 1)
        else:
            await admin.replicaof("127.0.0.1", "1")
        refused = await shop.log_in(shop.wechat.code("bob"))
        known = await shop.ask("GET", ann)
        if trouble == "full":
            await admin.config_set("maxmemory", 0)
        else:
            await admin.replicaof("NO", "ONE")

        used = await shop.ask("GET", ann)
        assert (refused.status, refused.code) == (503, "store_away")
        assert (known.status, known.answer["expires_in"]) == (
            200,
            pytest.approx(20 * 86400, abs=60),
        )
        assert used.answer["expires_in"] == pytest.approx(30 * 86400, abs=60)
        assert (await shop.log_in(shop.wechat.code("bob"))).answer["new"]


# What is used while WeChat is asked about it


@pytest.mark.parametrize(
    ("call", "endpoint", "status"),
    [("reset", "resetusersessionkey", 200), ("check", "checksession", 404)],
)
async def test_a_session_that_is_used_meanwhile_gets_what_wechat_says_of_it(
    folder: Path, call: str, endpoint: str, status: int
) -> None:
    """What is used lasts longer, and so stands in the store as something else."""
    clock = Ahead()
    async with open_shop(folder, f"sqlite://{folder}/tokend.db", clock=clock) as shop:
        session = await shop.session()
        if status == 404:
            shop.wechat.phone().expire(clock.now())
        shop.wechat.weather.coming.append(Fault(endpoint=endpoint, late_seconds=0.5))
        asking = asyncio.create_task(shop.ask("POST", f"{session}/{call}"))
        while not shop.wechat.calls(endpoint):
            await asyncio.sleep(0.01)

        clock.ahead = timedelta(days=10)
        used = await shop.ask("GET", session)
        answered = await asking

        after = await shop.ask("GET", session)
        assert used.status == 200
        assert answered.status == after.status == status
        if status == 200:
            given = {n: shop.wechat.profile()[n] for n in ("rawData", "signature")}
            assert (await shop.ask("POST", f"{session}/verify", given)).status == 200


# Two nodes


async def test_of_two_nodes_at_which_a_user_logs_in_at_once_one_says_that_they_are_new(
    folder: Path, notes: Sqlite | InRedis
) -> None:
    users = [f"user-{n}" for n in range(15)]
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(wechat())
        one, other = [
            await stack.enter_async_context(shop(folder, behind, notes.url)) for _ in range(2)
        ]

        for user in users:
            codes = [behind.code(user) for _ in range(4)]
            begun = await asyncio.gather(
                *(node.log_in(code) for node, code in zip([one, other] * 2, codes, strict=True))
            )

            assert sorted(each.answer["new"] for each in begun) == [False, False, False, True]
            for node, each in zip([other, one] * 2, begun, strict=True):
                path = f"shop/sessions/{each.answer['session']}"
                assert (await node.ask("GET", path)).status == 200
