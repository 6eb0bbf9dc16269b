"""WeChat's tokens for Python programs: kept in memory, renewed in the background by tokend.

::

    from tokend.client import Client

    client = Client()                        # one for the whole program
    client.token("shop/access_token")        # from memory, about 0.4 µs

Read it in this order:

1. ``token``       what programs get: a string that knows its key and does not show itself
2. ``watch``       one key: what to ask next, what is kept and until when, who waits how long. Pure,
                   as is ``pace``, when to ask
3. ``wire``        what tokend is asked, and what its answers mean. Pure
4. ``rejection``   how WeChat says that a token is no good. Pure
5. ``address``     where tokend is
6. ``sync``        ``Client``, for threads and forks; ``poller`` is its thread for each key, and
                   ``connection`` its HTTP, by the standard library alone
7. ``aio``         ``AsyncClient``, for asyncio; ``line`` is its task for each key, by aiohttp,
                   which nothing else here imports
8. ``errors``      what can go wrong, and who has to act

``boottime`` is the clock, ``forks`` what a client has in each process, ``log`` what it says, and
``decorated`` what ``calls`` asks of functions.

Beside it, each with its library: ``for_httpx`` and ``for_wechatpy``. Nothing here imports the
daemon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokend.client.errors import (
    Away,
    ClientError,
    NoToken,
    NotReady,
    Refused,
    UsageError,
)
from tokend.client.sync import Client
from tokend.client.token import Token

if TYPE_CHECKING:
    from tokend.client.aio import AsyncClient

__all__ = [
    "AsyncClient",
    "Away",
    "Client",
    "ClientError",
    "NoToken",
    "NotReady",
    "Refused",
    "Token",
    "UsageError",
]


def __getattr__(name: str) -> Any:
    """``AsyncClient`` when it is first asked for: aiohttp takes longer to import than all else."""
    if name != "AsyncClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tokend.client.aio import AsyncClient  # noqa: PLC0415, see above

    return AsyncClient
