"""What a Redis URL says. Without redis-py, which takes long to import."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Host: TypeAlias = tuple[str, int]
Layout: TypeAlias = Literal["socket", "server", "sentinel", "cluster"]

_SCHEME = re.compile(r"unix|(?:redis|valkey)(?P<tls>s?)(?P<layout>|\+sentinel|\+cluster)")
_HOST = re.compile(
    r"(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<ipv6>[^\[\]]+)\])(?::(?P<port>[0-9]{1,5}))?"
)
_MASTER = re.compile(r"[A-Za-z0-9._-]+")
_DB = re.compile(r"[0-9]{1,9}")

_SERVER_PORT = 6379
_SENTINEL_PORT = 26379
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """Where Redis is.

    *hosts* are the server, the sentinels that watch *master*, or nodes of a cluster who know its
    others. A server on a Unix socket has a *path* instead.
    """

    layout: Layout
    tls: bool = False
    hosts: tuple[Host, ...] = ()
    path: str = ""
    master: str = ""
    db: int = 0

    @classmethod
    def parse(cls, url: str) -> RedisUrl:
        """Raises ``ValueError``, which does not show the URL: it may hold a password."""
        scheme, _, rest = url.partition("://")
        known = _SCHEME.fullmatch(scheme)
        if not known:
            raise ValueError("not a URL of Redis")
        hosts, _, path = rest.partition("/")
        if "@" in hosts:
            raise ValueError(
                "must hold no user name or password; passwords have files of their own"
            )
        tls = bool(known["tls"])
        if scheme == "unix":
            return _socket(hosts, path)
        if known["layout"] == "+sentinel":
            return _sentinel(hosts, path, tls=tls)
        if known["layout"] == "+cluster":
            return _cluster(hosts, path, tls=tls)
        return _server(hosts, path, tls=tls)


def is_redis(url: str) -> bool:
    """Tell by the scheme alone."""
    return bool(_SCHEME.fullmatch(url.partition("://")[0]))


def _socket(hosts: str, path: str) -> RedisUrl:
    path, _, query = path.partition("?")
    if hosts or not path.strip("/"):
        raise ValueError("needs an absolute path, as in 'unix:///run/redis/redis.sock'")
    if query and not query.startswith("db="):
        raise ValueError("nothing but a database may follow the path, as in '?db=1'")
    return RedisUrl(layout="socket", path=f"/{path}", db=_db(query.removeprefix("db=")))


def _server(hosts: str, path: str, *, tls: bool) -> RedisUrl:
    one = _hosts(hosts, _SERVER_PORT)
    if len(one) != 1:
        raise ValueError("more than one host; for that there are +sentinel and +cluster")
    return RedisUrl(layout="server", tls=tls, hosts=one, db=_db(path))


def _sentinel(hosts: str, path: str, *, tls: bool) -> RedisUrl:
    sentinels = _hosts(hosts, _SENTINEL_PORT)
    master, _, db = path.partition("/")
    if not _MASTER.fullmatch(master):
        raise ValueError("needs the name of a master, as in 'redis+sentinel://host:26379/main/0'")
    return RedisUrl(layout="sentinel", tls=tls, hosts=sentinels, master=master, db=_db(db))


def _cluster(hosts: str, path: str, *, tls: bool) -> RedisUrl:
    if path:
        raise ValueError("must end with the hosts: a cluster has one database")
    return RedisUrl(layout="cluster", tls=tls, hosts=_hosts(hosts, _SERVER_PORT))


def _hosts(text: str, port: int) -> tuple[Host, ...]:
    if not text:
        raise ValueError("needs a host, as in 'redis://127.0.0.1:6379/0'")
    return tuple(_host(each, port) for each in text.split(","))


def _host(text: str, port: int) -> Host:
    found = _HOST.fullmatch(text)
    if not found or (found["ipv6"] and not _is_ipv6(found["ipv6"])):
        raise ValueError("a host must be like 'redis-1', 'redis-1:6379' or '[::1]:6379'")
    port = int(found["port"] or port)
    if not 0 < port <= _LARGEST_PORT:
        raise ValueError(f"a port must be 1 to {_LARGEST_PORT}")
    return found["name"] or found["ipv6"], port


def _is_ipv6(text: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def _db(text: str) -> int:
    if not text:
        return 0
    if not _DB.fullmatch(text):
        raise ValueError("the database must be a number, as in 'redis://127.0.0.1:6379/0'")
    return int(text)
