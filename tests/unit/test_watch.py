"""What ``tokend status --watch`` makes of what it hears: no terminal, no tokend, no waiting."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tokend.cli import words
from tokend.cli.board import Board, Time
from tokend.cli.events import Event, Reader, Word, follow
from tokend.cli.failure import Failure
from tokend.cli.picture import Picture, Size

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
HERE = 1000.0  # by our monotonic clock, at noon


def status(app: str = "shop", *, at: float = 0, **but: Any) -> dict[str, Any]:
    """Of a key half-way to its refresh, *at* seconds after noon."""
    return {
        "app": app,
        "appid": "wx0",
        "kind": "access_token",
        "state": "fresh",
        "generation": 1,
        "expires_in": int(3750 - at),
        "expires_at": iso(3750),
        "refreshing": False,
        "refreshing_elsewhere": None,
        "next_refresh_in": int(3450 - at),
        "next_refresh_at": iso(3450),
        "failures": 0,
        "error": None,
        "record_trouble": None,
        **but,
    }


def failing(app: str, **but: Any) -> dict[str, Any]:
    error = {"message": f"{app} is refused: 拒绝", "errcode": 40164, "advice": f"allow {app}"}
    return status(app, failures=3, error=error, **but)


def refreshed(at: float) -> dict[str, Any]:
    """An event."""
    after = {
        "expires_in": 7200,
        "expires_at": iso(at + 7200),
        "next_refresh_in": 6900,
        "next_refresh_at": iso(at + 6900),
    }
    return {
        "at": iso(at),
        "what": "refreshed",
        "took": 0.25,
        "status": status(at=at, generation=2, **after),
    }


def iso(after_noon: float) -> str:
    return datetime.fromtimestamp(NOON + after_noon, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def page(*keys: dict[str, Any], trouble: str | None = None) -> dict[str, Any]:
    return {"keys": list(keys), "configuration_mistakes": [], "store_trouble": trouble}


def board(*keys: dict[str, Any], states: tuple[str, ...] = ()) -> Board:
    known = Board(states)
    known.page(page(*keys), HERE)
    return known


def drawn(
    known: Board, *, after: float = 0, width: int = 100, height: int = 20, word: str = ""
) -> list[str]:
    """The lines, so many seconds after noon."""
    now = known.time.now(HERE + after)
    return Picture(known, now, Size(width, height), word).lines()


# What is drawn


def test_times_count_down_and_the_bar_grows_though_nothing_is_heard() -> None:
    known = board(status())

    at_noon, later, at_last = (drawn(known, after=after)[2] for after in (0, 1725, 4000))

    assert at_noon == "shop/access_token  fresh    [#####-----]  57m 30s  1h 02m   0       -"
    assert later == "shop/access_token  fresh    [#######---]  28m 45s  33m 45s  0       -"
    assert at_last == "shop/access_token  fresh    [##########]  now      0s       0       -"


def test_an_event_tells_what_happened_last_and_begins_the_bar_anew() -> None:
    known = board(status())
    known.happened(refreshed(100))

    row = drawn(known, after=107)[2]

    assert row.endswith("[----------]  1h 54m   1h 59m   0       refreshed 7s ago, took 0.25 s")


def test_what_was_asked_for_before_an_event_and_came_after_it_changes_nothing() -> None:
    known = board(status())
    known.happened(refreshed(100))

    known.page(page(status(at=95)), HERE + 101)

    assert "1h 54m" in drawn(known, after=107)[2]


def test_a_wait_after_a_failure_has_a_bar_of_its_own() -> None:
    soon = {"next_refresh_in": 20, "next_refresh_at": iso(20)}
    known = board(failing("shop", **soon))
    before = drawn(known, after=10)[2]
    known.page(page(failing("shop", **soon | {"next_refresh_in": 10})), HERE + 10)

    assert "[#####-----]  10s" in before
    assert drawn(known, after=10)[2] == before


def test_what_needs_somebody_comes_first_and_the_others_are_counted() -> None:
    keys = [status(f"app{number:02}") for number in range(40)]
    known = board(
        *keys, status("stale", state="stale"), failing("failing"), failing("zed", state="expired")
    )

    lines = drawn(known, height=14)

    assert [line.split()[0] for line in lines[2:7]] == [
        *("zed/access_token", "failing/access_token", "stale/access_token"),
        *("app00/access_token", "app01/access_token"),
    ]
    assert lines[0] == "43 keys: 41 fresh, 1 stale, 1 expired"
    assert lines[8] == "and 37 more"
    assert lines[9:] == [
        "",
        "zed/access_token: zed is refused: 拒绝",
        "  allow zed",
        "failing/access_token: failing is refused: 拒绝",
        "  allow failing",
    ]
    assert len(lines) <= 14


@pytest.mark.parametrize("width", [1, 2, 10, 30, 50, 70, 79, 100, 300])
@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 10, 100])
def test_it_fits_any_terminal(width: int, height: int) -> None:
    keys = [failing(f"app{number:02}-{'x' * number}") for number in range(40)]
    for word in ("", "tokend is away, and 公众号 too" * 20):
        lines = drawn(board(*keys), width=width, height=height, word=word)

        assert len(lines) <= height
        assert max(map(words.columns, lines)) <= width


def test_at_eighty_columns_everything_has_its_place() -> None:
    heading = drawn(board(status()), width=80)[1]

    assert heading.split() == ["KEY", "STATE", "REFRESH", "EXPIRES", "FAILED", "LAST"]


def test_a_node_that_refreshes_a_key_elsewhere_is_named() -> None:
    known = board(status(refreshing_elsewhere="web2/4242"))

    assert any(line.endswith("refreshing on web2/4242") for line in drawn(known))


def test_what_is_wrong_with_all_of_tokend_is_told_before_what_is_with_a_key() -> None:
    known = board()
    known.page(page(failing("shop"), trouble="nobody at redis"), HERE)

    assert drawn(known)[4] == "the store is away: nobody at redis"


def test_nothing_that_a_terminal_obeys_comes_from_others() -> None:
    evil = "\x1b]0;owned\x07\r\n\x9b2J"
    error = {"message": evil, "errcode": 1, "advice": evil}
    known = board(status(state=evil, error=error, record_trouble=evil))
    known.happened({**refreshed(1), "what": evil})
    known.page(page(status("blog", error=error), trouble=evil), HERE)

    assert all(char.isprintable() for line in drawn(known, word="") for char in line)
    assert all(char.isprintable() for line in drawn(known, word=evil) for char in line)


def test_a_long_advice_is_parted_between_words_and_chinese_anywhere() -> None:
    assert list(words.wrapped("add it to the list", 10)) == ["add it to", "the list"]
    assert list(words.wrapped("  add it to the list", 8)) == ["  add it", "to the", "list"]
    assert list(words.wrapped("调用接口的地址", 5)) == ["调用", "接口", "的地", "址"]
    assert list(words.wrapped("", 5)) == [""]
    assert list(words.wrapped("a调用", 1)) == ["a"]


# What is known


def test_a_key_that_is_gone_is_shown_no_more() -> None:
    known = board(status("shop"), status("blog"))
    known.keep(known.page(page(status("blog")), HERE))

    assert list(known.keys) == ["blog/access_token"]


def test_with_states_only_keys_in_these_are_shown() -> None:
    known = board(failing("shop", state="expired"), states=("expired",))
    assert list(known.keys) == ["shop/access_token"]

    known.happened(refreshed(100))
    assert known.keys == {}


@pytest.mark.parametrize(
    ("heard", "speed"),
    [
        pytest.param([(0, 0), (15, 15)], 1, id="as here"),
        pytest.param([(0, 0), (3, 2)], 1, id="whole seconds"),
        pytest.param([(0, 0), (240, 2)], 120, id="the demo"),
        pytest.param([(0, 0), (240, 2), (255, 17)], 1, id="a clock that was set"),
        pytest.param([(0, 0), (-3600, 15)], 1, id="and back"),
        pytest.param([(0, 0), (1, 0)], 1, id="two pages at once"),
    ],
)
def test_time_passes_as_fast_as_it_does_there(heard: list[tuple[int, int]], speed: int) -> None:
    time = Time()
    for there, here in heard:
        time.heard(NOON + there, HERE + here)

    there, here = heard[-1]
    assert time.now(HERE + here + 10) == NOON + there + 10 * speed


# What is heard


BEGIN = b'id: 5\nevent: begin\ndata: {"number": 5}\n\n'
HEARD = (
    b"retry: 1000\n:\n" + BEGIN + b'id: 7\nevent: lost\ndata: {"number": 7}\n\n:\n'
    b'id: 9\nevent: reset\ndata: {"number": 9}\n\n'
    b'id: 10\nevent: failed\ndata: {"error": "\xe9\x92\xa5"}\n\n'
)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_are_read_in_whatever_pieces_they_come(size: int) -> None:
    reader = Reader()
    pieces = [HEARD[at : at + size] for at in range(0, len(HEARD), size)]

    news = [each for piece in pieces for each in reader.read(piece)]

    assert news == [
        Word.BEGIN,
        Event("lost", {"number": 7}),
        Word.RESET,
        Event("failed", {"error": "钥"}),
    ]
    assert reader.last == "10"


@pytest.mark.parametrize(
    "heard",
    [
        pytest.param(b"id: 1\nevent: lost\ndata: {\n\n", id="half a document"),
        pytest.param(b"id: 1\nevent: lost\ndata: 1\n\n", id="no object"),
        pytest.param(b"id: x\r\nInjected: y\nevent: lost\ndata: {}\n\n", id="no number"),
        pytest.param(b"event: lost\ndata: {}\n\n", id="no id"),
        pytest.param(b"id: 1\nevent: \xff\ndata: {}\n\n", id="no text"),
        pytest.param(b"id: 1\nevent: lost\ndata: " + b"[" * 100_000 + b"\n\n", id="nested"),
        pytest.param(b"data: " + b"x" * 2**21, id="a line without an end"),
    ],
)
def test_what_is_not_from_tokend_is_said_to_be_so_and_not_shown(heard: bytes) -> None:
    with pytest.raises(Failure, match="what comes there is not from tokend"):
        list(Reader().read(heard))


class Connection:
    """One after the other says what it has, and what it was asked after."""

    def __init__(self, *streams: list[bytes] | Failure) -> None:
        self.streams = list(streams)
        self.asked: list[str] = []

    def stream(self, _: str, *, last: str) -> Iterator[bytes]:
        self.asked.append(last)
        stream = self.streams.pop(0)
        if isinstance(stream, Failure):
            raise stream
        yield from stream


def test_it_comes_back_with_the_last_id_whatever_ends_the_connection() -> None:
    away, no = Failure("nobody there"), Failure("you may not", code=77)
    there = Connection([BEGIN], [HEARD], away, no)
    paused: list[float] = []
    news = follow(lambda: there, paused.append)

    told = [next(news) for _ in range(8)]
    with pytest.raises(Failure, match="you may not"):
        next(news)

    assert told[0] is told[2] is Word.BEGIN
    assert str(told[1]) == str(told[6]) == "tokend has ended the connection"
    assert told[7] is away
    assert there.asked == ["", "5", "10", "10"]
    assert paused == [1.0, 1.0, 1.0]
