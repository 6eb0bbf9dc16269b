"""One key of the client: what it asks, what it keeps, who waits. By a clock moved by hand."""

from __future__ import annotations

import json
import math
from datetime import timedelta

import pytest

from tokend.client.errors import Away, ClientError, NotReady, Refused
from tokend.client.pace import backoff
from tokend.client.token import Held, Token
from tokend.client.watch import Watch
from tokend.client.wire import Reply

KEY = "shop/access_token"
NOT_MODIFIED = Reply(304, b"")
LIMITED = Reply(429, b'{"code": "refresh_limited", "detail": "later", "retry_after": 60}')
AWAY = Away("no", retry_after=timedelta(seconds=1))


def issued(generation: int, *, expires_in: int = 7200) -> Reply:
    app, kind = KEY.split("/")
    answer = {"app": app, "kind": kind, "access_token": f"92_{generation}"}
    return Reply(
        200, json.dumps({**answer, "generation": generation, "expires_in": expires_in}).encode()
    )


def problem(status: int, **members: object) -> Reply:
    return Reply(status, json.dumps({"code": "x", "detail": "no", **members}).encode())


def token(generation: int) -> Token:
    return Token(f"92_{generation}", key=KEY, generation=generation)


class World:
    """A watch, and the time."""

    def __init__(self, watch: Watch | None = None) -> None:
        self.watch = watch or Watch(KEY)
        self.now = 1000.0

    def hears(self, reply: Reply, *, after: float = 0.0) -> str:
        """What was asked; *reply* comes *after* so many seconds."""
        self.now += self.watch.pause(self.now)
        ask = self.watch.ask(self.now)
        self.now += after
        self.watch.answered(ask, reply, now=self.now, draw=0.5)
        return asked(ask.request)

    def fails(self, error: ClientError = AWAY) -> None:
        self.now += self.watch.pause(self.now)
        self.watch.failed(error, now=self.now, draw=0.5)

    def next(self) -> str:
        return asked(self.watch.ask(self.now).request)


def asked(request) -> str:
    tag = request.headers.get("If-None-Match")
    return request.path.removeprefix(f"/v1/apps/{KEY}") + (f" unless {tag}" if tag else "")


@pytest.fixture
def world() -> World:
    return World()


def test_it_asks_for_the_token_and_then_for_the_next_one(world: World) -> None:
    first = world.hears(issued(1))

    assert (first, world.next()) == ("", "?after=1&wait=30")
    assert world.watch.held.token == token(1)


def test_a_life_counts_from_before_the_asking(world: World) -> None:
    world.hears(issued(1), after=4)

    assert world.watch.held.until == 1000 + 7200


def test_a_token_is_served_to_its_end_and_no_longer(world: World) -> None:
    world.hears(issued(1))
    world.fails()

    assert world.watch.is_held(1000 + 7199.9)
    assert not world.watch.is_held(1000 + 7200)


def test_a_poll_ends_when_the_token_does_and_then_it_is_asked_for(world: World) -> None:
    world.hears(issued(1, expires_in=12))

    assert world.hears(NOT_MODIFIED, after=12) == "?after=1&wait=12"
    assert world.next() == ""


def test_a_poll_in_vain_is_followed_by_the_same_at_once(world: World) -> None:
    world.hears(issued(1))

    world.hears(NOT_MODIFIED, after=30)

    assert world.watch.pause(world.now) == 0
    assert world.next() == "?after=1&wait=30"


def test_after_trouble_it_asks_for_the_current_token_before_it_polls(world: World) -> None:
    world.hears(issued(5))
    world.fails()

    assert world.hears(NOT_MODIFIED) == ' unless "5"'
    assert world.next() == "?after=5&wait=30"


def test_a_tokend_that_lost_its_store_may_begin_with_lower_generations(world: World) -> None:
    world.hears(issued(5))
    world.fails()
    world.hears(issued(3))

    assert world.watch.held.token == token(3)


def test_an_older_answer_that_comes_late_changes_nothing(world: World) -> None:
    world.hears(issued(1))
    ask = world.watch.ask(world.now)
    world.now += 1
    world.watch.reported(token(1), issued(3), asked_at=world.now, now=world.now)

    world.watch.answered(ask, issued(2), now=world.now + 1, draw=0.5)

    assert world.watch.held.token == token(3)


def test_a_poll_that_tokend_ends_early_is_not_repeated_at_once(world: World) -> None:
    world.hears(issued(1))

    world.hears(NOT_MODIFIED, after=2)

    assert world.watch.pause(world.now) > 0
    assert world.next() == ' unless "1"'


def test_polls_that_always_end_early_are_ever_rarer(world: World) -> None:
    world.hears(issued(1))

    began, asks = world.now, 0
    while world.now < began + 60:
        world.hears(NOT_MODIFIED)
        asks += 1

    assert asks < 50


def test_a_token_that_is_dead_on_arrival_is_not_asked_for_again_at_once(world: World) -> None:
    world.hears(issued(1, expires_in=1), after=2)

    assert world.watch.pause(world.now) > 0
    assert world.next() == ""


def test_no_news_for_who_has_no_token_is_not_tokends(world: World) -> None:
    world.hears(NOT_MODIFIED)

    assert str(world.watch.why()) == f"{KEY}: HTTP status 304, not tokend's own"
    assert world.watch.pause(world.now) > 0


def test_no_news_is_no_answer_to_a_report(world: World) -> None:
    world.hears(issued(1))

    with pytest.raises(Away, match="HTTP status 304"):
        world.watch.reported(token(1), NOT_MODIFIED, asked_at=world.now, now=world.now)


def test_a_new_token_with_every_answer_is_not_asked_for_more_than_a_hundred_times_a_minute(
    world: World,
) -> None:
    """As two tokends with a store each would give, in turn at one address."""
    end, generation = world.now + 60, 0
    while world.now < end:
        generation += 1
        world.hears(issued(generation))

    assert 50 < generation <= 102
    assert world.watch.pause(world.now) < 1


def test_what_a_parent_left_is_served_and_confirmed(world: World) -> None:
    world.hears(issued(1))

    child = World(Watch(KEY, world.watch.held))

    assert child.watch.is_held(child.now)
    assert child.next() == ' unless "1"'


@pytest.mark.parametrize(
    ("failures", "pause"),
    [(1, 0.075), (2, 0.15), (3, 0.3), (8, 3.75), (10_000, 3.75)],
)
def test_pauses_double_up_to_five_seconds(failures: int, pause: float) -> None:
    assert backoff(failures, 0.5) == pytest.approx(pause)


def test_chance_spreads_pauses_over_half_of_them() -> None:
    assert (backoff(1, 0.0), backoff(1, 1.0)) == (0.05, 0.1)


def test_it_waits_as_long_as_tokend_asks_for_but_five_seconds_at_most(world: World) -> None:
    world.hears(problem(503, retry_after=2))
    assert world.watch.pause(world.now) == 2

    world.hears(problem(503, retry_after=3600))
    assert world.watch.pause(world.now) == 5


def said(watch: Watch) -> list[str]:
    return [words.split()[0] for words in watch.words()]


def test_trouble_and_its_end_are_said_once(world: World) -> None:
    for _ in range(20):
        world.fails()
    world.hears(issued(1))
    world.hears(issued(2))

    assert said(world.watch) == ["token_not_renewed", "token_renewed_again"]


def test_trouble_is_said_again_every_hour(world: World) -> None:
    world.fails()
    end = world.now + 3 * 3600
    while world.now < end:
        world.fails()

    assert said(world.watch) == ["token_not_renewed"] * 3


def test_trouble_is_said_again_before_the_token_ends(world: World) -> None:
    world.hears(issued(1, expires_in=1200))
    while world.now < 1000 + 500:
        world.fails()
    assert said(world.watch) == ["token_not_renewed"]

    while world.now < 1000 + 1200:
        world.fails()

    assert said(world.watch) == ["token_not_renewed"]


def test_a_restart_of_tokend_is_not_worth_a_word(world: World) -> None:
    world.hears(issued(1))
    for _ in range(5):
        world.fails()
    world.hears(NOT_MODIFIED)

    assert said(world.watch) == []


def test_ten_minutes_without_tokend_are_not_noticed(world: World) -> None:
    world.hears(issued(1))
    end, tries = world.now + 600, 0
    while world.now < end:
        world.fails()
        tries += 1
        assert world.watch.is_held(world.now)
        assert world.watch.held.token == token(1)

    assert tries < 200
    assert world.watch.pause(world.now) <= 5
    world.hears(issued(2))
    assert world.watch.held.token == token(2)


# Who waits


def test_a_reader_waits_for_as_long_as_its_patience(world: World) -> None:
    assert world.watch.patience_left(1003, since=1000, patience=5) == 2


def test_a_reader_does_not_wait_for_a_tokend_that_has_long_been_away(world: World) -> None:
    world.fails()

    assert world.watch.patience_left(1004, since=1004, patience=5) == 1
    assert world.watch.patience_left(1100, since=1100, patience=5) < 0


def test_a_reader_does_not_wait_for_what_time_does_not_mend(world: World) -> None:
    world.hears(problem(404, code="unknown_key"))

    assert world.watch.patience_left(1000, since=1000, patience=5) == 0


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        pytest.param(
            problem(404, code="unknown_key", advice="ask"),
            Refused,
            f"{KEY}: no (ask)",
            id="refused",
        ),
        pytest.param(problem(404, detail=f"{KEY}: no"), Refused, f"{KEY}: no", id="named once"),
        pytest.param(problem(503, code="not_ready"), NotReady, f"{KEY}: no", id="not ready"),
        pytest.param(problem(429, code="too_many_polls"), NotReady, f"{KEY}: no", id="crowded"),
        pytest.param(problem(500, code="internal_error"), Away, f"{KEY}: no", id="broken"),
        pytest.param(
            Reply(502, b"<h1>92_secret"),
            Away,
            f"{KEY}: HTTP status 502, not tokend's own",
            id="proxy",
        ),
        pytest.param(
            Reply(200, b"[]"), Away, f"{KEY}: HTTP status 200, not tokend's own", id="stranger"
        ),
    ],
)
def test_a_reader_hears_why(
    world: World, reply: Reply, kind: type[ClientError], words: str
) -> None:
    world.hears(reply)
    why = world.watch.why()

    assert (type(why), str(why)) == (kind, words)


# Who reports


def test_a_token_that_is_no_longer_the_current_one_is_not_reported(world: World) -> None:
    world.hears(issued(2))

    assert world.watch.replaced(token(1), world.now) == token(2)
    assert world.watch.replaced(token(2), world.now) is None


def test_a_reported_token_is_replaced(world: World) -> None:
    world.hears(issued(1))

    newer = world.watch.reported(token(1), issued(2), asked_at=world.now, now=world.now)

    assert (newer, world.watch.held.token) == (token(2), token(2))


def test_a_report_that_comes_too_soon_keeps_the_token_and_is_not_repeated(world: World) -> None:
    world.hears(issued(1))

    kept = world.watch.reported(token(1), LIMITED, asked_at=world.now, now=world.now)

    assert kept == token(1)
    assert world.watch.replaced(token(1), world.now + 59) == token(1)
    assert world.watch.replaced(token(1), world.now + 60) is None


def test_a_report_that_failed_is_not_made_again_at_once(world: World) -> None:
    world.hears(issued(1))
    world.watch.not_reported(token(1), AWAY, now=world.now)

    for _ in range(2):
        with pytest.raises(Away, match="no"):
            world.watch.replaced(token(1), world.now + 4.9)
    assert world.watch.replaced(token(1), world.now + 5) is None


def test_a_report_that_is_refused_is_not_made_again_for_a_minute(world: World) -> None:
    world.hears(issued(1))
    with pytest.raises(Refused):
        world.watch.reported(token(1), problem(403), asked_at=world.now, now=world.now)

    with pytest.raises(Refused):
        world.watch.replaced(token(1), world.now + 59)
    assert world.watch.replaced(token(1), world.now + 60) is None


def test_a_newer_token_makes_up_for_a_report_that_failed(world: World) -> None:
    world.hears(issued(1))
    world.watch.not_reported(token(1), AWAY, now=world.now)
    world.hears(issued(2))

    assert world.watch.replaced(token(1), world.now) == token(2)


def test_reports_that_fail_are_said_once_in_an_hour(world: World) -> None:
    world.hears(issued(1))
    for minute in range(61):
        world.watch.not_reported(token(1), AWAY, now=world.now + 60 * minute)

    assert said(world.watch) == ["token_not_replaced"] * 2


# Who reads it


def left(world: World) -> float:
    return world.watch.patience_left(world.now, since=world.now, patience=5)


def test_an_old_token_is_served_once_tokend_has_named_it(world: World) -> None:
    """Or after a second: a loop long ended left it, or the machine slept."""
    world.hears(issued(1))
    world = World(Watch(KEY, world.watch.held))
    world.now = 1000 + 59
    assert left(world) == 0

    world.now = 1000 + 60
    assert left(world) == 1
    world.hears(NOT_MODIFIED)
    assert left(world) == 0


def test_an_old_token_is_served_at_once_while_tokend_is_away(world: World) -> None:
    world.hears(issued(1))
    world.now += 1000
    world.fails()

    assert left(world) == 0


def test_after_a_sleep_it_asks_for_the_current_token_before_it_polls(world: World) -> None:
    world.hears(issued(1))
    world.now += 60

    assert world.next() == ' unless "1"'


def test_a_poll_that_should_long_be_answered_is_overdue(world: World) -> None:
    world.hears(issued(1))
    world.next()

    assert not world.watch.is_overdue(world.now + 34)
    assert world.watch.is_overdue(world.now + 35)
    world.now += 60
    world.next()
    assert not world.watch.is_overdue(world.now)


def test_a_token_is_at_hand_for_a_minute_and_until_there_is_another(world: World) -> None:
    world.hears(issued(1))
    assert world.watch.serve(world.now) == token(1)
    assert world.watch.at_hand == (token(1), world.now + 60)

    world.hears(issued(2, expires_in=30))
    assert world.watch.at_hand[1] == -math.inf
    assert world.watch.serve(world.now) == token(2)
    assert world.watch.at_hand == (token(2), world.now + 30)


def test_a_key_that_nobody_reads_is_let_go_after_two_hours(world: World) -> None:
    world.hears(issued(1))
    left(world)

    assert not world.watch.is_idle(world.now + 7199)
    assert world.watch.is_idle(world.now + 7200)


def test_a_key_whose_tokens_are_reported_alone_is_let_go_as_well(world: World) -> None:
    world.watch.replaced("92_x", world.now)

    assert not world.watch.is_idle(world.now + 7199)
    assert world.watch.is_idle(world.now + 7200)


def test_a_key_that_is_refused_is_let_go_after_a_minute(world: World) -> None:
    world.hears(problem(404))
    left(world)

    assert not world.watch.is_idle(world.now + 59)
    assert world.watch.is_idle(world.now + 60)


def test_each_reader_has_an_exception_of_its_own(world: World) -> None:
    world.hears(problem(404, code="unknown_key", advice="ask"))
    one, other = world.watch.why(), world.watch.why()

    assert isinstance(one, Refused)
    assert one is not other
    assert (str(one), vars(one)) == (str(other), vars(other))
    assert one.code == "unknown_key"


def test_a_token_does_not_show_itself() -> None:
    held = Held(token=token(1), until=math.inf, heard_at=0)

    assert "92_" not in repr(held)
    assert f"{token(1)}" == "92_1"
    assert json.dumps(token(1)) == '"92_1"'
