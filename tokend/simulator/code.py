"""Codes that phones give to mini-programs: each good once, and for five minutes.

https://developers.weixin.qq.com/miniprogram/dev/server/API/user-login/api_code2session.html
https://developers.weixin.qq.com/miniprogram/dev/server/API/user-info/phone-number/api_getphonenumber.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from tokend.simulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

T = TypeVar("T")

LIFE = timedelta(minutes=5)

INVALID = (40029, "invalid code,")
USED = (40163, "code been used,")


@dataclass(kw_only=True)
class Code(Generic[T]):
    meaning: T
    given_at: datetime
    is_used: bool = False


class Codes(Generic[T]):
    """All codes of one kind that an account's phones gave. *used* is said of those that were."""

    def __init__(self, name: Callable[[], str], *, used: tuple[int, str]) -> None:
        self._name = name
        self._used = used
        self._given: dict[str, Code[T]] = {}

    def give(self, meaning: T, now: datetime) -> str:
        value = self._name()
        self._given[value] = Code(meaning=meaning, given_at=now)
        return value

    def find(self, value: str) -> Code[T]:
        """Also one that is good no more."""
        if value not in self._given:
            raise Refusal(*INVALID)
        return self._given[value]

    def spend(self, value: str, now: datetime) -> Code[T]:
        code = self.find(value)
        if code.is_used:
            raise Refusal(*self._used)
        if now - code.given_at >= LIFE:
            raise Refusal(*INVALID)
        code.is_used = True
        return code
