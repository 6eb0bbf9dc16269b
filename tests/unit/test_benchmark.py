"""The rules of the benchmark itself, with sides that have no servers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmark import rounds, tools
from benchmark.__main__ import main
from benchmark.load.openloop import Connection
from benchmark.program import Failed
from benchmark.rounds import Measured, Side, take_turns
from benchmark.rows import ROWS, Result, judged, over_per_key, sides_of
from benchmark.scale import Scale
from benchmark.spread import Spread, p99
from benchmark.stage import opened
from benchmark.table import table
from click.testing import CliRunner

ROW = next(row for row in ROWS if row.name == "get")


@pytest.fixture
def course() -> list[str]:
    """Who was measured, one after the other."""
    return []


@pytest.fixture
async def stage(monkeypatch):
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None)
    async with opened(Scale(rounds=3, seconds=1, keys=10)) as stage:
        yield stage


def side(name: str, course: list[str], *, fails_at: int = 0) -> Side:
    async def measure(_):
        course.append(name)
        if course.count(name) == fails_at:
            raise Failed("it fell over")
        return {"wall": 1.0}

    return Side(name=name, measure=measure)


async def test_sides_take_turns_forwards_and_backwards(stage, course) -> None:
    await take_turns([side("a", course), side("b", course)], stage, lambda _: None)

    assert course == ["a", "b", "b", "a", "a", "b"]


async def test_a_side_that_fails_is_left_alone_and_the_others_go_on(stage, course) -> None:
    measured = await take_turns(
        [side("a", course, fails_at=1), side("b", course)], stage, lambda _: None
    )

    assert course == ["a", "b", "b", "b"]
    assert measured["a"].trouble == "a: it fell over"
    assert len(measured["b"].rounds) == 3


async def test_a_side_that_takes_too_long_begins_no_other_round(stage, course, monkeypatch) -> None:
    monkeypatch.setattr(rounds, "_ENOUGH_SECONDS", 0)

    measured = await take_turns([side("a", course)], stage, lambda _: None)

    assert course == ["a"]
    assert not measured["a"].trouble


def walls(*values: float) -> Measured:
    return Measured(rounds=[{"wall": value} for value in values])


def test_a_ratio_is_of_each_round_then_the_middle_and_the_ends_of_all() -> None:
    own, other = walls(10, 40, 30), walls(5, 10, 15)

    result = judged(ROW, {ROW.side: own, ROW.reference: other}, Scale())

    assert result.figure == Spread(low=2, middle=2, high=4)
    assert result.own == Spread(low=10, middle=30, high=40)
    assert result.rounds == 3


@pytest.mark.parametrize(
    ("at_least", "at_most", "reached"),
    [(4, 9, True), (4.1, 9, False), (0, 4, True), (0, 3.9, False)],
)
def test_a_goal_is_reached_by_the_middle(at_least, at_most, reached) -> None:
    row = replace(ROW, at_least=at_least, at_most=at_most)
    measured = {row.side: walls(1, 4, 9), row.reference: walls(1, 1, 1)}

    assert judged(row, measured, Scale()).is_reached is reached


def test_memory_is_what_comes_on_top_for_each_key() -> None:
    assert over_per_key(5000, 1000, Scale(keys=4)) == 1000


def test_the_99th_percentile_leaves_one_in_a_hundred_out() -> None:
    assert p99([*range(100), 10**9]) == 99
    assert p99([7]) == 7


def test_what_was_not_measured_is_said_in_the_table() -> None:
    trouble = Measured(trouble="tokend get: it said\n | nothing")
    outcome = judged(ROW, {ROW.side: trouble, ROW.reference: walls(1)}, Scale())

    last = table({ROW.name: outcome}, [ROW]).splitlines()[-1]

    assert last.endswith("| ≤ 6.00 | not measured: tokend get: it said / nothing |")


def test_the_table_has_both_sides_the_ratio_its_spread_and_the_goal() -> None:
    figure, one = Spread(low=2, middle=2.5, high=4), Spread(low=0.001, middle=0.002, high=0.003)
    result = Result(row=ROW, rounds=5, own=one, reference=one, figure=figure)

    last = table({ROW.name: result}, [ROW]).splitlines()[-1]

    assert last.endswith("| 2.0 ms | 2.0 ms | 2.50 | 2.00 to 4.00 | 5 | ≤ 6.00 | yes |")


def test_a_missing_reference_is_said_with_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr(tools.shutil, "which", lambda *_, **__: None)

    said = CliRunner().invoke(main, ["hot-go", "--rounds", "1"])

    assert said.exit_code == 1
    assert "not measured: needs go and taskset and wrk: apt-get install" in said.stdout
    assert "golang-go" in said.stdout
    assert "--install" in said.stdout


def test_every_side_is_measured_once_however_many_rows_have_it() -> None:
    names = [side.name for side in sides_of(ROWS)]

    assert len(names) == len(set(names))
    assert names[0] == "tokend, hot"


def test_all_that_a_row_needs_is_known() -> None:
    assert set().union(*(row.needs() for row in ROWS)) <= tools.TOOLS.keys()


class Wire:
    """Gives what an answer is cut into."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def recv(self, _: int) -> bytes:
        return self._pieces.pop(0)


def test_an_answer_counts_when_its_last_byte_is_there() -> None:
    connection = Connection(Wire(b"HTT", b"P/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", b"}"))

    assert [connection.is_answered() for _ in range(3)] == [False, False, True]


def test_a_get_that_is_refused_is_not_counted() -> None:
    connection = Connection(Wire(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"))

    with pytest.raises(ConnectionError, match="503"):
        connection.is_answered()


def test_a_get_that_is_cut_off_is_not_waited_for() -> None:
    connection = Connection(Wire(b"HTTP/1.1 200 OK\r\n", b""))

    assert not connection.is_answered()
    with pytest.raises(ConnectionError, match="cut off"):
        connection.is_answered()
