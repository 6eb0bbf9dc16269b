"""What tokend is asked, and what its answers mean. No I/O."""

from __future__ import annotations

import errno
import json
import math
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tokend.client.errors import SOON, Away, ClientError, NoToken, NotReady, Refused, UsageError
from tokend.client.token import Held, Instant, Token

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = re.compile(r"[^/\s]+/[^/\s]+")
# As tokend takes them from WeChat.
_VALUE = re.compile(r"[!-~]{1,4096}")

# How long tokend may take to answer: it waits 5 s for the first token of a key, 20 s for a refresh.
_GET_SECONDS = 10.0
_REPORT_SECONDS = 26.0

# A token, or words.
LONGEST_ANSWER = 64 * 1024
_LONGEST_WORDS = 500

# WeChat gives nothing for longer. tokend reads no longer generation.
_LONGEST_LIFE = 7200
_LARGEST_GENERATION = 10**18 - 1

# What is limited is limited for a day; by whose clock, nobody knows.
_LONGEST_WAIT = 2 * 86_400

UNAUTHORIZED = 401
OK, _NOT_MODIFIED, _TOO_MANY = 200, 304, 429
_SERVER_ERRORS = 500

# What a body of JSON may raise that is not the one awaited.
STRANGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; *patience* is how many seconds its answer may take."""

    method: str
    path: str = field(repr=False)
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    patience: float


class TooLong(OSError):
    """More came than tokend ever answers."""

    def __init__(self) -> None:
        super().__init__(errno.EMSGSIZE, "the answer is too long")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What tokend says in place of an answer, in words fit for a log."""

    code: str
    detail: str
    advice: str
    retry_after: timedelta

    @classmethod
    def of(cls, document: Any, where: str) -> Problem:
        """That of an answer about *where*. Raises what there is to raise of any other document."""
        retry_after = whole(document.get("retry_after", SOON.seconds), 0, _LONGEST_WAIT)
        return cls(
            code=_words(document["code"]),
            detail=_words(document["detail"]).removeprefix(f"{where}: "),
            advice=_words(document.get("advice", "")),
            retry_after=timedelta(seconds=retry_after),
        )


class Limited(ClientError):
    """A new token was asked for too soon; the current one stays. No program gets to see this."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("refresh_limited")
        self.retry_after = retry_after


def read_key(key: str) -> str:
    """*key*, if it can be one."""
    if not _KEY.fullmatch(key):
        raise UsageError(f"{key!r}: a key is like 'shop/access_token'")
    return key


def get(key: str) -> Request:
    return request("GET", key)


def get_unless(key: str, generation: int) -> Request:
    """The current token; 304 if it is the one of *generation*."""
    return request("GET", key, headers={"If-None-Match": f'"{generation}"'})


def poll(key: str, generation: int, *, seconds: int) -> Request:
    """The next token after *generation*; 304 if none came in time."""
    query = f"?after={generation}&wait={seconds}"
    return request("GET", key, query, patience=seconds + _GET_SECONDS)


def report(token: Token) -> Request:
    """WeChat rejected *token*. The generation says which, so that the value stays where it is."""
    return request(
        "POST",
        token.key,
        "/refresh",
        body=json.dumps({"rejected": token.generation}).encode(),
        patience=_REPORT_SECONDS,
    )


def request(
    method: str,
    about: str,
    rest: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    patience: float = _GET_SECONDS,
) -> Request:
    """*about* is a key, or an app; *rest* comes behind it, quoted already; *body* is JSON."""
    described = {"Content-Type": "application/json"} if body else {}
    return Request(
        method=method,
        path=f"/v1/apps/{quote(about)}{rest}",
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **described,
            **(headers or {}),
        },
        body=body,
        patience=patience,
    )


def read(reply: Reply, key: str, *, asked_at: Instant, now: Instant) -> Held | None:
    """The token; None if it is the one that is known. Raises what tokend says instead.

    Its life counts from before the asking, because nobody knows how long the answer travelled.
    """
    if reply.status == _NOT_MODIFIED:
        return None
    meaning = _meaning(reply, key, asked_at=asked_at, now=now)
    if isinstance(meaning, ClientError):
        raise meaning
    return meaning


def _meaning(reply: Reply, key: str, *, asked_at: Instant, now: Instant) -> Held | ClientError:
    """Returned, because what is raised takes along the locals, the document among them."""
    try:
        answer = json.loads(reply.body)
        if reply.status == OK:
            return _held(answer, key, asked_at=asked_at, now=now)
        return _problem(answer, key, reply.status)
    except STRANGE:
        return stranger(reply, key)


def stranger(reply: Reply, key: str) -> Away:
    """It came from a proxy, or another server: its words are not repeated, they may be anything."""
    return Away(f"{key}: HTTP status {reply.status}, not tokend's own")


def _held(answer: Any, key: str, *, asked_at: Instant, now: Instant) -> Held:
    if f"{answer['app']}/{answer['kind']}" != key:
        raise ValueError(key)
    value = answer["access_token"] if "access_token" in answer else answer["ticket"]
    generation = whole(answer["generation"], 0, _LARGEST_GENERATION)
    lifetime = min(whole(answer["expires_in"], 0), _LONGEST_LIFE)
    if not _VALUE.fullmatch(value):
        raise ValueError(key)
    return Held(
        token=Token(value, key=key, generation=generation),
        until=asked_at + lifetime,
        heard_at=now,
    )


def whole(number: Any, least: int, most: float = math.inf) -> int:
    if type(number) is not int or not least <= number <= most:
        raise ValueError(number)
    return number


def _problem(answer: Any, key: str, status: int) -> ClientError:
    problem = Problem.of(answer, key)
    message = f"{key}: {problem.detail}"
    if problem.code == "refresh_limited":
        return Limited(problem.retry_after)
    if not is_for_later(status):
        return Refused(message, code=problem.code, advice=problem.advice)
    kind: type[NoToken] = Away if problem.code == "internal_error" else NotReady
    return kind(message, retry_after=problem.retry_after)


def is_for_later(status: int) -> bool:
    """Tell if time mends what a problem with this *status* is about."""
    return status >= _SERVER_ERRORS or status == _TOO_MANY


def _words(text: Any) -> str:
    """On one line, and not endless: they end up in the logs of others."""
    return "".join(each if each.isprintable() else " " for each in str(text)[:_LONGEST_WORDS])
