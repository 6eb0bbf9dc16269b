"""A tokend that is killed in the middle of a login, at each step after WeChat has answered."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.mini_users import Business, User, with_login
from kit.process import serving

if TYPE_CHECKING:
    from pathlib import Path

    from kit.process import Simulator

# Failpoint → whether the user, of whose first login it is, is new to the next one.
IS_NEW_AFTERWARDS = {
    "before_session": True,
    "after_session": True,
    "before_user": True,
    "after_user": False,
}


@pytest.mark.parametrize("point", IS_NEW_AFTERWARDS)
async def test_a_login_that_a_crash_ends_leaves_no_half_and_a_new_code_works(
    configured, folder: Path, wechat: Simulator, store: str, point: str
) -> None:
    config, ann = with_login(configured(store=store)), User(wechat)
    trap = folder / "trap"
    trap.touch()
    used, openid = await ann.code(), await ann.openid()
    fault = ("--at", point, "--do", "SIGKILL", "--trap", str(trap))
    async with serving(config, fault=fault) as (tokend, session):
        with pytest.raises(aiohttp.ClientError):
            await Business(session).log_in(used)
        assert await tokend.ended() == -signal.SIGKILL

    async with serving(config) as (_, session):
        business = Business(session)
        known = await business.ask("GET", f"users/{openid}")
        again = await business.log_in(used)
        begun = await business.log_in(await ann.code())
        shown = await business.ask("GET", f"sessions/{begun['session']}")

    is_new = IS_NEW_AFTERWARDS[point]
    assert known["status"] == (404 if is_new else 200)
    assert (again["status"], again["code"]) == (409, "code_used")
    assert (begun["status"], begun["new"]) == (200, is_new)
    assert (shown["status"], shown["openid"]) == (200, openid)
