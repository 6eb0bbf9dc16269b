"""The token of one key as this process has it: how good it is, and what takes its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from tokend import policy
from tokend.errors import NotReady
from tokend.model import Answer, State
from tokend.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.model import Token, TokenKey
    from tokend.plan import Plan

log = structlog.get_logger()

_SECOND = timedelta(seconds=1)


class Kept:
    """What readers are served from. Never goes back to the token of an older refresh.

    *watchers* are called when there is another token, in the order in which they came; they never
    raise.
    """

    __slots__ = ("_clock", "_key", "_plan", "_standing", "_watchers", "token")

    def __init__(self, key: TokenKey, plan: Plan, clock: Clock) -> None:
        self.token: Token | None = None
        self._key = key
        self._plan = plan
        self._clock = clock
        # Of very many keys most have neither.
        self._standing: Standing | None = None
        self._watchers: dict[Callable[[], None], None] | None = None

    @property
    def watchers(self) -> dict[Callable[[], None], None]:
        self._watchers = {} if self._watchers is None else self._watchers
        return self._watchers

    # How good it is

    @property
    def standing(self) -> Standing:
        """Over when anything about the token changes."""
        self._standing = self._standing or Standing()
        return self._standing

    def answer(self) -> Answer:
        """The token to use now. Raises ``NotReady``."""
        now = self._clock.now()
        token = self.usable(now)
        if token is None:
            raise self.not_ready()
        state = self.state(now)
        expires_in = self._plan.usable_for(token, now)
        stands = expires_in % _SECOND
        if state is State.FRESH:
            stands = min(stands, self._plan.due_at - now)
        return Answer(token=token, state=state, expires_in=expires_in, stands=stands)

    def usable(self, now: datetime) -> Token | None:
        """The token, unless it has less than a second to live: it would be dead on arrival."""
        token = self.token
        return token if token is not None and token.remaining(now) >= _SECOND else None

    def remaining(self, now: datetime) -> timedelta:
        return self.token.remaining(now) if self.token else policy.NO_TIME

    def state(self, now: datetime) -> State:
        token = self.usable(now)
        if token is None:
            return State.EXPIRED if self.token else State.MISSING
        if token.suspect:
            return State.SUSPECT
        return State.STALE if now >= self._plan.due_at else State.FRESH

    def not_ready(self) -> NotReady:
        error, now = self._plan.error, self._clock.now()
        why = f": {error}" if error else ""
        return NotReady(
            f"{self._key}: the token is {self.state(now)}{why}",
            retry_after=max(self._plan.refresh_at - now, _SECOND),
            cause=error,
        )

    # What takes its place

    def publish(self, token: Token) -> None:
        """WeChat gave *token*, which is not stored yet: serve it, if it is another one."""
        known = self.token
        if known is None or (known.value != token.value and token.generation > known.generation):
            self._take(token, self._clock.now(), asked=True)

    def adopt(self, token: Token, *, asked: bool) -> None:
        """A refresh has ended with *token*, here or on another node.

        *asked* of WeChat by this one: then what WeChat refused before is past, also where the value
        is the same.
        """
        known, now = self.token, self._clock.now()
        if token.refreshing_on:
            token = replace(token, refreshing_on="")
        if known is None or known.value != token.value:
            if known is None or token.generation > known.generation or not self.usable(now):
                self._take(token, now, asked=asked)
            return
        if not asked and token.fence <= known.fence:
            # What the store says of its end went by a wall clock that may have been set since.
            token = replace(token, expires_at=known.expires_at)
        self._hold(replace(token, generation=max(known.generation, token.generation)))
        if asked:
            self._plan.kept(token, now, same=True)
        else:
            self._plan.seen(token, now)
        log.debug("token_unchanged", **self._facts(token))
        if self._plan.same_answers > policy.SAME_ANSWERS:
            log.error("token_not_replaced", answers=self._plan.same_answers, key=str(self._key))

    def _take(self, token: Token, now: datetime, *, asked: bool) -> None:
        is_first = self.token is None
        self._hold(token)
        self._plan.kept(token, now, same=False)
        if asked or not is_first:
            log.info("token_fetched" if asked else "token_adopted", **self._facts(token))
        for tell in tuple(self._watchers or ()):
            tell()

    def doubt(self, *, suspect: bool) -> None:
        """The store says so of this very token."""
        if self.token is not None and self.token.suspect != suspect:
            self._revise(replace(self.token, suspect=suspect))
            tell = log.warning if suspect else log.info
            tell("token_suspect" if suspect else "token_confirmed", **self._facts(self.token))

    def leased_to(self, node: str) -> None:
        """The store says that this *node* is about to refresh it; "" is none. What is served is as
        it was.
        """
        if self.token is not None and self.token.refreshing_on != node:
            self.token = replace(self.token, refreshing_on=node)

    def miss(self) -> None:
        """The store does not have it, or an older one."""
        if self.token is not None and self.token.stored:
            self._revise(replace(self.token, stored=False))
            log.warning("token_missing_in_store", **self._facts(self.token))

    def renew(self) -> None:
        """What was made of the token so far is not to be made use of again."""
        if self._standing:
            self._standing.end()
            self._standing = None

    def _hold(self, token: Token) -> None:
        self.token = token
        self.renew()

    def _revise(self, token: Token) -> None:
        self._hold(token)
        self._plan.seen(token, self._clock.now())

    def _facts(self, token: Token) -> dict[str, object]:
        now = self._clock.now()
        return {
            "key": str(self._key),
            "generation": token.generation,
            "token": token.value.fingerprint,
            "expires_in": token.remaining(now) // _SECOND,
            "next_refresh_in": (self._plan.refresh_at - now) // _SECOND,
            "suspect": token.suspect or None,
        }
