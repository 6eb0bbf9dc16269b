"""Callers that WeCom shuts out for an hour, because they came with too many bad secrets.

WeCom's operators told of 2,000 within an hour, in an answer of 2021 in the developers' community;
what such a caller is answered, and at which calls, they did not. The strict reading: it is refused
everything, as one who asks too often.
"""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import timedelta
from typing import TYPE_CHECKING

from tokend.simulator.address import Address, address
from tokend.simulator.refusal import Refusal

if TYPE_CHECKING:
    from datetime import datetime

BAD_SECRETS = 2000
HOUR = timedelta(hours=1)


class Bar:
    def __init__(self) -> None:
        self._bad: defaultdict[Address, deque[datetime]] = defaultdict(
            lambda: deque(maxlen=BAD_SECRETS)
        )
        self._until: dict[Address, datetime] = {}

    def admit(self, caller: str, now: datetime) -> None:
        until = self._until.get(address(caller))
        if until and now < until:
            raise Refusal(45009, "api freq out of limit")

    def note_bad_secret(self, caller: str, now: datetime) -> None:
        bad = self._bad[address(caller)]
        bad.append(now)
        if len(bad) == BAD_SECRETS and now - bad[0] < HOUR:
            self._until[address(caller)] = now + HOUR
