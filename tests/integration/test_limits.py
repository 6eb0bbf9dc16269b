"""Programs in a loop of refreshes: what they cost WeChat, and what is left for everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.house import BLOG, CLIENTS, SHOP, House, key

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = [f"broken-{number}" for number in range(100)]
REFRESH = "/v1/apps/{}/access_token/refresh"


@pytest.fixture
async def house(aiohttp_client, folder: Path) -> House:
    clients = "".join(
        f'[clients.{name}]\napps = ["shop"]\ncan = ["read", "refresh"]\n' for name in BROKEN
    )
    operator = '[clients.operator]\napps = ["*"]\ncan = ["force"]\n'
    house = House(folder, clients=f"{CLIENTS}{clients}{operator}")
    house.http = await aiohttp_client(house.app)
    await house.begin()
    return house


async def refresh(house: House, client: str, app: str, body: dict[str, object]) -> int:
    headers = {"Authorization": f"Bearer {key(client)}"}
    async with house.http.post(REFRESH.format(app), headers=headers, json=body) as response:
        return response.status


def forced(house: House) -> int:
    return sum(b'"force_refresh": true' in sent.body for sent in house.wechat.sent)


async def test_a_hundred_broken_clients_cost_no_more_than_the_budget(house: House) -> None:
    """For ten minutes, each reports whatever token it is given. One reader stands for all."""
    calls = house.world.calls(SHOP, "stable_token")
    for _ in range(60):
        for client in BROKEN:
            rejected = {"rejected": house.token("shop/access_token")}
            assert await refresh(house, client, "shop", rejected) in {200, 429}
        headers = {"Authorization": f"Bearer {key('everybody')}"}
        async with house.http.get("/v1/apps/shop/access_token", headers=headers) as response:
            assert house.is_valid((await response.json())["access_token"])
        await house.live(10, step=5)

    # One a minute; each is two calls of stable_token, and now and then the tokens are compared.
    assert forced(house) <= 10
    assert house.world.calls(SHOP, "stable_token") - calls <= 3 * 10 + 3
    await house.live(61, step=5)
    assert await refresh(house, "operator", "shop", {}) == 200
    other = {"rejected": house.token("blog/access_token")}
    assert await refresh(house, "blogger", "blog", other) == 200
    assert house.world.calls(BLOG, "token") == 2


async def test_one_broken_client_leaves_the_budget_to_the_others(house: House) -> None:
    for _ in range(60):
        await refresh(house, "broken-0", "shop", {"rejected": house.token("shop/access_token")})
        await house.live(10, step=5)
    spent = forced(house)

    status = await refresh(house, "shopper", "shop", {"rejected": house.token("shop/access_token")})

    assert spent == 3
    assert status == 200
    assert forced(house) == 4
