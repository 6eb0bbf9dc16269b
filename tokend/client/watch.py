"""One key: what to ask tokend next, what is kept and until when, and how long readers wait.

No I/O, no clock, no lock: whoever asks hands in the time, and calls from one thread at a time.
Only ``held`` may be read from anywhere at any moment; it is replaced as a whole.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tokend.client import wire
from tokend.client.errors import Away, ClientError, NoToken
from tokend.client.token import NOTHING, Held, Instant, Token

if TYPE_CHECKING:
    from tokend.client.wire import Reply, Request

# The library's few words: that a key is in trouble for longer than tokend takes to restart, that it
# is well again, and that a report failed.
log = logging.getLogger("tokend.client")

# A lost connection that nobody tells of is noticed after this and ten seconds more.
_LONGEST_POLL = 30.0
_SHORTEST_POLL = 1.0

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_MOST_DOUBLINGS = 10

_QUIET_SECONDS = 10.0

# tokend may refuse reports for the rest of the day; what it refuses may change meanwhile.
_LONGEST_SILENCE = 60.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, when it was sent, and when its answer is worth having at the earliest."""

    request: Request
    at: Instant
    not_before: Instant = -math.inf

    @property
    def is_poll(self) -> bool:
        return self.not_before > self.at - _SHORTEST_POLL


class Watch:
    """Begins with nothing, or with what a parent process has left."""

    def __init__(self, key: str, held: Held = NOTHING) -> None:
        self.key = wire.read_key(key)
        self.held = held
        self._is_confirmed = False
        self._failures = 0
        self._trouble: ClientError | None = None
        self._trouble_since: Instant = math.inf
        self._is_told = False
        self._ask_at: Instant = -math.inf
        self._limited: Token | None = None
        self._limited_until: Instant = -math.inf

    # What to ask

    def pause(self, now: Instant) -> float:
        """Seconds until the next request."""
        return max(self._ask_at - now, 0.0)

    def ask(self, now: Instant) -> Ask:
        """The next request.

        A long poll only after tokend has named the current token since the last trouble: if it lost
        its store meanwhile, its next generation need not be a greater one.
        """
        left = self.held.until - now
        if left <= 0:
            return Ask(wire.get(self.key), now)
        if not self._is_confirmed:
            return Ask(wire.get_unless(self.key, self.held.token.generation), now)
        seconds = round(min(max(left, _SHORTEST_POLL), _LONGEST_POLL))
        request = wire.poll(self.key, self.held.token.generation, seconds=seconds)
        return Ask(request, now, now + seconds - _SHORTEST_POLL)

    def answered(self, ask: Ask, reply: Reply, *, now: Instant, draw: float) -> None:
        """What tokend says to *ask*."""
        try:
            held = wire.read(reply, self.key, asked_at=ask.at, now=now)
        except ClientError as error:
            self.failed(error, now=now, draw=draw)
            return
        is_news = held is not None and self._hold(held, asked_at=ask.at)
        # A tokend that is about to stop ends its polls early.
        is_cut = now < ask.not_before and not is_news
        is_dead = held is not None and not self.is_held(now)
        if is_cut or is_dead:
            self._again_after_pause(now, draw)
            return
        self._recover()
        if is_news or ask.is_poll:
            self._failures = 0

    def failed(self, error: ClientError, *, now: Instant, draw: float) -> None:
        """Nothing came of it; what is kept stays."""
        if self._trouble is None:
            self._trouble_since = now
        if now - self._trouble_since >= _QUIET_SECONDS and not self._is_told:
            log.warning("token_not_renewed key=%s why=%s", self.key, error)
            self._is_told = True
        self._trouble = error
        self._again_after_pause(now, draw, at_least=_wanted(error))

    def _again_after_pause(self, now: Instant, draw: float, *, at_least: float = 0.0) -> None:
        self._is_confirmed = False
        self._failures += 1
        self._ask_at = now + max(backoff(self._failures, draw), at_least)

    def _recover(self) -> None:
        if self._is_told:
            log.warning("token_renewed_again key=%s", self.key)
        self._is_told = False
        self._is_confirmed = True
        self._trouble = None
        self._trouble_since = math.inf
        self._ask_at = -math.inf

    def _hold(self, held: Held, *, asked_at: Instant) -> bool:
        """Keep *held*; not if it is an older one that was asked for before ours was heard of."""
        is_older = held.token.generation < self.held.token.generation
        if is_older and asked_at < self.held.heard_at:
            return False
        is_news = held.token.generation != self.held.token.generation
        self.held = held
        return is_news

    # Who waits for it

    def is_held(self, now: Instant) -> bool:
        return now < self.held.until

    def patience_left(self, now: Instant, *, since: Instant, patience: float) -> float:
        """How many more seconds a reader should wait who came *since*.

        None for what time does not mend. *patience* counts from when the trouble began, so that a
        tokend that stays away does not hold up everybody.
        """
        if self._trouble is not None and not isinstance(self._trouble, NoToken):
            return 0.0
        return min(since, self._trouble_since) + patience - now

    def why(self) -> ClientError:
        """Why there is no token; without the traceback of the reader before."""
        if self._trouble is not None:
            return self._trouble.with_traceback(None)
        return Away(f"{self.key}: no answer from tokend yet", retry_after=timedelta(seconds=1))

    # Who reports one

    def replaced(self, rejected: str, now: Instant) -> Token | None:
        """What to use in place of *rejected* without asking; None if tokend has to be told."""
        if not self.is_held(now):
            return None
        is_limited = self._limited == self.held.token and now < self._limited_until
        return self.held.token if is_limited or self.held.token != rejected else None

    def reported(self, token: Token, reply: Reply, *, asked_at: Instant, now: Instant) -> Token:
        """The token to go on with. Raises what tokend says instead."""
        try:
            held = wire.read(reply, self.key, asked_at=asked_at, now=now)
        except wire.Limited as limited:
            self._limited = token
            pause = limited.retry_after.total_seconds()
            self._limited_until = now + min(pause, _LONGEST_SILENCE)
            if not self.is_held(now):
                raise self.why() from None
            return self.held.token
        if held is not None:
            self._hold(held, asked_at=asked_at)
        return self.held.token


def backoff(failures: int, draw: float) -> float:
    """Seconds, doubling, between half and all of it by *draw* (0 to 1)."""
    doubled = _FIRST_PAUSE * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
    return float(min(doubled, _LONGEST_PAUSE) * (0.5 + draw / 2))


def _wanted(error: ClientError) -> float:
    """What tokend asks for, within reason: a token that comes sooner must not wait."""
    if not isinstance(error, NoToken) or isinstance(error, Away):
        return 0.0
    return min(error.retry_after.total_seconds(), _LONGEST_PAUSE)
