"""The values tokend is about. All are frozen; change is a new value."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from tokend.errors import StoreError, TokendError


class Secret:
    """A string that cannot be printed, logged, pickled or written to JSON by accident.

    An AppSecret, a token, a client key. ``reveal()`` belongs at the edges: a request to WeChat,
    a record in the store, an answer to a client.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    @property
    def fingerprint(self) -> str:
        """First 8 hex digits of the SHA-256: enough to tell two values apart in a log."""
        return hashlib.sha256(self._bytes()).hexdigest()[:8]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes(), other._bytes())

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Secret({self.fingerprint})"

    def _bytes(self) -> bytes:
        """What a caller sends may hold half of a character."""
        return self._value.encode("utf-8", "surrogatepass")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class Platform(StrEnum):
    """Whose rules an account is under, and which host it asks."""

    OFFICIAL = "official"
    WECOM = "wecom"


def platform_of(appid: str) -> Platform:
    """An agent of WeCom has ``corpid/agentid`` for an appid."""
    return Platform.WECOM if "/" in appid else Platform.OFFICIAL


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One WeChat account: the name it is configured under, its appid, its AppSecret."""

    name: str
    appid: str
    secret: Secret

    @property
    def platform(self) -> Platform:
        return platform_of(self.appid)


# The kind that every app has, and all others are asked for with.
ACCESS_TOKEN = "access_token"  # noqa: S105, its name


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """Which credential of which app; written ``shop/access_token``."""

    app: str
    appid: str
    kind: str

    def __str__(self) -> str:
        return f"{self.app}/{self.kind}"

    @property
    def record(self) -> str:
        """The key's name in a store: by appid, because nodes may call one account differently."""
        return f"{self.appid}/{self.kind}"

    @property
    def platform(self) -> Platform:
        return platform_of(self.appid)

    @property
    def field(self) -> str:
        """What WeChat calls the value where it gives it."""
        return "access_token" if self.kind == ACCESS_TOKEN else "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What WeChat gave: a value, and how long it lives from the moment it was asked for."""

    value: Secret
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A kept credential.

    *generation* numbers the value: it grows with each new value and stays while the value stays.
    *fence* numbers the refresh that gave the value last.
    *suspect* means that another node may have superseded it without our knowing.
    *refreshing_on* is the node that is about to refresh it, or ""; if it dies over that, the value
    is suspect.
    *stored* is false while only this process knows it.
    """

    value: Secret
    generation: int
    fence: int
    expires_at: datetime
    suspect: bool = False
    refreshing_on: str = ""
    stored: bool = True

    @classmethod
    def of(cls, issued: Issued, *, asked_at: datetime, fence: int) -> Token:
        """Not stored yet. Lifetime counts from just before the asking: WeChat's count has begun
        by the answer.
        """
        return cls(
            value=issued.value,
            generation=fence,
            fence=fence,
            expires_at=asked_at + issued.lifetime,
            stored=False,
        )

    def remaining(self, now: datetime) -> timedelta:
        """Life left; negative once expired."""
        return self.expires_at - now

    def is_older_than(self, other: Token) -> bool:
        """Two nodes that got the same value while the store was away differ in its generation."""
        return self.generation < other.generation and self.value != other.value

    def is_reported(self, rejected: Secret | int) -> bool:
        """Tell if *rejected*, a value or a generation, means this token.

        A greater generation comes from a node that knows more; it must not pass for an old one.
        """
        if isinstance(rejected, int):
            return rejected >= self.generation
        return rejected == self.value


# What a look at one of many records gives: the kept token, none, or why that cannot be told.
Found: TypeAlias = "Token | StoreError | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to refresh *key*, held by *owner*, who is ``host/pid/random``, under the number
    *fence*.
    """

    key: TokenKey
    owner: str
    fence: int


def node_of(owner: str) -> str:
    """The ``host/pid`` that a lease's *owner* is on."""
    return owner.rpartition("/")[0] or owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Which records changed lately, and the *cursor* to ask from next time."""

    cursor: int
    records: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What is kept besides tokens. *written* is how it stands in the store, which tells it from
    whatever may stand there later.
    """

    text: Secret
    written: str


class State(StrEnum):
    """How good the token of a key is. *expired* and *missing* are not served."""

    FRESH = "fresh"
    STALE = "stale"
    SUSPECT = "suspect"
    EXPIRED = "expired"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reader gets: *token*, accepted by WeChat for *expires_in*, come what is planned.

    If nothing happens, it is the same for as long as it *stands*: then a whole second of
    *expires_in* is over, or the *state* another one.
    """

    token: Token
    state: State
    expires_in: timedelta
    stands: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What an operator sees of a key. It is *refreshing* here; *refreshing_elsewhere* is the other
    node that has the lease, or "". *record_trouble* is what is wrong with it in the store.
    """

    key: TokenKey
    state: State
    token: Token | None
    expires_in: timedelta
    refreshing: bool
    next_refresh_in: timedelta
    failures: int
    error: TokendError | None
    refreshing_elsewhere: str = ""
    record_trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The token to use from now on; *refreshed* tells if there was a refresh for it."""

    answer: Answer
    refreshed: bool


class Permission(StrEnum):
    """What a client may do."""

    READ = "read"
    REFRESH = "refresh"
    FORCE = "force"
    STATUS = "status"
    RELOAD = "reload"
    SIGN = "sign"
    CALL = "call"
    LOGIN = "login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program with a key of its own, a *certificate* by this name, or both; both are needed then.
    *apps* None means every app.

    One that never *sees_tokens* gets handles instead, good for forwarding alone; of what it may
    have forwarded, only these *paths*, if there are any.
    """

    name: str
    key_sha256: str
    apps: frozenset[str] | None
    can: frozenset[Permission]
    certificate: str = ""
    sees_tokens: bool = True
    paths: tuple[str, ...] = ()

    def has(self, app: str) -> bool:
        return self.apps is None or app in self.apps

    def may(self, permission: Permission, app: str) -> bool:
        return permission in self.can and self.has(app)
