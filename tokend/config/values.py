"""What single values must be like. A mistake is a ``ValueError`` that never holds a secret."""

from __future__ import annotations

import grp
import ipaddress
import re
from typing import Annotated, NamedTuple, TypeAlias, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from tokend.model import Permission
from tokend.notify.receiver import Topic
from tokend.store.mirror import PLACEHOLDERS
from tokend.store.redis_url import RedisUrl, is_redis

_T = TypeVar("_T")

_LONGEST_SOCKET_PATH = 107

# api.weixin.qq.com, its regional twins, qyapi.weixin.qq.com.
# https://developers.weixin.qq.com/doc/service/guide/dev/api/
_WECHAT_HOST = re.compile(r"(?:[a-z0-9-]+\.)+weixin\.qq\.com")


def _network(text: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """An address is a network of one."""
    try:
        if isinstance(text, str):
            return ipaddress.ip_network(text)
    except ValueError:
        pass
    raise ValueError(f"{text!a}: must be an address or a network, as '10.0.0.7' or '10.0.0.0/24'")


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    @classmethod
    def parse(cls, text: object) -> Address:
        if not isinstance(text, str):
            raise ValueError("must be a string such as '127.0.0.1:8390'")  # noqa: TRY004
        host, colon, port = text.rpartition(":")
        if not (colon and port.isascii() and port.isdigit() and int(port) <= 65535):  # noqa: PLR2004
            raise ValueError(f"{text}: must end with a port, as in '127.0.0.1:8390'")
        if host == "localhost":
            return cls(host, int(port))
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            version = ipaddress.ip_address(bare).version
        except ValueError:
            raise ValueError(f"{text}: must begin with an IP address or localhost") from None
        if (version == 6) != (bare != host):  # noqa: PLR2004
            raise ValueError(f"{text}: an IPv6 address stands in brackets, as in '[::1]:8390'")
        return cls(bare, int(port))


def _split(url: str) -> SplitResult:
    """Without showing the URL: it may hold what must not be shown."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if "@" in parts.netloc:
        raise ValueError("must hold no user name or password; passwords have files of their own")
    return parts


def _store_url(url: str) -> str:
    if url == "memory:":
        return url
    if is_redis(url):
        RedisUrl.parse(url)
        return url
    parts = _split(url)
    if parts.scheme != "sqlite":
        raise ValueError(f"must be one of {_STORES}")
    if parts.netloc or not (parts.path.startswith("/") and parts.path.strip("/")):
        raise ValueError("needs an absolute path, as in 'sqlite:///var/lib/tokend/…'")
    return url


_STORES = (
    "memory:, sqlite:///path, redis://, redis+sentinel://, redis+cluster:// "
    "(rediss… with TLS), unix:///path"
)


def _pattern(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if not text.isprintable():
        raise ValueError(f"{text!a}: must hold no control characters")
    rest = text
    for placeholder in PLACEHOLDERS:
        rest = rest.replace(placeholder, " ")
    if "{" in rest or "}" in rest:
        raise ValueError(f"{text}: braces are for {', '.join(PLACEHOLDERS)} and nothing else")
    return text


def _wechat_url(url: str) -> str:
    parts = _split(url)
    if parts.path.strip("/") or parts.query or parts.fragment or not parts.hostname:
        raise ValueError(f"{url}: must be scheme and host alone")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
        return url.rstrip("/")
    raise ValueError(f"{url}: must be https; the AppSecret goes there")


def foreign_host(url: str) -> str | None:
    """The host of *url* if it is not one of WeChat's own, nor this one.

    A name is taken in its plainest form only: what two programs read differently could go
    elsewhere.
    """
    host = urlsplit(url).hostname or ""
    is_known = _WECHAT_HOST.fullmatch(host) or _is_loopback(host)
    return None if is_known else host


def _is_loopback(host: str) -> bool:
    try:
        return Address(host, 0).is_loopback
    except ValueError:
        return False


def _proxy_url(url: str) -> str:
    if not url:
        return url
    parts = _split(url)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
        raise ValueError("must be like 'http://proxy:3128'")
    return url.rstrip("/")


def _socket_path(path: str) -> str:
    if len(_path(path).encode()) > _LONGEST_SOCKET_PATH:
        raise ValueError(
            f"{path}: longer than {_LONGEST_SOCKET_PATH} bytes, which no socket may be"
        )
    return path


def _path(path: str) -> str:
    if path and not (path.startswith("/") and path.isprintable()):
        raise ValueError(f"{path!a}: must be an absolute path")
    return path


def _file_name(name: str) -> str:
    """Without showing it: a URL may be a secret."""
    if "://" in name:
        raise ValueError(
            "must name a file; a URL does not belong in this one, put it into a file of mode 0600"
        )
    return name


def webhook_url(url: str) -> None:
    """Raises ``ValueError`` if messages cannot be sent there, or could be read on the way."""
    parts = _split(url)
    if not parts.hostname or parts.scheme not in {"https", "http"}:
        raise ValueError("must hold a URL that begins with https://")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("must hold a URL that begins with https://; who can read it can use it")


def _group(name: str) -> str:
    if name:
        try:
            grp.getgrnam(name)
        except KeyError:
            raise ValueError(f"{name}: no such group on this host") from None
    return name


def _like(pattern: str, words: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text}: must be {words}")
        return text

    return AfterValidator(check)


def _key_sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError("must be the 64 hex digits that 'tokend key CLIENT' prints")
    return text.lower()


def _not_empty(given: tuple[_T, ...]) -> tuple[_T, ...]:
    if not given:
        raise ValueError("must not be empty")
    return given


def _with_access_token(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """First: the others are asked for with it."""
    if "access_token" not in kinds:
        raise ValueError("must hold access_token, which tickets are asked for with")
    return tuple(dict.fromkeys(("access_token", *kinds)))


ApiPath: TypeAlias = Annotated[
    str,
    _like(r"(/[A-Za-z0-9_-]+)+(/\*)?", "like '/cgi-bin/message/custom/send' or '/cgi-bin/media/*'"),
]
Appid: TypeAlias = Annotated[str, _like(r"wx[0-9a-z]{16}", "'wx' and 16 small letters or digits")]
CertificateName: TypeAlias = Annotated[
    str,
    _like(r"[!-~]([ -~]{0,253}[!-~])?", "a name as certificates have it, in ASCII"),
]
Corpid: TypeAlias = Annotated[
    str, _like(r"w[wx][0-9a-z]{16}", "'ww' and 16 small letters or digits")
]
FileName: TypeAlias = Annotated[str, AfterValidator(_file_name)]
Group: TypeAlias = Annotated[str, AfterValidator(_group)]
KeySha256: TypeAlias = Annotated[str, AfterValidator(_key_sha256)]
Octal: TypeAlias = Annotated[str, _like(r"0?[0-7]{3}", "octal digits, as in '0660'")]
Path: TypeAlias = Annotated[str, AfterValidator(_path)]
Pattern: TypeAlias = Annotated[str, AfterValidator(_pattern)]
ProxyUrl: TypeAlias = Annotated[str, AfterValidator(_proxy_url)]
SocketPath: TypeAlias = Annotated[str, AfterValidator(_socket_path)]
StoreUrl: TypeAlias = Annotated[str, AfterValidator(_store_url)]
WechatUrl: TypeAlias = Annotated[str, AfterValidator(_wechat_url)]
Can: TypeAlias = Annotated[Permission, Field(strict=False)]
Told: TypeAlias = Annotated[Topic, Field(strict=False)]
Listen: TypeAlias = Annotated[Address, BeforeValidator(Address.parse)]

Network: TypeAlias = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)
]

NOT_EMPTY = AfterValidator(_not_empty)
WITH_ACCESS_TOKEN = AfterValidator(_with_access_token)
