"""Where tokend is, and the client key to show there."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from tokend.client.errors import Away, UsageError

_DEFAULT_SOCKET = "/run/tokend/tokend.sock"
_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A URL, or a Unix socket under a URL that only names a host; headers show the client key."""

    url: str
    socket: str | None
    headers: dict[str, str] = field(repr=False)

    @property
    def shown(self) -> str:
        return self.socket or self.url

    def away(self, error: Exception) -> Away:
        """In the system's own words alone: an exception's may hold what was sent."""
        words = getattr(error, "strerror", None) or type(error).__name__
        return Away(f"{self.shown}: {words}", retry_after=timedelta(seconds=1))


def find(*, url: str | None, socket: str | os.PathLike[str] | None, key_file: object) -> Address:
    """By what the program says, then ``TOKEND_URL``, ``TOKEND_SOCKET``, and where it is by default.

    The key is read from *key_file* or ``TOKEND_KEY_FILE``; a socket needs none.
    """
    if url is not None and socket is not None:
        raise UsageError("url and socket: give one of them")
    if url is None and socket is None:
        url = os.environ.get("TOKEND_URL")
    if url:
        return Address(url=_url(url), socket=None, headers=_headers(key_file))
    path = os.fspath(socket or os.environ.get("TOKEND_SOCKET") or _DEFAULT_SOCKET)
    return Address(url="http://localhost", socket=path, headers={})


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.path.strip("/") or parts.query:
        raise UsageError("url: must be like http://host:port")
    return f"{parts.scheme}://{parts.netloc}"


def _headers(key_file: object) -> dict[str, str]:
    path = key_file or os.environ.get("TOKEND_KEY_FILE")
    if not path:
        return {}
    try:
        key = Path(str(path)).read_text(encoding="ascii").strip()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:
        key = ""
    if not key.isprintable() or not key or " " in key:
        raise UsageError(f"{path}: holds no client key")
    return {"Authorization": f"Bearer {key}"}
