"""What can be set, section by section, with the defaults."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tokend.config.values import (
    Address,
    Group,
    Listen,
    Network,
    Octal,
    Path,
    Pattern,
    ProxyUrl,
    SocketPath,
    StoreUrl,
    WechatUrl,
    foreign_host,
)
from tokend.store.redis_url import RedisUrl, is_redis

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHORTEST_RECONCILE = 30


class Section(BaseModel):
    """A table of the file: nothing else in it, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class ServerSettings(Section):
    """Where tokend is reached."""

    listen: Annotated[tuple[Listen, ...], Field(strict=False)] = (Address("127.0.0.1", 8390),)
    socket: SocketPath = "/run/tokend/tokend.sock"
    socket_mode: Octal = "0600"
    socket_group: Group = ""
    allowed_hosts: Annotated[tuple[str, ...], Field(strict=False)] = ()
    proxies: Annotated[tuple[Network, ...], Field(strict=False)] = ()
    connections: Annotated[int, Field(ge=4, le=100_000)] = 4096
    connections_per_address: Annotated[int, Field(ge=1, le=100_000)] = 1024
    polls_per_client: Annotated[int, Field(ge=1, le=100_000)] = 768
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_crl_file: str = ""
    client_certificates: Literal["required", "optional"] = "required"
    insecure_http: bool = False
    metrics: Literal["status", "open"] = "status"

    @model_validator(mode="after")
    def _check_tls(self) -> ServerSettings:
        for setting, needed in (
            ("key_file", "cert_file"),
            ("client_ca_file", "cert_file"),
            ("client_crl_file", "client_ca_file"),
        ):
            if getattr(self, setting) and not getattr(self, needed):
                raise ValueError(f"{setting} needs {needed}")
        if self.insecure_http and self.cert_file:
            raise ValueError(
                "insecure_http is for addresses without TLS, and cert_file gives it to all of "
                "them; take one of the two away"
            )
        return self

    @property
    def readable_on(self) -> list[Address]:
        """Addresses at which others on the network can listen in."""
        return [each for each in self.listen if not (self.cert_file or each.is_loopback)]


class StoreSettings(Section):
    """Where tokens are kept."""

    url: StoreUrl = "sqlite:///var/lib/tokend/tokend.db"
    username: str = ""
    password_file: str = ""
    sentinel_password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=5)] = 1
    seal_key_file: str = ""
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
    def _check_seal(self) -> StoreSettings:
        if self.seal_key_file and self.url == "memory:":
            raise ValueError("seal_key_file is for SQLite and Redis, which url is not")
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


class RefreshSettings(Section):
    """How nodes share the work, and what may be spent on what nobody planned."""

    lease_seconds: Annotated[float, Field(ge=5, le=60)] = 30
    quarantine_seconds: Annotated[float, Field(ge=5, le=120)] = 90
    reconcile_seconds: Annotated[float, Field(ge=0, le=3600)] = 240
    pause_seconds: Annotated[int, Field(ge=60, le=3600)] = 60
    daily_limit: Annotated[int, Field(ge=1, le=20)] = 15
    operator_reserve: Annotated[int, Field(ge=0, le=20)] = 5
    most_at_once: Annotated[int, Field(ge=1, le=1000)] = 64
    standalone_minter: bool = False

    @field_validator("reconcile_seconds")
    @classmethod
    def _check_reconcile(cls, seconds: float) -> float:
        if 0 < seconds < _SHORTEST_RECONCILE:
            raise ValueError(f"0 (never), or at least {_SHORTEST_RECONCILE}")
        return seconds


def _check_hosts(urls: Iterable[str], *, gateway: bool) -> None:
    for url in urls:
        if not gateway and (host := foreign_host(url)):
            raise ValueError(
                f"{url}: is not a host of WeChat's, and is given AppSecrets; mend it, or set "
                f"gateway = true if {host} is your own way there"
            )


class WechatSettings(Section):
    """How WeChat is reached."""

    url: WechatUrl = "https://api.weixin.qq.com"
    gateway: bool = False
    fallback_urls: Annotated[tuple[WechatUrl, ...], Field(strict=False)] = ()
    proxy: ProxyUrl = ""
    timeout_seconds: Annotated[float, Field(ge=1, le=8)] = 8

    @model_validator(mode="after")
    def _check_hosts(self) -> Self:
        _check_hosts([self.url, *self.fallback_urls], gateway=self.gateway)
        return self

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self.timeout_seconds)


class LogSettings(Section):
    """How much is told."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    audit_file: Path = ""


class WecomSettings(Section):
    """How WeCom is reached; else as WeChat."""

    url: WechatUrl = "https://qyapi.weixin.qq.com"
    gateway: bool = False

    @model_validator(mode="after")
    def _check_hosts(self) -> Self:
        _check_hosts([self.url], gateway=self.gateway)
        return self


class ForwardSettings(Section):
    """Whether other calls to WeChat are passed on."""

    enabled: bool = False


class LoginSettings(Section):
    """Whether users of mini-programs log in by way of tokend, and how long that lasts."""

    enabled: bool = False
    session_seconds: Annotated[int, Field(ge=300, le=31_536_000)] = 2_592_000
    sliding: bool = True
    data_age_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 300

    @property
    def session_lifetime(self) -> timedelta:
        return timedelta(seconds=self.session_seconds)

    @property
    def data_age(self) -> timedelta:
        return timedelta(seconds=self.data_age_seconds)


# Every section there is.
SECTIONS: dict[str, type[Section]] = {
    "server": ServerSettings,
    "store": StoreSettings,
    "refresh": RefreshSettings,
    "wechat": WechatSettings,
    "wecom": WecomSettings,
    "forward": ForwardSettings,
    "login": LoginSettings,
    "log": LogSettings,
}
