"""Keys are listed a page at a time, and each page costs no more than a page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp.test_utils import make_mocked_request
from kit.house import House

from tokend.api import listing
from tokend.errors import BadRequest
from tokend.model import Client, Permission, State

if TYPE_CHECKING:
    from pathlib import Path

NUMBER = 1203


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(folder_of(tmp_path_factory), clients="", apps=tables(range(NUMBER)))


def folder_of(factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp("house")
    (folder / "one.secret").write_text("0" * 32)
    (folder / "one.secret").chmod(0o600)
    return folder


def tables(numbers) -> str:
    return "".join(
        f'[apps.a{n}]\nappid = "wx{n:016x}"\nsecret_file = "one.secret"\n' for n in numbers
    )


def wanted(url: str) -> listing.Wanted:
    return listing.Wanted.of(make_mocked_request("GET", url))


def client(*apps: str) -> Client:
    return Client(name="x", key_sha256="", apps=frozenset(apps), can=frozenset({Permission.STATUS}))


def follow(names, keepers, url: str) -> list[list[str]]:
    """The names on each page."""
    pages = []
    while url:
        found, url = listing.page(names, keepers, wanted(url))
        pages.append([str(status.key) for status in found])
    return pages


def test_pages_together_are_all_keys_once_in_order(house: House) -> None:
    house.fleet.apply(house.config.apps)

    pages = follow(house.fleet.names, house.fleet.keepers, "/v1/apps")

    assert [len(page) for page in pages] == [500, 500, 203]
    assert [name for page in pages for name in page] == sorted(house.fleet.keepers)


def test_a_last_page_that_is_full_has_no_next_one(house: House) -> None:
    house.fleet.apply(house.config.apps)

    pages = follow(house.fleet.names[:20], house.fleet.keepers, "/v1/apps?limit=10")

    assert [len(page) for page in pages] == [10, 10]


def test_the_key_that_a_page_ended_at_may_be_gone(house: House) -> None:
    house.fleet.apply(house.config.apps)
    _, url = listing.page(house.fleet.names, house.fleet.keepers, wanted("/v1/apps?limit=3"))
    third, fourth = house.fleet.names[2:4]
    gone = third.partition("/")[0]

    house.fleet.apply({name: app for name, app in house.config.apps.items() if name != gone})
    found, _ = listing.page(house.fleet.names, house.fleet.keepers, wanted(url))

    assert third not in house.fleet.names
    assert str(found[0].key) == fourth


class Counted(dict):
    """Keepers, and how many of them were asked."""

    asked = 0

    def __getitem__(self, name: str):
        self.asked += 1
        return super().__getitem__(name)


def test_a_page_asks_no_more_keepers_than_it_shows(house: House) -> None:
    house.fleet.apply(house.config.apps)
    keepers = Counted(house.fleet.keepers)

    listing.page(house.fleet.names, keepers, wanted("/v1/apps?limit=7&after=a5/access_token"))

    assert keepers.asked == 7


def test_a_state_that_few_are_in_is_looked_for_a_while_at_a_time(house: House) -> None:
    """Then a page is empty, and the next one goes on."""
    house.fleet.apply(house.config.apps)
    (name,) = house.fleet.names[:1]
    keepers = Counted({f"{n:05}": house.fleet.keepers[name] for n in range(12_000)})

    pages = follow(sorted(keepers), keepers, "/v1/apps?state=fresh")
    asked, keepers.asked = keepers.asked, 0
    listing.page(sorted(keepers), keepers, wanted("/v1/apps?state=fresh"))

    assert pages == [[], [], []]
    assert (asked, keepers.asked) == (12_000, 5000)


def test_only_keys_in_the_states_asked_for_are_shown_on_every_page(house: House) -> None:
    house.fleet.apply(house.config.apps)
    names, keepers = house.fleet.names, house.fleet.keepers

    assert follow(names, keepers, "/v1/apps?state=expired,fresh") == [[]]
    pages = follow(names, keepers, "/v1/apps?state=missing&limit=500")
    assert sum(map(len, pages)) == NUMBER


def test_where_the_next_page_is_repeats_what_was_asked_for() -> None:
    url = wanted("/v1/apps?state=missing,expired&limit=9").url("shop/access_token")

    assert parse_qs(urlsplit(url).query) == {
        "after": ["shop/access_token"],
        "limit": ["9"],
        "state": ["expired,missing"],
    }


def test_who_may_see_few_apps_has_theirs_looked_up_and_no_others() -> None:
    names = sorted(["a-b/access_token", "a/access_token", "a/jsapi_ticket", "ab/access_token"])

    assert listing.of_client(names, client("a", "nowhere")) == ["a/access_token", "a/jsapi_ticket"]
    assert listing.of_client(names, client("ab", "a-b")) == ["a-b/access_token", "ab/access_token"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "limit: must be a number from 1 to 500"),
        ("limit=501", "limit: must be a number from 1 to 500"),
        ("limit=-1", "limit: must be a number from 1 to 500"),
        ("limit=%D9%A3", "limit: must be a number from 1 to 500"),
        ("state=bad", f"state: must be one or more of {','.join(State)}"),
        ("state=", f"state: must be one or more of {','.join(State)}"),
        ("limit=1&limit=2", "a parameter stands twice"),
        ("page=2", "page: no such parameter; there are after, limit and state"),
    ],
)
def test_what_cannot_be_wanted_is_refused(query: str, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        wanted(f"/v1/apps?{query}")

    assert str(refused.value) == said


def test_names_are_put_in_order_only_where_they_have_changed(house: House) -> None:
    house.fleet.apply(house.config.apps)
    keepers, names = dict(house.fleet.keepers), house.fleet.names

    house.fleet.apply(dict(house.config.apps))

    assert house.fleet.names is names
    assert all(house.fleet.keepers[name] is keepers[name] for name in keepers)


async def test_readiness_counts_the_keys_that_have_no_token_and_names_the_first(
    house: House, aiohttp_client
) -> None:
    house.fleet.apply(house.config.apps)
    http = await aiohttp_client(house.app)

    response = await http.get("/readyz")
    document = await response.json()

    assert response.status == 503
    assert document["not_ready_keys"] == NUMBER
    assert len(document["not_ready"]) == 20
