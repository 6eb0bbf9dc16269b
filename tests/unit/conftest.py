"""One app, with WeChat's rules and a clock moved by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit.scene import Scene

if TYPE_CHECKING:
    from kit.clock import ManualClock


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
