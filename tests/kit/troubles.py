"""What may go wrong in a town, where, and for how long at most."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from tokend.simulator.weather import FAIR, Fault

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from kit.week import Town

Make: TypeAlias = "Callable[[Town, random.Random], AbstractContextManager[None]]"

_MINUTES = timedelta(minutes=1)


@dataclass(frozen=True)
class Trouble:
    """*place* is where: one thing goes wrong there at a time. *hides*: a token may be dead after it
    without anybody's knowing.
    """

    place: str
    make: Make
    longest: timedelta
    hides: bool = False


def weather(**fault: Any) -> Make:
    """Each number of seconds is the most there is."""

    @contextmanager
    def make(town: Town, draw: random.Random) -> Iterator[None]:
        drawn = {
            name: draw.uniform(0, value) if name.endswith("seconds") else value
            for name, value in fault.items()
        }
        town.wechat.weather.standing = Fault(**drawn)
        try:
            yield
        finally:
            town.wechat.weather.standing = FAIR

    return make


def refusal(errcode: int) -> Make:
    return weather(reply={"errcode": errcode, "errmsg": "simulated"})


@contextmanager
def unreachable(town: Town, _: random.Random) -> Iterator[None]:
    town.wechat.is_reachable = False
    try:
        yield
    finally:
        town.wechat.is_reachable = True


def storage(**state: Any) -> Make:
    @contextmanager
    def make(town: Town, _: random.Random) -> Iterator[None]:
        for name, value in state.items():
            setattr(town.storage, name, value)
        try:
            yield
        finally:
            for name in state:
                delattr(town.storage, name)

    return make


@contextmanager
def failover(town: Town, _: random.Random) -> Iterator[None]:
    """To what was there when it began."""
    before = town.storage.snapshot()
    yield
    town.storage.go_back(before)
    town.judge.store_lost()


@contextmanager
def forgetting(town: Town, _: random.Random) -> Iterator[None]:
    town.storage.forget()
    town.judge.store_lost()
    yield


@contextmanager
def cut_off(town: Town, draw: random.Random) -> Iterator[None]:
    node = town.nodes[draw.choice(sorted(town.nodes))]
    node.wire.is_cut = True
    try:
        yield
    finally:
        node.wire.is_cut = False


@contextmanager
def stopped(town: Town, draw: random.Random) -> Iterator[None]:
    node = town.nodes[draw.choice(sorted(town.nodes))]
    node.stop()
    try:
        yield
    finally:
        node.go_on()


@contextmanager
def killed(town: Town, draw: random.Random) -> Iterator[None]:
    number = draw.choice(sorted(town.nodes))
    town.judge.forget(town.nodes[number])
    town.kill(number)
    try:
        yield
    finally:
        town.start(number)


@contextmanager
def rotated(town: Town, _: random.Random) -> Iterator[None]:
    town.rotate()
    yield


@contextmanager
def forced(town: Town, draw: random.Random) -> Iterator[None]:
    town.nodes[draw.choice(sorted(town.nodes))].force()
    yield


@contextmanager
def complained_of(town: Town, draw: random.Random) -> Iterator[None]:
    node = town.nodes[draw.choice(sorted(town.nodes))]
    loop = node.begin(node.complain())
    try:
        yield
    finally:
        loop.cancel()


@contextmanager
def clock_set(town: Town, draw: random.Random) -> Iterator[None]:
    """By hours, there and back."""
    town.clock.jump += timedelta(seconds=draw.uniform(-3, 3) * 3600)
    town.judge.store_lost()
    try:
        yield
    finally:
        town.clock.jump = timedelta(0)


TROUBLES = {
    "WeChat is slow": Trouble("WeChat", weather(delay_seconds=7), 20 * _MINUTES),
    "WeChat acts late": Trouble("WeChat", weather(delay_seconds=60), 5 * _MINUTES, hides=True),
    "WeChat answers late": Trouble("WeChat", weather(late_seconds=60), 5 * _MINUTES, hides=True),
    "WeChat is cut off": Trouble("WeChat", weather(cut=True), 10 * _MINUTES),
    "answers are lost": Trouble("WeChat", weather(cut=True, when="after"), _MINUTES, hides=True),
    "502": Trouble("WeChat", weather(status=502, body=b"no"), 10 * _MINUTES),
    "nonsense": Trouble("WeChat", weather(body=b"<html>"), 10 * _MINUTES),
    "WeChat is unreachable": Trouble("WeChat", unreachable, 30 * _MINUTES),
    "-1": Trouble("WeChat", refusal(-1), 10 * _MINUTES),
    "45009": Trouble("WeChat", refusal(45009), 10 * _MINUTES),
    "45011": Trouble("WeChat", refusal(45011), 5 * _MINUTES),
    "40164": Trouble("WeChat", refusal(40164), 10 * _MINUTES),
    "store is away": Trouble("store", storage(away=True), 30 * _MINUTES),
    "store is slow": Trouble("store", storage(slow=0.9), 30 * _MINUTES),
    "store loses answers": Trouble("store", storage(is_losing=True), 5 * _MINUTES),
    "store fails over": Trouble("store", failover, _MINUTES / 12),
    "store forgets": Trouble("store", forgetting, _MINUTES),
    "store is cut off from a node": Trouble("store", cut_off, 20 * _MINUTES),
    "a node is stopped": Trouble("node", stopped, 15 * _MINUTES),
    "a node is killed": Trouble("node", killed, 10 * _MINUTES),
    "somebody else gets a token": Trouble("token", rotated, _MINUTES / 60, hides=True),
    "an operator forces": Trouble("token", forced, _MINUTES / 60, hides=True),
    "a client is in a loop": Trouble("token", complained_of, 30 * _MINUTES, hides=True),
    "the clock is set": Trouble("clock", clock_set, 30 * _MINUTES),
}
