"""One key: what to ask tokend next, what is kept and until when, and how long readers wait.

No I/O, no clock, no lock, no log: whoever asks hands in the time, calls from one thread at a time,
and says what ``words`` there are. Only ``at_hand`` and ``held`` may be read from anywhere at any
moment; they are replaced as a whole.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tokend.client import wire
from tokend.client.errors import Away, ClientError, NoToken, Refused
from tokend.client.pace import LONGEST_PAUSE, Pace
from tokend.client.token import NOTHING, Held, Instant, Token

if TYPE_CHECKING:
    from tokend.client.wire import Reply, Request

# A lost connection that nobody tells of is noticed after this and ten seconds more.
_LONGEST_POLL = 30.0
_SHORTEST_POLL = 1.0

# A poll every thirty seconds, and time to see that the next one fails.
_FRESH_SECONDS = 60.0
_CONFIRM_SECONDS = 1.0
_LATE_SECONDS = 5.0

# One read in so many seconds goes the long way: what it finds out is not looked at by the others.
_AT_HAND_SECONDS = 60.0

# A token's whole life; and a key that tokend refuses.
_IDLE_SECONDS = 7200.0
_REFUSED_IDLE_SECONDS = 60.0

_QUIET_SECONDS = 10.0
_REMINDER_SECONDS = 3600.0
_LITTLE_LIFE = 600.0

# How long a report is not repeated. tokend may refuse them for the rest of the day; what it refuses
# may change meanwhile.
_FAILED_SECONDS = 5.0
_LONGEST_SILENCE = 60.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, when it was sent, and when its answer is worth having at the earliest."""

    request: Request
    at: Instant
    due: Instant
    not_before: Instant = -math.inf

    @property
    def is_poll(self) -> bool:
        return self.not_before > self.at - _SHORTEST_POLL


@dataclass(frozen=True, slots=True)
class _Report:
    """The last one: of which token, what came of it, and until when that stands."""

    token: Token = NOTHING.token
    until: Instant = -math.inf
    error: ClientError | None = None


_OUT_OF_REACH = (NOTHING.token, -math.inf)


class Watch:
    """Begins with nothing, or with what a parent process has left."""

    def __init__(self, key: str, held: Held = NOTHING) -> None:
        self.key = wire.read_key(key)
        self.held = held
        self.at_hand: tuple[Token, Instant] = _OUT_OF_REACH
        self._read_at: Instant = math.inf
        self._due: Instant = math.inf
        self._is_confirmed = False
        self._pace = Pace()
        self._trouble: ClientError | None = None
        self._trouble_since: Instant = math.inf
        self._told_at: Instant = -math.inf
        self._report = _Report()
        self._report_told_at: Instant = -math.inf
        self._to_say: list[str] = []

    # What to ask

    def pause(self, now: Instant) -> float:
        """Seconds until the next request."""
        return self._pace.pause(now)

    def ask(self, now: Instant) -> Ask:
        """The next request.

        A long poll only after tokend has named the current token since the last trouble: if it lost
        its store meanwhile, its next generation need not be a greater one.
        """
        ask = self._next(now)
        self._due = ask.due
        return ask

    def _next(self, now: Instant) -> Ask:
        left = self.held.until - now
        if left <= 0:
            request = wire.get(self.key)
            return Ask(request, now, now + request.patience + _LATE_SECONDS)
        if not (self._is_confirmed and self._is_fresh(now)):
            request = wire.get_unless(self.key, self.held.token.generation)
            return Ask(request, now, now + request.patience + _LATE_SECONDS)
        seconds = round(min(max(left, _SHORTEST_POLL), _LONGEST_POLL))
        request = wire.poll(self.key, self.held.token.generation, seconds=seconds)
        return Ask(request, now, now + seconds + _LATE_SECONDS, now + seconds - _SHORTEST_POLL)

    def is_overdue(self, now: Instant) -> bool:
        """Tell if the request that is out should be given up, and another made.

        The machine slept, and nobody says that its connections are dead.
        """
        return now >= self._due

    def is_idle(self, now: Instant) -> bool:
        """Tell if nobody reads it any more."""
        is_refused = isinstance(self._trouble, Refused) and not self.is_held(now)
        return now - self._read_at >= (_REFUSED_IDLE_SECONDS if is_refused else _IDLE_SECONDS)

    def answered(self, ask: Ask, reply: Reply, *, now: Instant, draw: float) -> None:
        """What tokend says to *ask*."""
        try:
            held = wire.read(reply, self.key, asked_at=ask.at, now=now)
        except ClientError as error:
            self.failed(error, now=now, draw=draw)
            return
        if held is None and ask.at >= self.held.until:
            self.failed(wire.stranger(reply, self.key), now=now, draw=draw)
            return
        is_news = held is not None and self._hold(held, asked_at=ask.at)
        # A tokend that is about to stop ends its polls early.
        is_cut = now < ask.not_before and not is_news
        is_dead = held is not None and not self.is_held(now)
        if is_cut or is_dead:
            self._again_after_pause(now, draw)
            return
        self.held = replace(self.held, heard_at=now)
        self._recover(now)
        if is_news or ask.is_poll:
            self._pace.forgive()

    def failed(self, error: ClientError, *, now: Instant, draw: float) -> None:
        """Nothing came of it; what is kept stays."""
        if self._trouble is None:
            self._trouble_since = now
        if self._is_worth_a_word(now):
            self._to_say.append(f"token_not_renewed key={self.key} why={error}")
            self._told_at = now
        self._trouble = error
        self._again_after_pause(now, draw, at_least=_wanted(error))

    def _is_worth_a_word(self, now: Instant) -> bool:
        """A restart of tokend is not; the rest is, every hour, and before the token ends."""
        if now - self._trouble_since < _QUIET_SECONDS:
            return False
        nearly = self.held.until - _LITTLE_LIFE
        return now - self._told_at >= _REMINDER_SECONDS or self._told_at < nearly <= now

    def words(self) -> list[str]:
        """What there is to say, once."""
        said, self._to_say = self._to_say, []
        return said

    def _again_after_pause(self, now: Instant, draw: float, *, at_least: float = 0.0) -> None:
        self._is_confirmed = False
        self._pace.slow_down(now, draw, at_least=at_least)

    def _recover(self, now: Instant) -> None:
        if self._told_at > -math.inf:
            self._to_say.append(f"token_renewed_again key={self.key}")
        self._told_at = -math.inf
        self._is_confirmed = True
        self._trouble = None
        self._trouble_since = math.inf
        self._pace.go_on(now)

    def _hold(self, held: Held, *, asked_at: Instant) -> bool:
        """Keep *held*; not if it is an older one that was asked for before ours was heard of."""
        is_older = held.token.generation < self.held.token.generation
        if is_older and asked_at < self.held.heard_at:
            return False
        is_news = held.token.generation != self.held.token.generation
        self.held = held
        self.at_hand = _OUT_OF_REACH
        return is_news

    # Who waits for it

    def is_held(self, now: Instant) -> bool:
        return now < self.held.until

    def _is_fresh(self, now: Instant) -> bool:
        """Tell if tokend has just named it. After a sleep, or a loop long ended, it has not."""
        return now < self.held.heard_at + _FRESH_SECONDS

    def patience_left(self, now: Instant, *, since: Instant, patience: float) -> float:
        """How many more seconds a reader should wait who came *since*, before ``serve``.

        None for what time does not mend, and one for tokend's word that an old token is the current
        one. *patience* counts from when the trouble began, so that a tokend that stays away does
        not hold up everybody.
        """
        self._read_at = now
        if self.is_held(now):
            if self._trouble is not None or self._is_fresh(now):
                return 0.0
            patience = min(patience, _CONFIRM_SECONDS)
        elif self._trouble is not None and not isinstance(self._trouble, NoToken):
            return 0.0
        return min(since, self._trouble_since) + patience - now

    def serve(self, now: Instant) -> Token:
        """The token, which is at hand for a while from now on. Raises why there is none."""
        if not self.is_held(now):
            raise self.why()
        self.at_hand = (self.held.token, min(self.held.until, now + _AT_HAND_SECONDS))
        return self.held.token

    def why(self) -> ClientError:
        """Why there is no token; to each reader an exception of its own."""
        if self._trouble is not None:
            return copy(self._trouble)
        return Away(f"{self.key}: no answer from tokend yet")

    # Who reports one

    def replaced(self, rejected: str, now: Instant) -> Token | None:
        """What to use in place of *rejected* without asking; None if tokend has to be told.

        Who reports a token again soon after shares what came of the first report. Raises that.
        """
        self._read_at = now
        if self.is_held(now) and self.held.token != rejected:
            return self.held.token
        if self._report.token != rejected or now >= self._report.until:
            return None
        if self._report.error is not None:
            raise copy(self._report.error)
        return self.held.token if self.is_held(now) else None

    def reported(self, token: Token, reply: Reply, *, asked_at: Instant, now: Instant) -> Token:
        """The token to go on with. Raises what tokend says instead."""
        try:
            held = wire.read(reply, self.key, asked_at=asked_at, now=now)
            if held is None:
                raise wire.stranger(reply, self.key)
        except wire.Limited as limited:
            pause = min(limited.retry_after.total_seconds(), _LONGEST_SILENCE)
            self._report = _Report(token, now + pause)
            if not self.is_held(now):
                raise self.why() from None
            return self.held.token
        except ClientError as error:
            self.not_reported(token, error, now=now)
            raise copy(error) from None
        self._hold(held, asked_at=asked_at)
        self._report_told_at = -math.inf
        return self.held.token

    def not_reported(self, token: Token, error: ClientError, *, now: Instant) -> None:
        """Nothing came of it."""
        silence = _LONGEST_SILENCE if isinstance(error, Refused) else _FAILED_SECONDS
        self._report = _Report(token, now + silence, error)
        if now - self._report_told_at >= _REMINDER_SECONDS:
            self._to_say.append(f"token_not_replaced key={self.key} why={error}")
            self._report_told_at = now


def _wanted(error: ClientError) -> float:
    """What tokend asks for, within reason: a token that comes sooner must not wait."""
    if not isinstance(error, NoToken) or isinstance(error, Away):
        return 0.0
    return min(error.retry_after.total_seconds(), LONGEST_PAUSE)
