"""Clients of Redis as people run it: one server, Sentinel, Cluster.

redis-py by default repeats a command whose answer is lost. A lease must not be asked for by a
layer that does not know who asks, so retries are off: in each client, and in those that ask the
sentinels. What a node of a cluster sends elsewhere (MOVED, ASK) it did not do, nor does a server
do a script that it does not know (NOSCRIPT): redis-py follows those, and repeats nothing by it.
"""

from __future__ import annotations

from asyncio import Semaphore
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tokend.store.login import ANONYMOUS
from tokend.store.redis_url import RedisUrl
from tokend.store.trouble import said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from tokend.model import Secret
    from tokend.store.login import Login

Client: TypeAlias = "Redis | RedisCluster"
_Options: TypeAlias = dict[str, Any]

# Commands, and so connections, at once. Each TLS connection costs redis-py 20 ms of CPU.
_AT_ONCE = 20


@asynccontextmanager
async def connected(url: str, login: Login = ANONYMOUS) -> AsyncIterator[Client]:
    """A client that connects on demand: a server that is away now may be there later.

    Raises ``ValueError`` if *url* is none of Redis.
    """
    async with _opened(RedisUrl.parse(url), login) as client:
        yield client


def _opened(where: RedisUrl, login: Login) -> AbstractAsyncContextManager[Client]:
    network = _network(where, login)
    options = network | {
        "username": login.username or None,
        "password": _reveal(login.password),
        "decode_responses": True,
    }
    if where.layout == "cluster":
        return _cluster(where, options)
    if where.layout == "sentinel":
        return _watched(where, options, network | {"password": _reveal(login.sentinel_password)})
    return aclosing(_server(where, options))


class _Server(Redis):
    """Does so many commands at once; others wait. Without that redis-py refuses them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._turns = Semaphore(_AT_ONCE)

    async def execute_command(self, *command: Any, **options: Any) -> Any:
        async with self._turns:
            return await super().execute_command(*command, **options)  # type: ignore[no-untyped-call]


class _Cluster(RedisCluster):
    """The same. What is asked before the nodes are known goes to any of them; so they are first."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._turns = Semaphore(_AT_ONCE)

    async def execute_command(self, *command: Any, **options: Any) -> Any:
        async with self._turns:
            await self.initialize()
            return await super().execute_command(*command, **options)


def _server(where: RedisUrl, options: _Options) -> Redis:
    if where.layout == "socket":
        return _Server(unix_socket_path=where.path, db=where.db, **options)
    ((host, port),) = where.hosts
    return _Server(host=host, port=port, db=where.db, **options)


@asynccontextmanager
async def _watched(
    where: RedisUrl, options: _Options, sentinel_options: _Options
) -> AsyncIterator[Redis]:
    """The master, wherever the sentinels say it is when a connection is made."""
    asked = Sentinel([])  # type: ignore[no-untyped-call]
    asked.sentinels = [_Sentinel(host=h, port=p, **sentinel_options) for h, p in where.hosts]
    async with AsyncExitStack() as stack:
        for sentinel in tuple(asked.sentinels):
            await stack.enter_async_context(aclosing(sentinel))
        master = asked.master_for(where.master, redis_class=_Server, db=where.db, **options)
        yield await stack.enter_async_context(aclosing(master))


class _Sentinel(Redis):
    """Prints why it did not answer, for the message that there is no master.

    redis-py prints the client itself there, in some versions with its password.
    """

    _trouble = ""

    async def sentinel_masters(self) -> Any:
        try:
            return await super().sentinel_masters()
        except RedisError as error:
            self._trouble = said(error)
            raise

    def __repr__(self) -> str:
        at = self.connection_pool.connection_kwargs
        return f"{at['host']}:{at['port']}: {self._trouble}"


@asynccontextmanager
async def _cluster(where: RedisUrl, options: _Options) -> AsyncIterator[RedisCluster]:
    client = _Cluster(
        startup_nodes=[ClusterNode(host, port) for host, port in where.hosts],
        # On each fifth MOVED redis-py would close all connections, under commands of others too.
        reinitialize_steps=0,
        **options,
    )
    try:
        yield client
    finally:
        await client.aclose()
        # After an error that does nothing, because the client is about to learn its nodes anew.
        for node in (*client.get_nodes(), *client.nodes_manager.startup_nodes.values()):
            await node.disconnect()


def _network(where: RedisUrl, login: Login) -> _Options:
    """What is the same for Redis and its sentinels.

    RESP2 is what every server, proxy and version of redis-py speaks alike.
    """
    options: _Options = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": login.timeout_seconds,
        "socket_connect_timeout": login.timeout_seconds,
    }
    if where.tls:
        options |= {
            "ssl": True,
            "ssl_check_hostname": True,
            "ssl_ca_certs": login.ca_file and str(login.ca_file),
            "ssl_certfile": login.cert_file and str(login.cert_file),
            # Always, because older versions of redis-py forget a certificate that comes without.
            "ssl_keyfile": login.cert_file and str(login.key_file or login.cert_file),
        }
    return options


def _reveal(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None
