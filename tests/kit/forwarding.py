"""Forwarding over real HTTP, without the rest of tokend.

``python -m kit.forwarding UPSTREAM`` serves it in a process of its own until SIGTERM, and
says where: ``{"urls": ["http://127.0.0.1:4711"]}``.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from kit.clock import settle
from tokend.api.listeners import serving
from tokend.api.problems import problems
from tokend.api.room import Room
from tokend.api.source import Proxies
from tokend.api.warden import Warden
from tokend.errors import TokendError
from tokend.facade.errcodes import INVALID_CREDENTIAL, Refused
from tokend.forward.forward import Forward
from tokend.model import Secret
from tokend.wechat.relay import open_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tokend.forward.target import Target

KEY = "client-canary-key"
OLD = "92_token-canary-old"
ALLOWED = ("/cgi-bin/", "/CGI-bin/", "/wxa/", "/sns/")


@dataclass
class Account:
    """One WeChat account whose token is the first of *tokens* until that is reported."""

    upstream: str
    tokens: list[str]
    reported: list[str] = field(default_factory=list)
    trouble: TokendError | None = None

    def allows(self, target: Target) -> bool:
        return target.path.startswith(ALLOWED)

    def token(self) -> Secret:
        if not self.tokens:
            raise TokendError("shop/access_token has no valid token")
        return Secret(self.tokens[0])

    async def replace(self, rejected: Secret) -> Secret:
        self.reported.append(rejected.reveal())
        if self.trouble:
            raise self.trouble
        if rejected == self.token() and len(self.tokens) > 1:
            self.tokens.pop(0)
        return self.token()

    def passage(self, caller: str, _: web.Request) -> Account:
        if caller != KEY:
            raise Refused(INVALID_CREDENTIAL, "no such client key")
        return self


@asynccontextmanager
async def forwarding(account: Account, *, idle: float = 30, proxy: str = "") -> AsyncIterator[str]:
    """Where calls to *account* are forwarded, until left."""
    async with open_relay(idle=timedelta(seconds=idle), proxy=proxy) as relay:
        # A limit that uploads would meet, were they read as a whole.
        app = web.Application(middlewares=[problems], client_max_size=8 * 1024)
        app.router.add_route(
            "*", "/{path:.*}", Forward(relay, account.passage, awake=settle).handle
        )
        warden = Warden(Room(tcp=100, per_address=100), Proxies())
        async with serving(app, addresses=[("127.0.0.1", 0)], unix=None, warden=warden) as urls:
            yield urls[0]


async def main(upstream: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with forwarding(Account(upstream, [OLD])) as url:
        sys.stdout.write(json.dumps({"urls": [url]}) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
