"""The lives of the tokens, or tickets, that one account got from one endpoint."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from random import Random

# https://developers.weixin.qq.com/doc/oplatform/developers/dev/AccessToken.html
LIFE = timedelta(seconds=7200)
OVERLAP = timedelta(seconds=300)
TICKET_LENGTH = 86

_BASE64URL = string.ascii_letters + string.digits + "-_"


class Verdict(Enum):
    """What WeChat thinks of a token that is used."""

    VALID = "valid"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """*expires_at* is the end it was born with; *dies_at* is that, or the end others brought it."""

    value: str
    issued_at: datetime
    expires_at: datetime
    dies_at: datetime

    def remaining(self, now: datetime) -> timedelta:
        """Life left by its own end."""
        return self.expires_at - now

    def seconds_left(self, now: datetime) -> int:
        return self.remaining(now) // timedelta(seconds=1)

    def verdict(self, now: datetime) -> Verdict:
        if now < self.dies_at:
            return Verdict.VALID
        return Verdict.SUPERSEDED if self.dies_at < self.expires_at else Verdict.EXPIRED

    def ending(self, when: datetime) -> Credential:
        """The same, dead at *when* unless it dies before."""
        return replace(self, dies_at=min(self.dies_at, when))


class Pool:
    """A new token leaves the one before it five minutes; the newest two are all that ever live.

    The two-token rule is documented for stable_token only, as its drill for leaked tokens.
    """

    def __init__(self, name: Callable[[], str]) -> None:
        self._name = name
        self._issued: dict[str, Credential] = {}

    def newest(self, now: datetime) -> Credential | None:
        """The one that nothing supersedes, if it has not expired."""
        newest = next(reversed(self._issued.values()), None)
        return newest if newest and newest.verdict(now) is Verdict.VALID else None

    def issue(self, now: datetime) -> Credential:
        newest_two = list(islice(reversed(self._issued.values()), 2))
        for former, end in zip(newest_two, (now + OVERLAP, now), strict=False):
            self._issued[former.value] = former.ending(end)
        end = now + LIFE
        born = Credential(value=self._name(), issued_at=now, expires_at=end, dies_at=end)
        self._issued[born.value] = born
        return born

    def void(self, now: datetime) -> None:
        """End whatever lives, at once and before its time."""
        self._issued = {value: each.ending(now) for value, each in self._issued.items()}

    def verdict(self, value: str, now: datetime) -> Verdict:
        credential = self._issued.get(value)
        return credential.verdict(now) if credential else Verdict.UNKNOWN

    def issued(self) -> tuple[Credential, ...]:
        """All there ever were, oldest first."""
        return tuple(self._issued.values())


def base64url(random: Random, length: int) -> str:
    """A value as WeChat writes them."""
    return "".join(random.choices(_BASE64URL, k=length))
