"""What is asked about users with the access_token that tokend keeps."""

from __future__ import annotations

import pytest
from kit.clock import ManualClock
from kit.scene import APP

from tokend.contracts import Meter
from tokend.errors import UnknownKey
from tokend.login.calls import Calls
from tokend.login.way import Way
from tokend.wechat import identity


async def test_for_an_app_that_a_reload_has_taken_away_nothing_is_asked() -> None:
    async def awake() -> None:
        pytest.fail("waited for")

    calls = Calls({}, Way(None, Meter(), ManualClock()), awake=awake)

    with pytest.raises(UnknownKey, match="shop: no such mini-program any more"):
        await calls.ask(APP, lambda _: pytest.fail("asked"), identity.read_checked, by="business")
