"""Where tokend is, and the client key to show there."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tokend.client.errors import Away, UsageError
from tokend.client.hidden import Hidden

_DEFAULT_SOCKET = "/run/tokend/tokend.sock"
_SCHEMES = ("http", "https")


@dataclass(slots=True, kw_only=True)
class Address:
    """A URL, or a Unix socket under a URL that only names a host; headers show the client key."""

    url: str
    socket: str | None
    key_file: Path | None
    headers: dict[str, str] = field(repr=False)

    @property
    def shown(self) -> str:
        return self.socket or self.url

    def away(self, error: Exception) -> Away:
        """In the system's own words alone: an exception's may hold what was sent."""
        words = _of_certificate(error) or getattr(error, "strerror", None) or type(error).__name__
        return Away(f"{self.shown}: {words}")

    def read_key_again(self) -> dict[str, str]:
        """The headers with the key that the file holds now; as they were, if it holds none."""
        with suppress(UsageError):
            self.headers = _headers(self.key_file)
        return self.headers


def _of_certificate(error: Exception) -> str | None:
    """aiohttp wraps what OpenSSL says."""
    cause = error.__cause__ or error
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return None
    return f"its certificate is not good: {cause.verify_message}"


def find(*, url: str | None, socket: str | os.PathLike[str] | None, key_file: object) -> Address:
    """By what the program says, then ``TOKEND_URL``, ``TOKEND_SOCKET``, and where it is by default.

    The key is read from *key_file* or ``TOKEND_KEY_FILE``; a socket needs none.
    """
    if url is not None and socket is not None:
        raise UsageError("url and socket: give one of them")
    if url is None and socket is None:
        url = os.environ.get("TOKEND_URL") or None
    if url is not None:
        path = _path(key_file or os.environ.get("TOKEND_KEY_FILE"))
        return Address(url=_url(url), socket=None, key_file=path, headers=_headers(path))
    if socket is None:
        socket = os.environ.get("TOKEND_SOCKET") or _DEFAULT_SOCKET
    if not os.fspath(socket):
        raise UsageError("socket: must be the path of one")
    return Address(url="http://localhost", socket=os.fspath(socket), key_file=None, headers={})


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.path.strip("/") or parts.query:
        raise UsageError("url: must be like http://host:port")
    return f"{parts.scheme}://{parts.netloc}"


def _path(key_file: object) -> Path | None:
    """Absolute, because it is read again when the program may have gone elsewhere."""
    return Path(str(key_file)).absolute() if key_file else None


def _headers(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        key = Hidden(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:
        key = Hidden()
    if not key.isprintable() or not key or " " in key:
        raise UsageError(f"{path}: holds no client key")
    return {"Authorization": Hidden(f"Bearer {key}")}
