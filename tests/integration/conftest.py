"""On the event loop that serves: uvloop's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

# Exceptions are thrown there where no event loop ever raises one: from between a connection and its
# being made, which uvloop's C does not survive.
_ON_ASYNCIO = {"test_every_await.py"}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name in _ON_ASYNCIO:
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}
