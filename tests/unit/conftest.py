"""One app, with WeChat's rules and a clock moved by hand; or WeChat's rules alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.scene import Scene
from kit.town import Town

if TYPE_CHECKING:
    from kit.clock import ManualClock
    from kit.town import Fetch


@pytest.fixture(params=["stable_token", "token"])
def scene(request: pytest.FixtureRequest, clock: ManualClock) -> Scene:
    """By either method."""
    return Scene(clock, method=request.param)


@pytest.fixture
def stable(clock: ManualClock) -> Scene:
    return Scene(clock, method="stable_token")


@pytest.fixture
def classic(clock: ManualClock) -> Scene:
    return Scene(clock, method="token")


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.fixture(params=["classic", "stable"])
def fetch(town: Town, request: pytest.FixtureRequest) -> Fetch:
    """Either way to a token; what holds for both is tested for both."""
    found: Fetch = getattr(town, request.param)
    return found
