"""Whose access_token this is: the current ones, and the ones that WeChat still honours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokend.model import ACCESS_TOKEN
from tokend.policy import OVERLAP

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.keeper import Keeper
    from tokend.model import Secret, Token


@dataclass(frozen=True, slots=True)
class _Former:
    """A token of the key *record*, which is known *until* then: WeChat honours it no longer."""

    record: str
    until: datetime


class Owners:
    """By value. A look-up tells nobody anything by its timing: Python draws a key for its hash
    at each start, and two values are compared in constant time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._current: dict[Secret, Keeper] = {}
        self._former: dict[Secret, _Former] = {}

    def learn(self, keeper: Keeper, before: Token | None) -> None:
        """*keeper* has another token now: the one *before* it is honoured a little longer."""
        if keeper.key.kind != ACCESS_TOKEN or keeper.token is None:
            return
        if before:
            self._retire(keeper, before)
        self._current[keeper.token.value] = keeper

    def forget(self, keeper: Keeper) -> None:
        """Nobody keeps the tokens of this key any more."""
        if keeper.token and keeper.key.kind == ACCESS_TOKEN:
            self._retire(keeper, keeper.token)

    def record(self, value: Secret) -> str | None:
        """The name in the store of the key whose token this is, or was until lately."""
        now = self._clock.now()
        keeper, former = self._current.get(value), self._former.get(value)
        if keeper and keeper.token and now < keeper.token.expires_at:
            return keeper.key.record
        return former.record if former and now < former.until else None

    def _retire(self, keeper: Keeper, token: Token) -> None:
        now = self._clock.now()
        self._current.pop(token.value, None)
        for value in [each for each, former in self._former.items() if former.until <= now]:
            del self._former[value]
        self._former[token.value] = _Former(keeper.key.record, min(token.expires_at, now + OVERLAP))
