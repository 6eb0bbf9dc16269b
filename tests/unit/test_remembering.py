"""What a connection remembers of its answers, and when it makes use of that."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from kit.clock import ManualClock

from tokend.api.door import Door, Phase
from tokend.api.repeats import _MOST, REPEAT, Repeat, Repeats
from tokend.api.room import Room
from tokend.api.source import Proxies
from tokend.api.warden import Warden
from tokend.standing import Standing

ASKED = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
OTHER = b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"


class Offer:
    """A request whose answer may be given again, and what is told of that."""

    def __init__(self, clock: ManualClock, *, version: tuple[int, int] = (1, 1)) -> None:
        self.request = make_mocked_request("GET", "/", version=version)
        self.repeat = Repeat(clock, stands=timedelta(seconds=1), what=Standing(), who=Standing())
        self.told: list[int] = []
        self.repeat.tell = self.told.append
        self.request[REPEAT] = self.repeat


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def answer(text: str = "answer") -> web.Response:
    return web.Response(text=text)


def heard(repeats: Repeats, asked: bytes, offer: Offer) -> None:
    repeats.hear(asked, alone=True)
    repeats.keep(offer.request, answer())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ASKED + OTHER, id="two"),
        pytest.param(ASKED[:-1], id="less than one"),
        pytest.param(ASKED + b"\n", id="more than one"),
        pytest.param(ASKED.replace(b"\r\n", b"\n"), id="bare line feeds"),
        pytest.param(b"\r\n" + ASKED, id="an empty line before it"),
        pytest.param(ASKED.replace(b"GET", b"POST"), id="another method"),
        pytest.param(ASKED.replace(b"1.1", b"1.0"), id="an older version"),
        pytest.param(ASKED.replace(b"/a", b"http://h/a"), id="an absolute target"),
        pytest.param(ASKED.replace(b"h\r\n\r\n", b"h\r\n x\r\n\r\n"), id="a folded line"),
        pytest.param(ASKED.replace(b": h", b" : h"), id="a space before the colon"),
        pytest.param(ASKED.replace(b": h", b": h\0"), id="a zero"),
        pytest.param(ASKED.replace(b": h", b": h\r"), id="a bare return"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_not_one_plain_get_ends_it_for_good(clock: ManualClock, data: bytes) -> None:
    repeats = Repeats()
    heard(repeats, ASKED, Offer(clock))

    heard(repeats, data, Offer(clock))
    heard(repeats, ASKED, Offer(clock))

    assert repeats.kept == {}


def test_what_comes_before_the_answer_to_another_ends_it_for_good(clock: ManualClock) -> None:
    repeats, offer = Repeats(), Offer(clock)
    repeats.hear(ASKED, alone=True)

    repeats.hear(OTHER, alone=False)
    repeats.keep(offer.request, answer())

    assert repeats.kept == {}


def test_an_answer_that_is_not_in_memory_as_a_whole_is_not_kept(clock: ManualClock) -> None:
    repeats = Repeats()
    repeats.hear(ASKED, alone=True)

    repeats.keep(Offer(clock).request, web.StreamResponse())

    assert repeats.kept == {}


def test_an_answer_after_which_the_connection_ends_is_not_kept(clock: ManualClock) -> None:
    repeats = Repeats()
    repeats.hear(ASKED, alone=True)

    repeats.keep(Offer(clock, version=(1, 0)).request, answer())

    assert repeats.kept == {}


def test_so_many_are_kept_and_no_more(clock: ManualClock) -> None:
    repeats = Repeats()

    for n in range(_MOST * 3):
        heard(repeats, ASKED.replace(b"/a", b"/%d" % n), Offer(clock))

        assert len(repeats.kept) <= _MOST


def test_each_time_is_told_once_whatever_comes_first(clock: ManualClock) -> None:
    repeats = Repeats()
    first, second = Offer(clock), Offer(clock)

    heard(repeats, ASKED, first)
    first.repeat.again()
    first.repeat.again()
    repeats.look()
    first.repeat.again()
    heard(repeats, ASKED, second)
    second.repeat.again()
    repeats.end()
    repeats.end()

    assert (first.told, second.told) == ([2, 1], [1])


def test_what_nobody_asks_for_any_more_is_forgotten(clock: ManualClock) -> None:
    repeats, offer = Repeats(), Offer(clock)
    heard(repeats, ASKED, offer)
    offer.repeat.again()

    repeats.look()
    kept = dict(repeats.kept)
    repeats.look()

    assert kept == {ASKED: offer.repeat}
    assert repeats.kept == {}


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.is_closed = True


class Aiohttp(asyncio.Protocol):
    """What gets past the door."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)


class Hall:
    """A door at which one question was answered."""

    def __init__(self, clock: ManualClock) -> None:
        self.wire, self.aiohttp, self.offer = Wire(), Aiohttp(), Offer(clock)
        self.warden = Warden(Room(tcp=8, per_address=8), Proxies())
        self.door = Door(self.warden, lambda _: self.aiohttp)
        self.door.connection_made(self.wire)
        self.door.data_received(ASKED)
        self.door.repeats.keep(self.offer.request, answer())
        self.door.turn(Phase.IDLE)


@pytest.fixture
def hall(clock: ManualClock) -> Hall:
    return Hall(clock)


def test_the_same_question_does_not_get_past_the_door(hall: Hall) -> None:
    hall.door.data_received(ASKED)

    assert hall.wire.written == [hall.offer.repeat.answer]
    assert hall.aiohttp.heard == [ASKED]


def test_what_was_answered_and_is_not_read_is_not_added_to_without_end(hall: Hall) -> None:
    hall.door.pause_writing()
    hall.door.turn(Phase.IDLE)

    hall.door.data_received(ASKED)

    assert hall.wire.written == []
    assert hall.aiohttp.heard == [ASKED, ASKED]


def test_who_reads_again_is_answered_at_once_again(hall: Hall) -> None:
    hall.door.pause_writing()
    hall.door.resume_writing()
    hall.door.turn(Phase.IDLE)

    hall.door.data_received(ASKED)

    assert hall.wire.written == [hall.offer.repeat.answer]


def test_a_question_overtakes_no_other(hall: Hall) -> None:
    hall.door.data_received(OTHER)
    hall.door.turn(Phase.ANSWER)

    hall.door.data_received(ASKED)

    assert hall.wire.written == []
    assert hall.aiohttp.heard == [ASKED, OTHER, ASKED]


def test_who_asks_again_and_again_may_stay(hall: Hall) -> None:
    for _ in range(200):
        hall.door.data_received(ASKED)
        hall.warden.look()

    assert len(hall.wire.written) == 200
    assert not hall.wire.is_closed


def test_how_often_it_was_is_told_within_a_second_and_at_the_end(hall: Hall) -> None:
    hall.door.data_received(ASKED)
    hall.warden.look()
    hall.door.data_received(ASKED)
    hall.door.connection_lost(None)

    assert hall.offer.told == [1, 1]
