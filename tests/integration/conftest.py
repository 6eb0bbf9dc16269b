"""On the event loop that serves: uvloop's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

_ON_ASYNCIO = {
    # Exceptions are thrown there where no event loop ever raises one: from between a connection and
    # its being made, which uvloop's C does not survive.
    "test_every_await.py",
    "test_every_await_of_a_login.py",
    # Connections to a Redis over TLS are given up there, and the loop ends at once: uvloop
    # complains of goodbyes that it has no time for.
    "test_redis_connections.py",
}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name in _ON_ASYNCIO:
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}
