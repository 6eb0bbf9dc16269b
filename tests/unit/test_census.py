"""All keys are counted for those who watch, in pieces, and no more often than is cheap."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from kit.house import House

from tokend.page.census import AT_ONCE, Census, Count, Group
from tokend.page.wanted import Wanted

if TYPE_CHECKING:
    from pathlib import Path

    from kit.clock import ManualClock

NUMBER = 3 * AT_ONCE + 3


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder: Path = tmp_path_factory.mktemp("house")
    (folder / "one.secret").touch(mode=0o600)
    (folder / "one.secret").write_text("0" * 32)
    tables = (
        f'[apps.a{n}]\nappid = "wx{n:016x}"\nsecret_file = "one.secret"\n' for n in range(NUMBER)
    )
    house = House(folder, clients="", apps="".join(tables))
    house.fleet.apply(house.config.apps)
    return house


async def test_all_are_counted_in_order_and_others_get_their_turn_meanwhile(house: House) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    count = await Census(house.fleet.keepers, house.clock).take(house.fleet.names, None)
    other.cancel()

    assert count.names[Group.MISSING] == house.fleet.names
    assert turns >= NUMBER // AT_ONCE


async def test_a_count_that_took_long_is_shared_for_ten_times_as_long(
    house: House, clock: ManualClock
) -> None:
    census = Census(house.fleet.keepers, clock)
    names = house.fleet.names

    counting = asyncio.create_task(census.take(names, None))
    await asyncio.sleep(0)
    await clock.advance(2)
    first = await counting
    await clock.advance(15)
    assert await census.take(names, None) is first
    assert await census.take(names[:1], frozenset({"a0"})) is not first
    await clock.advance(6)
    assert await census.take(names, None) is not first


async def test_those_who_come_together_share_one_count(house: House, clock: ManualClock) -> None:
    census = Census(house.fleet.keepers, clock)

    def take() -> asyncio.Task[Count]:
        return asyncio.create_task(census.take(house.fleet.names, None))

    left, *stayed = take(), take(), take()
    await asyncio.sleep(0)
    await clock.advance(1)
    left.cancel()
    await asyncio.sleep(0)
    await clock.advance(2)
    first, second = await asyncio.gather(*stayed)

    assert first is second
    assert len(first.names[Group.MISSING]) == NUMBER


async def test_a_key_that_a_reload_takes_away_meanwhile_is_not_counted(
    house: House,
) -> None:
    keepers = dict(house.fleet.keepers)
    counting = asyncio.create_task(Census(keepers, house.clock).take(house.fleet.names, None))
    await asyncio.sleep(0)

    del keepers[house.fleet.names[-1]]

    assert sum(map(len, (await counting).names.values())) == NUMBER - 1


def test_a_link_leads_to_what_was_wanted() -> None:
    wanted = Wanted(language="en", search="a&b", group=Group.STALE, number=3)

    assert wanted.url == "/status?q=a%26b&state=stale&page=3"
    assert wanted.page(1) == "/status?q=a%26b&state=stale"
    assert wanted.only(None) == "/status?q=a%26b"
    assert wanted.spoken("zh") == "/status?lang=zh&q=a%26b&state=stale&page=3"
