"""Whatever is raised at whichever await of a login: nothing is shown, and a new code works.

Each of many users meets the exception at another await of the first login, with a real Redis and
real HTTP.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from kit.sabotage import LOGIN, sabotaged_flights
from kit.shop import open_shop
from redis.asyncio import Redis

from tokend.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from kit.shop import Answered

USERS = 60

# What a step of a login looks like from the outside.
STEPS = ("SealedShelf.find", "SealedShelf.swap", "Transport.send")

LEAK = "canary-message SESSKEY+" + "x" * 16


# The first is what becomes of an exception in redis-py, the second in aiohttp, the last elsewhere.
TOLD = {"store_away", "upstream_away", "internal_error"}


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(lambda: RuntimeError(LEAK), id="a bug"),
        pytest.param(lambda: StoreError("redis: away"), id="the store"),
    ],
)
async def test_an_exception_at_any_await_shows_nothing_and_a_new_code_works(
    folder: Path, redis_socket: Path, bomb
) -> None:
    async with Redis(unix_socket_path=str(redis_socket)) as client:
        await client.flushall()
    users = [f"user-{n}" for n in range(USERS)]
    async with open_shop(folder, f"unix://{redis_socket}", is_sealed=True) as shop:
        with ExitStack() as stack:
            flights = stack.enter_context(sabotaged_flights(STEPS, bomb, flight=LOGIN))
            first = [await shop.log_in(shop.wechat.code(user)) for user in users]
        again = [await shop.log_in(shop.wechat.code(user)) for user in users]
        known = [
            (await shop.ask("GET", f"shop/sessions/{each.answer['session']}")).answer
            for each in again
        ]

    struck = [each for each in first if each.status != 200]
    assert {step for step in STEPS if any(each.is_struck for each in flights[step])} == set(STEPS)
    assert len(struck) > len(STEPS)
    assert {each.code for each in struck} <= TOLD
    assert [each.status for each in again] == [200] * USERS
    assert [each["openid"] for each in known] == [shop.wechat.phone(user).openid for user in users]
    assert all(_once_at_most(*both) for both in zip(first, again, strict=True))


def _once_at_most(first: Answered, again: Answered) -> bool:
    """Tell if no user is new a second time to who was told so."""
    return not (first.status == 200 and first.answer["new"] and again.answer["new"])
