"""Who may have which calls passed on, with whose token."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import make_mocked_request
from kit.house import BLOG, SHOP, House, key

from tokend.budget import SEVERAL
from tokend.errors import RefreshLimited
from tokend.facade.errcodes import Refused
from tokend.forward.passages import Passages
from tokend.forward.target import read_target
from tokend.model import Permission, Platform, Secret

if TYPE_CHECKING:
    from pathlib import Path

    from tokend.forward.passages import Passage

UPSTREAMS = {Platform.OFFICIAL: "https://official", Platform.WECOM: "https://wecom"}

MORE_CLIENTS = """
[clients.shopper]
apps = ["shop"]
can = ["read", "call"]
paths = ["/cgi-bin/menu/get", "/cgi-bin/media/*"]
[clients.blind]
apps = ["shop"]
can = ["call"]
tokens = "never"
paths = ["/cgi-bin/user/info"]
[clients.reader]
apps = ["blog"]
can = ["read"]
[clients.caller]
apps = ["blog"]
can = ["call"]
[clients.seller]
apps = ["sales"]
can = ["read", "call"]
[clients.below]
apps = ["blog"]
can = ["call"]
paths = ["/cgi-bin/*"]
[clients.clearer]
apps = ["blog"]
can = ["call"]
paths = ["/cgi-bin/*", "/cgi-bin/clear_quota"]
[clients.both]
apps = ["shop", "sales"]
can = ["call"]
"""


@pytest.fixture
async def house(folder: Path) -> House:
    house = House(folder, clients=MORE_CLIENTS)
    await house.begin()
    return house


def passage(house: House, given: str, certificate: str = "") -> Passage:
    request = make_mocked_request("GET", "/", transport=Connection(certificate))
    return Passages(house.callers, UPSTREAMS)(given, request)


class Connection(asyncio.Transport):
    """With the certificate of this name, if it has one."""

    def __init__(self, certificate: str) -> None:
        names = (("DNS", certificate),) if certificate else ()
        super().__init__({"peercert": {"subjectAltName": names}})


def handle(house: House, client: str, appid: str) -> str:
    whose = house.access.named(client) or replace(house.access.named("blind"), name=client)
    sealed = house.handles.seal(client=whose, appid=appid, lifetime=timedelta(hours=1))
    return sealed.reveal()


@pytest.mark.parametrize(
    ("given", "app", "upstream"),
    [
        pytest.param(lambda _: key("shopper"), "shop", "https://official", id="a key"),
        pytest.param(lambda _: key("seller"), "sales", "https://wecom", id="a key at WeCom"),
        pytest.param(lambda _: key("blind"), "shop", "https://official", id="a key without tokens"),
        pytest.param(
            lambda house: house.token("shop/access_token"), "shop", "https://official", id="a token"
        ),
        pytest.param(
            lambda house: house.token("sales/access_token"), "sales", "https://wecom",
            id="a token of WeCom",
        ),
        pytest.param(
            lambda house: handle(house, "blind", "wx0123456789abcdef"), "shop", "https://official",
            id="a handle",
        ),
    ],
)  # fmt: skip
async def test_a_call_goes_with_the_token_of_the_callers_app(
    house: House, given, app: str, upstream: str
) -> None:
    found = passage(house, given(house))

    assert found.upstream == upstream
    assert found.token() == Secret(house.token(f"{app}/access_token"))


@pytest.mark.parametrize(
    ("given", "errcode"),
    [
        pytest.param(lambda _: "nonsense", 40001, id="nonsense"),
        pytest.param(lambda _: key("both"), 40001, id="a key for two apps"),
        pytest.param(lambda _: key("reader"), 48001, id="a key that may not call"),
        pytest.param(
            lambda house: house.token("blog/access_token"), 48001,
            id="a token that nobody has who may call",
        ),
        pytest.param(
            lambda house: house.token("stock/access_token"), 48001, id="a token that nobody has"
        ),
        pytest.param(
            lambda house: house.token("shop/jsapi_ticket"), 40001, id="a ticket"
        ),
        pytest.param(
            lambda house: handle(house, "blind", "wxfedcba9876543210"), 48001,
            id="a handle for another's app",
        ),
        pytest.param(
            lambda house: handle(house, "nobody", "wx0123456789abcdef"), 40001,
            id="a handle of somebody who is gone",
        ),
    ],
)  # fmt: skip
async def test_what_gives_no_passage_is_refused(house: House, given, errcode: int) -> None:
    with pytest.raises(Refused) as refused:
        passage(house, given(house))

    assert refused.value.errcode == errcode


@pytest.mark.parametrize(
    ("client", "path", "allowed"),
    [
        ("shopper", "/cgi-bin/menu/get", True),
        ("shopper", "/cgi-bin/menu/get/more", False),
        ("shopper", "/cgi-bin/media/upload", True),
        ("shopper", "/cgi-bin/media", False),
        ("shopper", "/cgi-bin/mediation", False),
        ("shopper", "/cgi-bin/user/info", False),
        ("blind", "/cgi-bin/user/info", True),
        ("blind", "/cgi-bin/menu/get", False),
        ("seller", "/cgi-bin/whatever", True),
        pytest.param("seller", "/cgi-bin/clear_quota", False, id="power over all, unnamed"),
        pytest.param("seller", "/cgi-bin/Clear_Quota", False, id="power, in other letters"),
        pytest.param("seller", "/cgi-bin/openapi/quota/clear", False, id="power over a quota"),
        pytest.param("seller", "/cgi-bin/openapi/quota/get", True, id="a look at a quota"),
        pytest.param("below", "/cgi-bin/clear_quota", False, id="power, by all that is below"),
        pytest.param("clearer", "/cgi-bin/clear_quota", True, id="power, by its name"),
    ],
)
async def test_a_client_may_call_what_its_list_names(
    house: House, client: str, path: str, *, allowed: bool
) -> None:
    assert passage(house, key(client)).allows(read_target(f"{path}?access_token=x")) is allowed


async def test_a_permission_that_was_taken_away_ends_the_passage(
    house: House, folder: Path
) -> None:
    given = [
        key("shopper"),
        house.token("shop/access_token"),
        handle(house, "blind", "wx0123456789abcdef"),
    ]
    fewer = MORE_CLIENTS[MORE_CLIENTS.index("[clients.reader]") :].replace("shop", "stock")

    house.access.change(House(folder, clients=fewer).config.clients.values())

    for each in given:
        with pytest.raises(Refused):
            passage(house, each)


async def test_another_key_ends_the_handles_of_the_one_before(house: House) -> None:
    given = handle(house, "blind", SHOP)
    blind = house.access.named("blind")

    house.access.change([replace(blind, key_sha256="0" * 64)])

    with pytest.raises(Refused):
        passage(house, given)


async def test_a_rejected_token_is_replaced_for_the_call(house: House) -> None:
    found = passage(house, key("shopper"))
    rejected = found.token()

    newer = await found.replace(rejected)

    assert newer != rejected
    assert found.token() == newer
    assert await found.replace(rejected) == newer


@pytest.mark.parametrize(
    ("given", "payer"),
    [
        pytest.param(lambda _: key("shopper"), "shopper", id="a key"),
        pytest.param(lambda house: handle(house, "blind", SHOP), "blind", id="a handle"),
        pytest.param(lambda house: house.token("sales/access_token"), SEVERAL, id="a token of two"),
        pytest.param(
            lambda house: house.token("blog/access_token"), "poster", id="one of them may call"
        ),
    ],
)
async def test_another_token_is_on_the_share_of_who_surely_asked(
    folder: Path, given, payer: str
) -> None:
    clients = """
[clients.shopper]
apps = ["shop"]
can = ["read", "call"]
[clients.blind]
apps = ["shop"]
can = ["call"]
tokens = "never"
[clients.seller]
apps = ["sales"]
can = ["read", "call"]
[clients.another]
apps = ["sales"]
can = ["read", "call"]
[clients.poster]
apps = ["blog"]
can = ["read", "call"]
[clients.reader]
apps = ["blog"]
can = ["read"]
"""
    house = House(folder, clients=clients)
    await house.begin()

    found = passage(house, given(house))

    assert found.by == payer


async def test_past_the_guard_rails_a_token_that_somebody_else_replaced_is_found_for_nothing(
    house: House,
) -> None:
    found = passage(house, key("shopper"))
    await found.replace(found.token())
    rejected = found.token()
    for _ in range(2):
        house.world.rotate(SHOP, house.clock.now())

    newer = await found.replace(rejected)

    assert newer != rejected
    assert house.is_valid(newer.reveal())


async def test_who_has_had_its_share_of_replacements_still_gets_what_a_comparison_finds(
    house: House,
) -> None:
    found = passage(house, key("shopper"))
    for _ in range(3):
        await found.replace(found.token())
        await house.live(61)
    with pytest.raises(RefreshLimited):
        await found.replace(found.token())
    await house.live(61)
    rejected = found.token()
    for _ in range(2):
        house.world.rotate(SHOP, house.clock.now())

    newer = await found.replace(rejected)

    assert newer != rejected
    assert house.is_valid(newer.reveal())


async def test_past_the_guard_rails_there_is_no_other_token(house: House) -> None:
    found = passage(house, key("shopper"))
    await found.replace(found.token())
    current = found.token()

    with pytest.raises(RefreshLimited):
        await found.replace(current)

    assert found.token() == current


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(lambda _: key("caller"), id="its key"),
        pytest.param(lambda house: handle(house, "caller", BLOG), id="its handle"),
        pytest.param(lambda house: house.token("blog/access_token"), id="its token"),
    ],
)
async def test_what_a_client_has_is_no_good_without_its_certificate(house: House, given) -> None:
    caller = replace(
        house.access.named("caller"),
        certificate="caller.internal",
        can=frozenset({Permission.READ, Permission.CALL}),
    )
    house.access.change([caller])

    with pytest.raises(Refused):
        passage(house, given(house))
    with pytest.raises(Refused):
        passage(house, given(house), "other.internal")
    found = passage(house, given(house), "caller.internal")

    assert found.clients == [caller]
