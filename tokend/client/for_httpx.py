"""httpx with WeChat's tokens: an ``httpx.Auth``, for both of its clients.

::

    auth = TokenAuth(Client(), "shop/access_token")
    with httpx.Client(auth=auth, base_url="https://api.weixin.qq.com") as http:
        http.get("/cgi-bin/get_api_domain_ip").json()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import httpx

from tokend.client.errors import UsageError
from tokend.client.rejection import is_rejection
from tokend.client.sync import Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator

    from tokend.client.aio import AsyncClient
    from tokend.client.token import Token

# https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Interface_field_description.html
# and WeCom's: https://developer.work.weixin.qq.com/document/path/91039
WECHAT = (
    "https://api.weixin.qq.com",
    "https://api2.weixin.qq.com",
    "https://sh.api.weixin.qq.com",
    "https://sz.api.weixin.qq.com",
    "https://hk.api.weixin.qq.com",
    "https://qyapi.weixin.qq.com",
)

_PARAMETER = "access_token"

# WeChat rejects a token in a few hundred bytes; what is longer is not looked at.
_LONGEST_REJECTION = 4 * 1024


class TokenAuth(httpx.Auth):
    """The token of *key* in the query of each request; another, and the request again, if rejected.

    *client* is a ``Client`` for ``httpx.Client``, an ``AsyncClient`` for ``httpx.AsyncClient``.
    A request to any but the *origins* (scheme, host and port), and a mix of sync and async, raise
    ``UsageError``; without a token they raise what ``client.token()`` does. If there is no other
    token, or the body cannot be sent twice, or after *retries*, WeChat's answer comes back.
    """

    def __init__(
        self,
        client: Client | AsyncClient,
        key: str,
        *,
        origins: Iterable[str] = WECHAT,
        retries: int = 1,
    ) -> None:
        self._client = client
        self._key = key
        self._origins = frozenset(map(_read_origin, origins))
        self._retries = retries

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        client = self._client
        if not isinstance(client, Client):
            raise UsageError("httpx.Client takes the tokens of a Client, not of an AsyncClient")
        self._check(request)
        token = client.token(self._key)
        for _ in range(self._retries):
            response = yield _with(token, request)
            if not (_may_reject(response, token) and _is_rejection(response, _look(response))):
                return
            newer = client.replacement(token)
            if newer is None or not _can_be_sent_again(request):
                return
            token = newer
        yield _with(token, request)

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        client = self._client
        if isinstance(client, Client):
            raise UsageError("httpx.AsyncClient takes the tokens of an AsyncClient, not a Client")
        self._check(request)
        token = await client.token(self._key)
        for _ in range(self._retries):
            response = yield _with(token, request)
            if not (
                _may_reject(response, token) and _is_rejection(response, await _alook(response))
            ):
                return
            newer = await client.replacement(token)
            if newer is None or not _can_be_sent_again(request):
                return
            token = newer
        yield _with(token, request)

    def _check(self, request: httpx.Request) -> None:
        origin = _origin(request.url)
        if origin not in self._origins:
            raise UsageError(f"{origin}: not one of the origins that may see {self._key}")


class _Url(httpx.URL):
    """Sent as it is, and shown without the token: httpx logs URLs and names them in exceptions."""

    def __str__(self) -> str:
        return str(httpx.URL(self).copy_set_param(_PARAMETER, "hidden"))

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"


def _read_origin(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host or url.raw_path != b"/":
        raise UsageError(f"origins: {text!r} is not like https://host:port")
    return _origin(url)


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _with(token: Token, request: httpx.Request) -> httpx.Request:
    request.url = _Url(request.url.copy_set_param(_PARAMETER, token))
    return request


def _can_be_sent_again(request: httpx.Request) -> bool:
    """Bytes and forms, which both clients can send; not what one of them takes from an iterator."""
    return isinstance(request.stream, httpx.SyncByteStream) and isinstance(
        request.stream, httpx.AsyncByteStream
    )


def _may_reject(response: httpx.Response, token: Token) -> bool:
    """Not who was asked after a redirect, without the token.

    Nor does a file: it says what its author wanted it to say.
    """
    return (
        response.request.url.params.get(_PARAMETER) == token
        and response.status_code == httpx.codes.OK
        and "Content-Disposition" not in response.headers
    )


def _is_rejection(response: httpx.Response, body: bytes | None) -> bool:
    """*body* as it was sent. Its type is not asked: WeChat sends JSON as text/plain as well."""
    if body is None:
        return False
    try:
        answer = httpx.Response(response.status_code, headers=response.headers, content=body)
        return is_rejection(answer.json())
    except (ValueError, RecursionError, httpx.DecodingError):
        return False


def _look(response: httpx.Response) -> bytes | None:
    """The body, if it may be a rejection; whoever reads it later gets all of it."""
    seen = _Seen(cast("httpx.SyncByteStream", response.stream))
    response.stream = seen
    try:
        return seen.whole()
    except httpx.RequestError as error:
        error.request = response.request
        raise


async def _alook(response: httpx.Response) -> bytes | None:
    seen = _AsyncSeen(cast("httpx.AsyncByteStream", response.stream))
    response.stream = seen
    try:
        return await seen.whole()
    except httpx.RequestError as error:
        error.request = response.request
        raise


class _Seen(httpx.SyncByteStream):
    """A stream whose beginning was read, and is there again."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream
        self._rest = iter(stream)
        self._begin = bytearray()

    def whole(self) -> bytes | None:
        """None if it is longer than a rejection."""
        for piece in self._rest:
            self._begin += piece
            if len(self._begin) > _LONGEST_REJECTION:
                return None
        return bytes(self._begin)

    def __iter__(self) -> Iterator[bytes]:
        yield bytes(self._begin)
        yield from self._rest

    def close(self) -> None:
        self._stream.close()


class _AsyncSeen(httpx.AsyncByteStream):
    """The same, to be awaited."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream
        self._rest = aiter(stream)
        self._begin = bytearray()

    async def whole(self) -> bytes | None:
        async for piece in self._rest:
            self._begin += piece
            if len(self._begin) > _LONGEST_REJECTION:
                return None
        return bytes(self._begin)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield bytes(self._begin)
        async for piece in self._rest:
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
