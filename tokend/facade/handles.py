"""Handles: what a client gets that may never see a token. Good for forwarding alone.

A handle says whose it is and until when, under a key made of the AppSecret: every node of tokend
can read it, nobody else can make one, and it ends with the AppSecret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from tokend.errors import UnknownKey
from tokend.model import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from tokend.clock import Clock
    from tokend.model import App, Client

_PREFIX = "h1"


class Handles:
    """*app_of* gives the app with an appid; None if there is none."""

    def __init__(self, app_of: Callable[[str], App | None], clock: Clock) -> None:
        self._app_of = app_of
        self._clock = clock

    def seal(self, *, client: Client, appid: str, lifetime: timedelta) -> Secret:
        """A handle of *client*. Raises ``UnknownKey`` if there is no such app any more."""
        app = self._app_of(appid)
        if app is None:
            raise UnknownKey(f"{appid}: no such app")
        until = int((self._clock.wall() + lifetime).timestamp())
        content = _encoded(json.dumps([client.name, _stamp(client), appid, until]).encode())
        return Secret(f"{_PREFIX}.{content}.{_mac(app.secret, content)}")

    def unseal(
        self, handle: Secret, client_of: Callable[[str], Client | None]
    ) -> tuple[Client, str] | None:
        """Whose it is and the appid; None if this is no handle, or one no longer: so it is when
        the client has got another key.
        """
        prefix, _, rest = handle.reveal().partition(".")
        content, _, mac = rest.partition(".")
        if prefix != _PREFIX:
            return None
        try:
            name, stamp, appid, until = json.loads(base64.urlsafe_b64decode(content + "=="))
        except (ValueError, TypeError, RecursionError):
            return None
        app = self._app_of(appid) if isinstance(appid, str) else None
        if app is None or Secret(mac) != Secret(_mac(app.secret, content)):
            return None
        client = client_of(name)
        if client is None or stamp != _stamp(client):
            return None
        return (client, appid) if self._clock.wall().timestamp() < until else None


def _stamp(client: Client) -> str:
    return client.key_sha256[:16]


def _mac(secret: Secret, content: str) -> str:
    key = hmac.digest(secret.reveal().encode(), b"tokend handle", hashlib.sha256)
    return _encoded(hmac.digest(key, content.encode(), hashlib.sha256))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
