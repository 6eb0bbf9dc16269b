"""The promises of the client's watch, as invariants over whatever may happen to one key.

Hypothesis makes up the history: tokend answers, does not, stops, forgets; tokens are replaced, the
machine sleeps, and somebody else answers in tokend's place. Requests are sent when the watch wants
them sent, by a clock that this moves.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tokend.client.errors import Away
from tokend.client.token import Token
from tokend.client.watch import Ask, Watch
from tokend.client.wire import Reply

KEY = "shop/access_token"
LIFE = 7200
AWAY = Away("no", retry_after=timedelta(seconds=1))
NOT_MODIFIED = Reply(304, b"")

TRAVEL = 0.01
ROUNDED = 0.001
MOST_IN_A_MINUTE = 102


def issued(generation: int, life: int) -> Reply:
    app, kind = KEY.split("/")
    answer = {"app": app, "kind": kind, "access_token": f"92_{generation}"}
    return Reply(200, json.dumps({**answer, "generation": generation, "expires_in": life}).encode())


class Tokend:
    """One that keeps its promises: the current token, its end, and answers by the book."""

    def __init__(self) -> None:
        self.generation = 1
        self.ends_at = LIFE

    def rotate(self, now: float) -> None:
        self.generation += 1
        self.ends_at = now + LIFE

    def answer(self, ask: Ask, now: float) -> Reply | None:
        """None while there is nothing to answer a poll with."""
        known = ask.request.headers.get("If-None-Match")
        _, is_poll, query = ask.request.path.partition("?after=")
        if is_poll and int(query.partition("&")[0]) >= self.generation:
            ends = ask.at + float(query.partition("wait=")[2])
            return NOT_MODIFIED if now >= ends else None
        if known == f'"{self.generation}"':
            return NOT_MODIFIED
        return issued(self.generation, max(int(self.ends_at - now), 0))


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.tokend = Tokend()
        self.watch = Watch(KEY)
        self.ask: Ask | None = None
        self.asked_at: list[float] = []
        self.troubled = True

    # What happens

    @rule(seconds=st.floats(0.01, 40))
    def time_passes(self, seconds: float) -> None:
        """tokend answers by the book meanwhile."""
        self._until(self.now + seconds)

    @rule(seconds=st.floats(1, 9000))
    def the_machine_sleeps(self, seconds: float) -> None:
        self.now += seconds
        self.tokend.ends_at = max(self.tokend.ends_at, self.now + 600)

    @rule()
    def the_token_is_replaced(self) -> None:
        self.tokend.rotate(self.now)

    @rule(generation=st.integers(0, 5))
    def tokend_is_restarted_and_has_lost_its_store(self, generation: int) -> None:
        self._send()
        self._lose()
        self.tokend.generation = generation
        self.tokend.ends_at = self.now + LIFE

    @rule(times=st.integers(1, 30))
    def answers_are_lost(self, times: int) -> None:
        for _ in range(times):
            self._send()
            self._lose()

    @rule(
        times=st.integers(1, 150),
        first=st.integers(200, 400),
        step=st.integers(-1, 1),
        life=st.integers(0, LIFE),
        status=st.sampled_from([200, 304, 404, 429, 502]),
    )
    def a_stranger_answers(self, times: int, first: int, step: int, life: int, status: int) -> None:
        """At once, and what it likes, but never in the name of a token of tokend's."""
        for each in range(times):
            self.troubled = True
            self._send()
            reply = issued(first + step * each, life) if status == 200 else Reply(status, b"")
            self._hear(reply)
        self._send()
        self._lose()

    @precondition(lambda self: self.watch.is_held(self.now))
    @rule(is_answered=st.booleans())
    def a_reader_reports_its_token(self, is_answered: bool) -> None:  # noqa: FBT001
        token = self.watch.held.token
        if self.watch.replaced(token, self.now) is not None or not is_answered:
            return
        if token.generation == self.tokend.generation:
            self.tokend.rotate(self.now)
        reply = issued(self.tokend.generation, max(int(self.tokend.ends_at - self.now), 0))
        self.watch.reported(token, reply, asked_at=self.now, now=self.now)

    @rule()
    def a_minute_of_peace(self) -> None:
        self.tokend.ends_at = max(self.tokend.ends_at, self.now + 600)
        self._until(self.now + 60)

        assert self.watch.held.token == Token(
            f"92_{self.tokend.generation}", key=KEY, generation=self.tokend.generation
        )
        assert self.watch.is_held(self.now)
        assert self.watch.ask(self.now).is_poll

    # How it goes on

    def _until(self, end: float) -> None:
        while self.now < end:
            due = self.now + self.watch.pause(self.now)
            if self.ask is None and due >= end:
                break
            self._send()
            assert self.ask
            reply = self.tokend.answer(self.ask, self.now)
            if reply is None:
                wait = float(self.ask.request.path.partition("wait=")[2])
                if self.ask.at + wait > end:
                    break
                self.now = max(self.now, self.ask.at + wait)
                reply = NOT_MODIFIED
            self._hear(reply)
        self.now = max(self.now, end)

    def _send(self) -> None:
        """When the watch wants it; nothing if a request is under way."""
        if self.ask is None:
            self.now += self.watch.pause(self.now)
            self.ask = self.watch.ask(self.now)
            self.asked_at.append(self.now)

    def _hear(self, reply: Reply) -> None:
        assert self.ask
        ask, self.ask = self.ask, None
        self.now += TRAVEL
        before = self.watch.held.token.generation
        self.watch.answered(ask, reply, now=self.now, draw=0.0)
        assert self.troubled or self.watch.held.token.generation >= before
        self.troubled = self.troubled and not ask.is_poll

    def _lose(self) -> None:
        if self.ask is not None:
            self.ask = None
            self.watch.failed(AWAY, now=self.now, draw=0.0)
        self.troubled = True

    # What holds

    @precondition(lambda self: not self.troubled and self.watch.is_held(self.now))
    @invariant()
    def no_reader_gets_a_token_past_its_end(self) -> None:
        if self.watch.held.token.generation == self.tokend.generation:
            assert self.watch.held.until <= self.tokend.ends_at + ROUNDED

    @invariant()
    def no_minute_has_more_than_about_a_hundred_requests(self) -> None:
        if self.asked_at:
            first = bisect_left(self.asked_at, self.asked_at[-1] - 60)
            assert len(self.asked_at) - first <= MOST_IN_A_MINUTE


class TestHistories(Histories.TestCase):
    settings = settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)


@pytest.mark.long
class TestHistoriesLong(Histories.TestCase):
    settings = settings(max_examples=2000, stateful_step_count=50, deadline=None)
