"""The store over Redis as people run it: with passwords, TLS, sentinels, as a cluster."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.redis_server import redis_server
from kit.redis_topologies import (
    PASSWORD,
    SENTINEL_PASSWORD,
    clustered_redis,
    guarded_redis,
    watched_redis,
)
from kit.tls import make_certificates, tls_before
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from tokend.clock import SystemClock
from tokend.errors import LeaseBusy, StoreError
from tokend.model import Issued, Secret, Token, TokenKey
from tokend.store.connection import connected
from tokend.store.login import Login
from tokend.store.redis import open_redis
from tokend.store.trouble import said

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kit.redis_topologies import Node, Watched
    from kit.tls import Certificates

    from tokend.model import Lease
    from tokend.store.redis import RedisStore

CLOCK = SystemClock()
KEY = TokenKey(app="shop", appid="wx0123456789abcdef", kind="access_token")
TTL = timedelta(seconds=30)
LOGIN = Login(password=Secret(PASSWORD), sentinel_password=Secret(SENTINEL_PASSWORD))
WRONG = Secret("wrong-canary")


@dataclass(frozen=True)
class Place:
    """Where a Redis is, and the servers of which it is made."""

    url: str
    login: Login = LOGIN
    nodes: Sequence[Node] = field(default=())

    def count(self, command: str, what: str = "calls") -> int:
        return sum(node.count(command, what) for node in self.nodes)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="tokend-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def guarded(home: Path) -> Iterator[Place]:
    with guarded_redis(home) as node:
        yield Place(f"valkey://{node.at}/1", nodes=[node])


@pytest.fixture(scope="module")
def certificates(home: Path) -> Certificates:
    return make_certificates(home)


@pytest.fixture(scope="module")
def encrypted(home: Path, certificates: Certificates) -> Iterator[Place]:
    # Twenty handshakes at once, with both ends in this process, may take a while.
    login = Login(ca_file=certificates.ca, cert_file=certificates.client, timeout_seconds=5)
    with redis_server(home) as server, tls_before(server.path, certificates) as port:
        yield Place(f"rediss://127.0.0.1:{port}", login)


@pytest.fixture(scope="module")
def watched(home: Path) -> Iterator[Place]:
    with watched_redis(home) as redis:
        yield Place(redis.url, nodes=redis.servers)


@pytest.fixture(scope="module")
def clustered(home: Path) -> Iterator[Place]:
    with clustered_redis(home) as nodes:
        yield Place(f"redis+cluster://{nodes[0].at},{nodes[1].at}", nodes=nodes)


@pytest.fixture
def failing(home: Path) -> Iterator[Watched]:
    """For one test, which breaks it."""
    with watched_redis(home) as redis:
        yield redis


def every(*names: str):
    return pytest.mark.parametrize("place", names)


@pytest.fixture
def there(request: pytest.FixtureRequest, place: str) -> Place:
    return request.getfixturevalue(place)


def app(number: int) -> TokenKey:
    return TokenKey(app=f"app-{number}", appid=f"wx{number:016x}", kind="access_token")


def token(value: str, lease: Lease) -> Token:
    issued = Issued(value=Secret(value), lifetime=timedelta(seconds=7200))
    return Token.of(issued, asked_at=CLOCK.now(), fence=lease.fence)


async def refresh(store: RedisStore, key: TokenKey, value: str) -> int:
    """Acquire, save, release. Gives the fence."""
    lease = await store.acquire(key, owner=f"for {value}", ttl=TTL, above=0, quarantine=TTL)
    assert await store.save(lease, token(value, lease))
    await store.release(lease)
    return lease.fence


async def kept(store: RedisStore, key: TokenKey) -> str | None:
    loaded = await store.load(key)
    return loaded and loaded.value.reveal()


async def trouble(store: RedisStore) -> str:
    with pytest.raises(StoreError) as caught:
        await store.load(KEY)
    return str(caught.value)


async def until_it_works(store: RedisStore, value: str) -> int:
    """The fence of the first refresh that succeeds, as nodes try again and again."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await refresh(store, KEY, value)
            except StoreError:
                await asyncio.sleep(0.05)


@every("guarded", "encrypted", "watched", "clustered")
async def test_the_contract_is_kept(there: Place) -> None:
    async with open_redis(there.url, CLOCK, there.login) as store:
        seen = await store.changes(0)
        lease = await store.acquire(KEY, owner="one", ttl=TTL, above=0, quarantine=TTL)
        with pytest.raises(LeaseBusy):
            await store.acquire(KEY, owner="other", ttl=TTL, above=0, quarantine=TTL)
        saved = await store.save(lease, token("92_first", lease))
        await store.release(lease)
        next_fence = await refresh(store, KEY, "92_second")

        assert saved is not None
        assert not saved.suspect
        assert next_fence > lease.fence
        assert await kept(store, KEY) == "92_second"
        many = [replace(KEY, appid=f"wx{number}") for number in range(50)]
        *none, found = await store.load_many([*many, KEY])
        assert found is not None
        assert none == [None] * 50
        assert KEY.record in (await store.changes(seen.cursor)).records


@every("guarded", "encrypted", "watched", "clustered")
async def test_hundreds_of_apps_may_ask_at_once(there: Place) -> None:
    async with open_redis(there.url, CLOCK, there.login) as store:
        await asyncio.gather(*(refresh(store, app(n), f"92_{n}") for n in range(300)))

        assert [await kept(store, app(n)) for n in (0, 150, 299)] == ["92_0", "92_150", "92_299"]


@every("guarded", "watched", "clustered")
async def test_all_notes_are_told_wherever_they_stand(there: Place) -> None:
    names = {f"user:{n}" for n in range(300)}
    async with open_redis(there.url, CLOCK, there.login) as store:
        await asyncio.gather(*(store.shelf.swap(name, None, Secret("note")) for name in names))
        found = {each async for each in store.shelf.sealed("user:")}

    assert found == {(name, "plain") for name in names}


@every("guarded", "watched", "clustered")
async def test_scripts_that_a_server_has_forgotten_are_sent_again(there: Place) -> None:
    async with open_redis(there.url, CLOCK, there.login) as store:
        await refresh(store, KEY, "92_before")
        for node in there.nodes:
            node.ask("SCRIPT", "FLUSH")

        await refresh(store, KEY, "92_after")

        assert await kept(store, KEY) == "92_after"


@every("guarded", "watched", "clustered")
async def test_what_was_not_answered_in_time_is_not_sent_again(there: Place) -> None:
    impatient = replace(there.login, timeout_seconds=0.5)
    async with open_redis(there.url, CLOCK, impatient) as store:
        await store.load(KEY)
        before = there.count("evalsha")
        with ExitStack() as stopped:
            for node in there.nodes:
                stopped.enter_context(node.stopped())
            asked = asyncio.create_task(trouble(store))
            await asyncio.sleep(0.7)  # whoever asks again now will be answered
        said = await asked
        await asyncio.sleep(0.5)

        assert "imeout" in said
        assert there.count("evalsha") == before + 1


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1",
        "rediss://[::1]:1/3",
        "unix:///nowhere/redis.sock?db=1",
        "redis+sentinel://127.0.0.1:1,[::1]:1/main/2",
        "rediss+sentinel://127.0.0.1:1/main",
        "valkey+cluster://127.0.0.1:1,[::1]:1",
        "rediss+cluster://127.0.0.1:1",
    ],
)
async def test_a_redis_that_is_away_is_a_store_error_without_delay(url: str) -> None:
    async with open_redis(url, CLOCK, LOGIN) as store:
        began = time.monotonic()
        said = await trouble(store)

    assert time.monotonic() - began < 3
    assert "canary" not in said
    assert "connect" in said


@pytest.mark.parametrize(
    ("place", "login"),
    [
        pytest.param("guarded", replace(LOGIN, password=WRONG), id="server"),
        pytest.param("guarded", replace(LOGIN, username="nobody"), id="user"),
        pytest.param("watched", replace(LOGIN, password=WRONG), id="master"),
        pytest.param("watched", replace(LOGIN, sentinel_password=WRONG), id="sentinels"),
        pytest.param("clustered", replace(LOGIN, password=WRONG), id="cluster"),
    ],
)
async def test_a_wrong_password_is_tried_once_and_never_shown(there: Place, login: Login) -> None:
    before = [node.count("auth", "failed_calls") for node in there.nodes]

    async with open_redis(there.url, CLOCK, login) as store:
        said = await trouble(store)

    tried = [node.count("auth", "failed_calls") for node in there.nodes]
    # One by the command, one by who listens for wake-ups.
    assert all(after - failed <= 2 for failed, after in zip(before, tried, strict=True))
    assert "invalid username-password pair" in said
    assert "canary" not in said


async def test_a_key_may_stand_in_a_file_of_its_own(
    encrypted: Place, certificates: Certificates
) -> None:
    login = replace(encrypted.login, key_file=certificates.client_key)

    async with open_redis(encrypted.url, CLOCK, login) as store:
        await refresh(store, KEY, "92_by_two_files")


@pytest.mark.parametrize(
    ("host", "without", "said"),
    [
        pytest.param("localhost", "", "not valid for 'localhost'", id="wrong host name"),
        pytest.param("127.0.0.1", "ca_file", "self-signed certificate", id="unknown CA"),
        # TLS 1.3 lets a client write before the server has judged its certificate: what is heard
        # first then, the alert or the end of the connection, is up to the moment.
        pytest.param(
            "127.0.0.1",
            "cert_file",
            "certificate required|reset by peer|Connection lost",
            id="no certificate",
        ),
    ],
)
async def test_whoever_cannot_be_trusted_is_told_nothing(
    encrypted: Place, host: str, without: str, said: str
) -> None:
    login = replace(encrypted.login, **({without: None} if without else {}))

    async with open_redis(encrypted.url.replace("127.0.0.1", host), CLOCK, login) as store:
        assert re.search(said, await trouble(store))


async def test_when_the_master_dies_the_store_goes_on_with_the_replica(failing: Watched) -> None:
    async with open_redis(failing.url, CLOCK, LOGIN) as store:
        before = await refresh(store, KEY, "92_before")
        failing.replicate()
        failing.servers[0].kill()

        after = await until_it_works(store, "92_after")

        assert failing.master() == failing.servers[1].at
        assert after > before
        assert await kept(store, KEY) == "92_after"


async def test_a_master_that_was_demoted_is_left(failing: Watched) -> None:
    async with open_redis(failing.url, CLOCK, LOGIN) as store:
        before = await refresh(store, KEY, "92_before")
        failing.sentinels[0].ask("SENTINEL FAILOVER", "main")
        while failing.master() != failing.servers[1].at:
            await asyncio.sleep(0.05)

        after = await until_it_works(store, "92_after")

        assert after > before


async def test_the_records_of_many_apps_spread_over_the_cluster(clustered: Place) -> None:
    async with open_redis(clustered.url, CLOCK, LOGIN) as store:
        for number in range(30):
            await refresh(store, app(number), f"92_{number}")

        assert [await kept(store, app(number)) for number in range(30)] == [
            f"92_{number}" for number in range(30)
        ]
    assert all(node.ask("DBSIZE") >= 10 for node in clustered.nodes)


async def test_a_slot_that_moved_to_another_node_is_followed(clustered: Place) -> None:
    moving = app(1000)
    slot = clustered.nodes[0].ask("CLUSTER KEYSLOT", f"tokend:{{{moving.record}}}:token")
    async with open_redis(clustered.url, CLOCK, LOGIN) as store:
        await store.load(moving)
        heir = next(node for node in clustered.nodes if not owns(node, slot))
        name = heir.ask("CLUSTER MYID")
        for node in (heir, *clustered.nodes):
            node.ask("CLUSTER SETSLOT", slot, "NODE", name)

        await refresh(store, moving, "92_moved")

        assert await kept(store, moving) == "92_moved"


def owns(node: Node, slot: object) -> bool:
    port = next(where[2][1] for where in node.ask("CLUSTER SLOTS") if where[0] <= slot <= where[1])
    return port == node.port


async def test_a_server_that_repeats_what_it_was_given_is_not_quoted(redis_socket: Path) -> None:
    """Some lack AUTH, and then the password would be in the message."""
    async with connected(f"unix://{redis_socket}") as client:
        with pytest.raises(RedisError) as caught:
            await client.execute_command("AUTHENTICATE", "canary-password")

    assert "canary-password" in str(caught.value)
    assert re.fullmatch("unknown command .AUTHENTICATE.", said(caught.value))


def test_what_redis_py_takes_for_a_message_is_not_quoted_either() -> None:
    """While it connects, that is any exception."""
    assert said(RedisConnectionError(ValueError("canary"))) == "ConnectionError: ValueError"
    assert said(RedisConnectionError("Error 111 connecting")) == "Error 111 connecting"
