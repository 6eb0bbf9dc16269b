"""The lives of the tokens that one account got from one endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

LIFE = timedelta(seconds=7200)
OVERLAP = timedelta(seconds=300)


class Verdict(Enum):
    """What WeChat says of a token that is used."""

    VALID = "valid"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Credential:
    """*expires_at* is the end it was born with, *dies_at* the end that others brought it."""

    value: str
    expires_at: datetime
    dies_at: datetime

    def remaining(self, now: datetime) -> timedelta:
        return self.expires_at - now

    def verdict(self, now: datetime) -> Verdict:
        if now < min(self.dies_at, self.expires_at):
            return Verdict.VALID
        return Verdict.EXPIRED if now >= self.expires_at else Verdict.SUPERSEDED


class Pool:
    """A new token leaves the one before it five minutes; the newest two are all that ever live."""

    def __init__(self, name: Callable[[], str]) -> None:
        self._name = name
        self._issued: dict[str, Credential] = {}
        self._former: Credential | None = None
        self._latest: Credential | None = None

    def newest(self, now: datetime) -> Credential | None:
        """The one that is not superseded, if it still lives."""
        latest = self._latest
        return latest if latest and latest.verdict(now) is Verdict.VALID else None

    def issue(self, now: datetime) -> Credential:
        if self._former:
            self._former.dies_at = min(self._former.dies_at, now)
        if self._latest:
            self._latest.dies_at = min(self._latest.dies_at, now + OVERLAP)
        born = Credential(value=self._name(), expires_at=now + LIFE, dies_at=now + LIFE)
        self._former, self._latest = self._latest, born
        self._issued[born.value] = born
        return born

    def verdict(self, value: str, now: datetime) -> Verdict:
        credential = self._issued.get(value)
        return credential.verdict(now) if credential else Verdict.UNKNOWN

    def valid(self, now: datetime) -> list[str]:
        return [value for value, each in self._issued.items() if each.verdict(now) is Verdict.VALID]
