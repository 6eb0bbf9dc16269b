"""What comes down a socket and is no request, or more than one, or two at once.

After each stands ``LAST``, so that what is answered tells where tokend saw the end. A case names
the statuses before that; ``REFUSED`` is one 4xx, and the connection is over.
"""

from __future__ import annotations

from typing import NamedTuple

HOST = b"Host: localhost\r\n"
LAST = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
REFUSED: tuple[int, ...] = ()

# As Java's HttpClient asks first.
H2C = (
    b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n\r\n"
)

# What somebody would like to have asked for them.
_HIDDEN = b"GET /v1/apps/shop/access_token HTTP/1.1\r\n" + HOST + b"\r\n"


class Case(NamedTuple):
    name: str
    sent: bytes
    answers: tuple[int, ...]


def _get(headers: bytes = b"", line: bytes = b"GET /healthz HTTP/1.1", end: bytes = b"") -> bytes:
    return line + b"\r\n" + HOST + headers + b"\r\n" + end


def _post(headers: bytes, body: bytes) -> bytes:
    """Whose body is read, so that what is wrong in it comes out."""
    line = b"POST /v1/apps/shop/jsapi_signature HTTP/1.1"
    key = b"Authorization: Bearer key-of-shopper\r\n"
    return _get(key + b"Content-Type: application/json\r\n" + headers, line, body)


def _length(text: bytes) -> bytes:
    return _post(b"Content-Length: " + text + b"\r\n", b"{}")


def _chunked(body: bytes, coding: bytes = b"chunked") -> bytes:
    return _post(b"Transfer-Encoding: " + coding + b"\r\n", body)


_CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
# The body ends after two bytes, or where its chunks do.
_BOTH = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"
_HIDDEN_LENGTH = str(len(_HIDDEN)).encode()

CORPUS = (
    Case("length and chunks", _post(_BOTH, b"0\r\n\r\n" + _HIDDEN), REFUSED),
    Case("two lengths", _post(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{}"), REFUSED),
    Case("a length twice", _post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"), REFUSED),
    Case("a length with a sign", _length(b"+2"), REFUSED),
    Case("a negative length", _length(b"-2"), REFUSED),
    Case("a length with a comma", _length(b"2, 2"), REFUSED),
    Case("a length with a space in it", _length(b"2 2"), REFUSED),
    Case("a hexadecimal length", _length(b"0x2"), REFUSED),
    Case("an empty length", _length(b""), REFUSED),
    Case("a length beyond 64 bits", _length(b"9" * 30), REFUSED),
    Case("a length, then a space", _post(b"Content-Length : 2\r\n", b"{}"), REFUSED),
    Case("identity", _chunked(b"{}", b"identity"), REFUSED),
    Case("xchunked", _chunked(_CHUNKS, b"xchunked"), REFUSED),
    Case("chunked, then another", _chunked(_CHUNKS, b"chunked, gzip"), REFUSED),
    Case("another, then chunked", _chunked(_CHUNKS, b"gzip, chunked"), REFUSED),
    Case("chunked twice", _chunked(_CHUNKS, b"chunked, chunked"), REFUSED),
    Case("chunked and a vertical tab", _chunked(_CHUNKS, b"\x0bchunked"), REFUSED),
    Case(
        "two codings",
        _post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", _CHUNKS),
        REFUSED,
    ),
    Case("a negative chunk", _chunked(b"-2\r\n{}\r\n0\r\n\r\n"), REFUSED),
    Case("a chunk with a prefix", _chunked(b"0x2\r\n{}\r\n0\r\n\r\n"), REFUSED),
    Case("a chunk beyond 64 bits", _chunked(b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n"), REFUSED),
    Case("chunks with bare LF", _chunked(b"2\n{}\n0\n\n"), REFUSED),
    Case("a chunk longer than it says", _chunked(b"2\r\n{}}}\r\n0\r\n\r\n"), REFUSED),
    Case("a chunk of no size", _chunked(b"\r\n{}\r\n0\r\n\r\n"), REFUSED),
    Case("bare LF", b"GET /healthz HTTP/1.1\nHost: localhost\n\n", REFUSED),
    Case("bare CR", b"GET /healthz HTTP/1.1\rHost: localhost\r\r", REFUSED),
    Case("bare LF in a header", _get(b"X: a\nY: b\r\n"), REFUSED),
    Case("bare CR in a header", _get(b"X: a\rY: b\r\n"), REFUSED),
    Case("a folded header", _get(b"X: a\r\n b\r\n"), REFUSED),
    Case("a first header that is folded", _get(line=b"GET /healthz HTTP/1.1\r\n X: a"), REFUSED),
    Case("a header without a colon", _get(b"canary\r\n"), REFUSED),
    Case("a header without a name", _get(b": canary\r\n"), REFUSED),
    Case("a space before the colon", _get(b"X : a\r\n"), REFUSED),
    Case("NUL in a header", _get(b"X: a\0b\r\n"), REFUSED),
    Case("NUL in a name", _get(b"X\0: a\r\n"), REFUSED),
    Case("NUL in the path", _get(line=b"GET /health\0z HTTP/1.1"), REFUSED),
    Case("a name that is not ASCII", _get(b"X\xc3\xa9: a\r\n"), REFUSED),
    Case("a path that is not ASCII", _get(line=b"GET /healthz\xc3\xa9 HTTP/1.1"), REFUSED),
    Case("a path that is not UTF-8", _get(line=b"GET /healthz\xff HTTP/1.1"), REFUSED),
    Case("HTTP/0.9", b"GET /healthz\r\n\r\n", REFUSED),
    Case("HTTP/0.9 by name", _get(line=b"GET /healthz HTTP/0.9"), REFUSED),
    Case("HTTP/1.2", _get(line=b"GET /healthz HTTP/1.2"), REFUSED),
    Case("HTTP/2.0", _get(line=b"GET /healthz HTTP/2.0"), REFUSED),
    Case("HTTP/11", _get(line=b"GET /healthz HTTP/11"), REFUSED),
    Case("http/1.1", _get(line=b"GET /healthz http/1.1"), REFUSED),
    Case("ICY", _get(line=b"GET /healthz ICY/1.1"), REFUSED),
    Case("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED),
    Case("TLS", bytes.fromhex("1603010200010001fc0303"), REFUSED),
    Case("a method nobody has", _get(line=b"CANARY /healthz HTTP/1.1"), REFUSED),
    Case("a method in small letters", _get(line=b"get /healthz HTTP/1.1"), REFUSED),
    Case("CONNECT", _get(line=b"CONNECT localhost:80 HTTP/1.1"), REFUSED),
    Case("a URL for a target", _get(line=b"GET http://localhost/healthz HTTP/1.1"), REFUSED),
    Case("a star for a target", _get(line=b"OPTIONS * HTTP/1.1"), REFUSED),
    Case("a target without a slash", _get(line=b"GET healthz HTTP/1.1"), REFUSED),
    Case("no Host", b"GET /healthz HTTP/1.1\r\n\r\n", REFUSED),
    Case("two Hosts", _get(b"Host: localhost\r\n"), REFUSED),
    Case("a long line", _get(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1"), REFUSED),
    Case("a long header", _get(b"X: " + b"a" * 9000 + b"\r\n"), REFUSED),
    Case("a long name", _get(b"X" * 9000 + b": a\r\n"), REFUSED),
    Case("too many headers", _get(b"X: a\r\n" * 65), REFUSED),
    Case("an expectation", _get(b"Expect: canary\r\n"), REFUSED),
    Case("a good one and a bad one", _get() + _get(b"canary\r\n"), REFUSED),
    Case("one", _get(), (200,)),
    Case("three", _get() * 3, (200, 200, 200)),
    Case("empty lines before one", b"\r\n\r\n" + _get(), (200,)),
    Case("bytes beyond ASCII in a header", _get(b"X: \xff\xfe\r\n"), (200,)),
    Case("TRACE", _get(line=b"TRACE /healthz HTTP/1.1"), (405,)),
    Case("PROPFIND", _get(line=b"PROPFIND /healthz HTTP/1.1"), (405,)),
    Case(
        "a request in the body of a GET",
        _get(b"Content-Length: " + _HIDDEN_LENGTH + b"\r\n", end=_HIDDEN),
        (200,),
    ),
    Case(
        "a request in the chunk of a GET",
        _get(
            b"Transfer-Encoding: chunked\r\n",
            end=b"%x\r\n%b\r\n0\r\n\r\n" % (len(_HIDDEN), _HIDDEN),
        ),
        (200,),
    ),
    Case("an upgrade", _get(b"Connection: upgrade\r\nUpgrade: websocket\r\n"), (200,)),
)
