"""What can be set, section by section, with the defaults."""

from __future__ import annotations

import grp
import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Literal, NamedTuple, Self, TypeAlias, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from tokend.model import Permission
from tokend.store.mirror import PLACEHOLDERS
from tokend.store.redis_url import RedisUrl, is_redis

_T = TypeVar("_T")

_LONGEST_SOCKET_PATH = 107

# WeChat gives a new stable_token only in the last 300 s of the old one.
# https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken.html
_STABLE_WINDOW = 300

_SHORTEST_RECONCILE = 30


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
    if path and not path.startswith("/"):
        raise ValueError(f"{path}: must be an absolute path")
    if len(path.encode()) > _LONGEST_SOCKET_PATH:
        raise ValueError(
            f"{path}: longer than {_LONGEST_SOCKET_PATH} bytes, which no socket may be"
        )
    return path


def _octal(text: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError(f"{text}: must be octal digits, as in '0660'")
    return text


def _group(name: str) -> str:
    if name:
        try:
            grp.getgrnam(name)
        except KeyError:
            raise ValueError(f"{name}: no such group on this host") from None
    return name


def _corpid(text: str) -> str:
    if not re.fullmatch(r"w[wx][0-9a-z]{16}", text):
        raise ValueError(f"{text}: must be 'ww' and 16 small letters or digits")
    return text


def _appid(text: str) -> str:
    if not re.fullmatch(r"wx[0-9a-z]{16}", text):
        raise ValueError(f"{text}: must be 'wx' and 16 small letters or digits")
    return text


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


def _api_path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9_-]+)+/?\*?", text):
        raise ValueError(
            f"{text}: must be like '/cgi-bin/message/custom/send' or '/cgi-bin/media/*'"
        )
    return text


ApiPath: TypeAlias = Annotated[str, AfterValidator(_api_path)]
Can: TypeAlias = Annotated[Permission, Field(strict=False)]
Listen: TypeAlias = Annotated[Address, BeforeValidator(Address.parse)]
Pattern: TypeAlias = Annotated[str, AfterValidator(_pattern)]
WechatUrl: TypeAlias = Annotated[str, AfterValidator(_wechat_url)]


class _Section(BaseModel):
    """A table of the file: nothing else in it, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class ServerSettings(_Section):
    """Where tokend is reached."""

    listen: Annotated[tuple[Listen, ...], Field(strict=False)] = (Address("127.0.0.1", 8390),)
    socket: Annotated[str, AfterValidator(_socket_path)] = "/run/tokend/tokend.sock"
    socket_mode: Annotated[str, AfterValidator(_octal)] = "0600"
    socket_group: Annotated[str, AfterValidator(_group)] = ""
    allowed_hosts: Annotated[tuple[str, ...], Field(strict=False)] = ()


class StoreSettings(_Section):
    """Where tokens are kept."""

    url: Annotated[str, AfterValidator(_store_url)] = "sqlite:///var/lib/tokend/tokend.db"
    username: str = ""
    password_file: str = ""
    sentinel_password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=5)] = 1
    mirror: Annotated[tuple[Pattern, ...], Field(strict=False)] = ()
    mirror_json: Annotated[tuple[Pattern, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _check_login(self) -> StoreSettings:
        redis = RedisUrl.parse(self.url) if is_redis(self.url) else None
        if (self.password_file or self.username) and not redis:
            raise ValueError("username and password_file are for Redis, which url is not")
        if self.sentinel_password_file and not (redis and redis.layout == "sentinel"):
            raise ValueError("sentinel_password_file is for redis+sentinel://, which url is not")
        if (self.ca_file or self.cert_file or self.key_file) and not (redis and redis.tls):
            raise ValueError(
                "ca_file, cert_file and key_file are for TLS, as in rediss://, which url is not"
            )
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        return self

    @model_validator(mode="after")
    def _check_mirror(self) -> StoreSettings:
        if not (self.mirror or self.mirror_json):
            return self
        if not is_redis(self.url):
            raise ValueError("mirror and mirror_json are for Redis, which url is not")
        if RedisUrl.parse(self.url).layout == "cluster":
            raise ValueError(
                "mirror and mirror_json are not for a cluster: a name of others is in another slot "
                "than the record, and cannot be written in one step with it; use redis:// or "
                "redis+sentinel://"
            )
        return self


class RefreshSettings(_Section):
    """How nodes share the work, and what may be spent on what nobody planned."""

    lease_seconds: Annotated[float, Field(ge=5, le=60)] = 30
    quarantine_seconds: Annotated[float, Field(ge=5, le=120)] = 90
    reconcile_seconds: Annotated[float, Field(ge=0, le=3600)] = 240
    pause_seconds: Annotated[int, Field(ge=60, le=3600)] = 60
    daily_limit: Annotated[int, Field(ge=1, le=20)] = 15
    operator_reserve: Annotated[int, Field(ge=0, le=20)] = 5
    standalone_minter: bool = False

    @field_validator("reconcile_seconds")
    @classmethod
    def _check_reconcile(cls, seconds: float) -> float:
        if 0 < seconds < _SHORTEST_RECONCILE:
            raise ValueError(f"0 (never), or at least {_SHORTEST_RECONCILE}")
        return seconds


class WechatSettings(_Section):
    """How WeChat is reached."""

    url: WechatUrl = "https://api.weixin.qq.com"
    fallback_urls: Annotated[tuple[WechatUrl, ...], Field(strict=False)] = ()
    proxy: Annotated[str, AfterValidator(_proxy_url)] = ""
    timeout_seconds: Annotated[float, Field(ge=1, le=8)] = 8

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self.timeout_seconds)


class LogSettings(_Section):
    """How much is told."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class WecomSettings(_Section):
    """How WeCom is reached; else as WeChat."""

    url: WechatUrl = "https://qyapi.weixin.qq.com"


class ForwardSettings(_Section):
    """Whether other calls to WeChat are passed on."""

    enabled: bool = False


class _Account(_Section):
    """What accounts of all kinds have."""

    secret_file: str = ""
    secret_credential: str = ""
    ahead_seconds: Annotated[int, Field(ge=60, le=900)] = 300

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if bool(self.secret_file) == bool(self.secret_credential):
            raise ValueError("needs either secret_file or secret_credential")
        return self


class AppSettings(_Account):
    """An official account or a mini-program."""

    type: Literal["official"] = "official"
    appid: Annotated[str, AfterValidator(_appid)]
    method: Literal["stable_token", "token"] = "stable_token"
    kinds: Annotated[
        tuple[Literal["access_token", "jsapi_ticket", "wx_card_ticket"], ...],
        Field(strict=False),
        AfterValidator(_with_access_token),
    ] = ("access_token",)

    @model_validator(mode="after")
    def _check_window(self) -> AppSettings:
        if self.method == "stable_token" and self.ahead_seconds > _STABLE_WINDOW:
            raise ValueError(
                f"ahead_seconds: at most {_STABLE_WINDOW} with stable_token, which gives a new "
                f"token only in the last {_STABLE_WINDOW} s of the old one"
            )
        return self


class WecomAppSettings(_Account):
    """An agent of a corp at WeCom."""

    type: Literal["wecom"]
    corpid: Annotated[str, AfterValidator(_corpid)]
    agentid: Annotated[int, Field(ge=1, le=2**31)]
    kinds: Annotated[
        tuple[Literal["access_token", "jsapi_ticket", "agent_config_ticket"], ...],
        Field(strict=False),
        AfterValidator(_with_access_token),
    ] = ("access_token",)

    @property
    def appid(self) -> str:
        return f"{self.corpid}/{self.agentid}"

    @property
    def method(self) -> str:
        return "gettoken"


class ClientSettings(_Section):
    """One program that may ask."""

    key_sha256: Annotated[str, AfterValidator(_key_sha256)]
    apps: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_not_empty)]
    can: Annotated[tuple[Can, ...], Field(strict=False), AfterValidator(_not_empty)]
    tokens: Literal["given", "never"] = "given"
    paths: Annotated[tuple[ApiPath, ...], Field(strict=False)] = ()


# Every section, and every table that holds named ones.
SECTIONS: dict[str, type[_Section]] = {
    "server": ServerSettings,
    "store": StoreSettings,
    "refresh": RefreshSettings,
    "wechat": WechatSettings,
    "wecom": WecomSettings,
    "forward": ForwardSettings,
    "log": LogSettings,
}
NAMED: dict[str, tuple[type[_Section], ...]] = {
    "apps": (AppSettings, WecomAppSettings),
    "clients": (ClientSettings,),
}
