"""Keys that nobody knows get one answer, and a limit for where they come from; good ones pass."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import statistics
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import make_mocked_request
from kit.clock import ManualClock
from kit.house import SHOP, House, key

from tokend.api.access import Access
from tokend.api.wrong_keys import WrongKeys
from tokend.audit.source import source
from tokend.errors import TooManyWrongKeys, Unauthorized
from tokend.model import Client, Permission

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "/v1/apps/shop/access_token"


@pytest.fixture
async def house(aiohttp_client, folder: Path) -> House:
    house = House(folder)
    house.http = await aiohttp_client(house.app)
    await house.begin()
    return house


async def ask(house: House, given: str | None) -> tuple[int, dict[str, str], dict[str, object]]:
    headers = {} if given is None else {"Authorization": f"Bearer {given}"}
    async with house.http.get(TOKEN, headers=headers) as response:
        told = {
            name: response.headers.get(name, "") for name in ("Retry-After", "WWW-Authenticate")
        }
        return response.status, told, await response.json()


async def test_no_key_a_wrong_one_and_one_of_a_client_that_is_gone_get_the_same_answer(
    house: House,
) -> None:
    house.access.change([each for each in house.config.clients.values() if each.name != "blind"])

    answers = [await ask(house, given) for given in (None, "", "wrong", "é" * 40, key("blind"))]

    assert answers == answers[:1] * 5
    assert answers[0][:2] == (401, {"Retry-After": "", "WWW-Authenticate": "Bearer"})


async def test_after_thirty_wrong_keys_a_minute_their_source_is_told_to_wait(house: House) -> None:
    statuses = [(await ask(house, f"wrong {n}"))[0] for n in range(40)]
    status, told, problem = await ask(house, "wrong")

    assert statuses == [401] * 30 + [429] * 10
    assert (status, told["Retry-After"], problem["code"]) == (429, "2", "too_many_wrong_keys")
    await house.clock.advance(2)
    assert [(await ask(house, "wrong"))[0] for _ in range(2)] == [401, 429]


async def test_a_good_key_passes_wherever_wrong_ones_come_from(house: House) -> None:
    for n in range(100):
        await ask(house, f"wrong {n}")
        assert (await ask(house, key("shopper")))[0] == 200


async def test_an_sdk_is_told_in_wechats_words(house: House) -> None:
    query = {"grant_type": "client_credential", "appid": SHOP, "secret": "wrong"}

    codes = [(await house.get("/cgi-bin/token", **query))["errcode"] for _ in range(31)]
    good = await house.get("/cgi-bin/token", **query | {"secret": key("shopper")})

    assert codes == [40125] * 30 + [45011]
    assert good["access_token"]


@pytest.mark.parametrize("client", ["shopper", "blind"], ids=["token", "handle"])
async def test_what_is_too_old_for_a_token_is_no_wrong_key(house: House, client: str) -> None:
    """Its SDK must hear 40001, or it would not fetch the next one."""
    query = {"grant_type": "client_credential", "appid": SHOP, "secret": key(client)}
    given = str((await house.get("/cgi-bin/token", **query))["access_token"])
    await house.clock.advance(7300)

    path, query = "/cgi-bin/ticket/getticket", {"type": "jsapi", "access_token": given}
    codes = [(await house.get(path, **query))["errcode"] for _ in range(40)]

    assert set(codes) == {40001}
    assert (await ask(house, "wrong"))[0] == 401


@pytest.mark.parametrize(
    "path",
    ["/cgi-bin/ticket/getticket", "/cgi-bin/get_jsapi_ticket", "/cgi-bin/ticket/get"],
)
async def test_a_key_that_is_guessed_as_a_token_is_a_wrong_key(house: House, path: str) -> None:
    query = {"type": "agent_config" if path.endswith("get") else "jsapi"}
    guesses = [secrets.token_urlsafe(32) for _ in range(31)]

    codes = [(await house.get(path, **query, access_token=each))["errcode"] for each in guesses]
    good = await house.get(path, **query, access_token=key("seller"))

    assert codes == [40001] * 30 + [45011]
    assert good["errcode"] == 0
    assert (await ask(house, "wrong"))[0] == 429


@pytest.mark.parametrize(
    ("given", "statuses"),
    [
        pytest.param("ключ".encode(), {401}, id="no ASCII"),
        pytest.param(b"\xff\xfe\x80", {401}, id="no UTF-8"),
        pytest.param(b"a\x00b", {400, 401}, id="NUL"),
        pytest.param(b"k" * 7000, {401}, id="long"),
        pytest.param(b"k" * 1_000_000, {400, 401}, id="a megabyte"),
        pytest.param(b"", {401}, id="nothing"),
    ],
)
async def test_what_is_no_key_at_all_is_refused_like_a_wrong_one(
    house: House, given: bytes, statuses: set[int]
) -> None:
    url = house.http.make_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"GET " + TOKEN.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        b"Authorization: Bearer " + given + b"\r\n\r\n"
    )
    head = await reader.readline()
    writer.close()

    assert int(head.split()[1]) in statuses


# The bucket


def test_many_addresses_of_one_subscriber_are_one_source(clock: ManualClock) -> None:
    wrong_keys = WrongKeys(clock)

    for number in range(30):
        wrong_keys.count(source(f"2001:db8::{number:x}"))
    with pytest.raises(TooManyWrongKeys):
        wrong_keys.count(source("2001:db8::ffff:1"))

    wrong_keys.count(source("2001:db8:0:1::1"))


@pytest.mark.parametrize(
    ("where", "counted"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("uid=1000(alice) gid=1000 pid=7", "uid=1000"),
        ("uid=1000 gid=1000 pid=7", "uid=1000"),
        ("gone", "gone"),
    ],
)
def test_what_is_counted_together(where: str, counted: str) -> None:
    assert source(where) == counted


def test_an_attacker_with_any_number_of_addresses_fills_no_memory(clock: ManualClock) -> None:
    wrong_keys = WrongKeys(clock)

    for number in range(50_000):
        wrong_keys.count(str(number))

    assert len(wrong_keys._full_at) == 10_000  # noqa: SLF001  # nobody else needs to know


def test_a_source_that_goes_on_does_not_have_to_wait_longer_for_it(clock: ManualClock) -> None:
    wrong_keys, waits = WrongKeys(clock), []

    for _ in range(1000):
        try:
            wrong_keys.count("10.0.0.7")
        except TooManyWrongKeys as error:
            waits.append(error.retry_after)

    assert set(waits) == {timedelta(seconds=2)}


def test_how_long_a_key_is_looked_at_tells_nothing_of_the_keys_there_are() -> None:
    """Medians of many, in turn; what a key shares with a good one makes no difference of note."""
    good = secrets.token_urlsafe(32)
    digest = hashlib.sha256(good.encode()).hexdigest()
    client = Client(name="c", key_sha256=digest, apps=None, can=frozenset(Permission))
    access = Access([client], ManualClock())
    given = {"near": f"{good[:-1]}~", "far": "~" * len(good), "none": ""}
    request = make_mocked_request("GET", "/")
    took: dict[str, list[int]] = {name: [] for name in given}

    for _ in range(5000):
        for name, each in given.items():
            began = time.perf_counter_ns()
            access.known(request, each)
            took[name].append(time.perf_counter_ns() - began)

    medians = [statistics.median(times) for times in took.values()]
    assert max(medians) < 2 * min(medians)


def test_what_is_raised_names_no_key() -> None:
    access = Access(
        [Client(name="c", key_sha256="0" * 64, apps=None, can=frozenset())], ManualClock()
    )
    for _ in range(40):
        with pytest.raises((Unauthorized, TooManyWrongKeys)) as refused:
            access.holder(make_mocked_request("GET", "/"), "canary-key")

        assert "canary" not in str(refused.value)
