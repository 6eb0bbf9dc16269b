"""Whose access_token this is: the current ones, and the ones that WeChat still honours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokend.model import ACCESS_TOKEN
from tokend.policy import OVERLAP

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.keeper import Keeper
    from tokend.model import Secret


@dataclass(slots=True)
class _Owned:
    """A token of the key *record*, which is known *until* then: WeChat honours it no longer."""

    record: str
    until: datetime


class Owners:
    """By digest, like the keys of clients: a look-up tells nobody anything by its timing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._owned: dict[bytes, _Owned] = {}
        self._digests: dict[str, list[bytes]] = {}

    def learn(self, keeper: Keeper) -> None:
        """*keeper* may have another token now: the one before it is honoured a little longer."""
        token, record, now = keeper.status().token, keeper.key.record, self._clock.now()
        if token is None or keeper.key.kind != ACCESS_TOKEN:
            return
        digest, known = _digest(token.value), self._digests.setdefault(record, [])
        if digest not in known:
            if known:
                before = self._owned[known[-1]]
                before.until = min(before.until, now + OVERLAP)
            known.append(digest)
        self._owned[digest] = _Owned(record, token.expires_at)
        for old in [each for each in known[:-1] if self._owned[each].until <= now]:
            known.remove(old)
            del self._owned[old]

    def record(self, value: Secret) -> str | None:
        """The name in the store of the key whose token this is, or was until lately."""
        owned = self._owned.get(_digest(value))
        return owned.record if owned and self._clock.now() < owned.until else None


def _digest(value: Secret) -> bytes:
    return hashlib.sha256(value.reveal().encode("utf-8", "surrogatepass")).digest()
