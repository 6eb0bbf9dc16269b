"""Whoever reads tokend is told where everything is."""

from __future__ import annotations

import pkgutil
import re
from typing import TYPE_CHECKING

import pytest

import tokend
from tokend import api, config, store, wechat

if TYPE_CHECKING:
    from types import ModuleType


@pytest.mark.parametrize(
    "package", [tokend, api, config, store, wechat], ids=lambda it: it.__name__
)
def test_every_module_stands_in_the_list_of_its_package(package: ModuleType) -> None:
    there = {module.name for module in pkgutil.iter_modules(package.__path__)}

    listed = set(re.findall(r"``(\w+)``", package.__doc__ or ""))

    assert there - listed <= {"__main__"}
