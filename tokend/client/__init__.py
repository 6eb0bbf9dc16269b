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
8. ``session``     users of a mini-program who have logged in; ``login_wire``: what tokend is asked
   about them. Pure. ``logins`` and ``aio_logins`` ask it
9. ``errors``      what can go wrong, and who has to act

``boottime`` is the clock, ``forks`` what a client has in each process, ``log`` what it says,
``decorated`` what ``calls`` asks of functions, and ``hidden`` is text that does not show itself.

Beside it, each with its library: ``for_httpx`` and ``for_wechatpy``. Nothing here imports the
daemon.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tokend.client.errors import (
    Away,
    Busy,
    ClientError,
    CodeRefused,
    DataRefused,
    Later,
    LoginRefused,
    NoToken,
    NotReady,
    Refused,
    UnknownSession,
    UnknownUser,
    UsageError,
    UserBlocked,
)
from tokend.client.logins import Logins
from tokend.client.session import Login, PhoneNumber, Session, User
from tokend.client.sync import Client
from tokend.client.token import Token

if TYPE_CHECKING:
    from tokend.client.aio import AsyncClient
    from tokend.client.aio_logins import AsyncLogins

__all__ = [
    "AsyncClient",
    "AsyncLogins",
    "Away",
    "Busy",
    "Client",
    "ClientError",
    "CodeRefused",
    "DataRefused",
    "Later",
    "Login",
    "LoginRefused",
    "Logins",
    "NoToken",
    "NotReady",
    "PhoneNumber",
    "Refused",
    "Session",
    "Token",
    "UnknownSession",
    "UnknownUser",
    "UsageError",
    "User",
    "UserBlocked",
]


_BY_AIOHTTP = {"AsyncClient": "tokend.client.aio", "AsyncLogins": "tokend.client.aio_logins"}


def __getattr__(name: str) -> Any:
    """These when they are first asked for: aiohttp takes longer to import than all else."""
    if name not in _BY_AIOHTTP:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_BY_AIOHTTP[name]), name)
