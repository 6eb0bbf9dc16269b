"""Sessions and users of an older key, on a clock moved by hand."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from kit.clock import ManualClock, settle

from tokend import tasks
from tokend.errors import RecordUnreadable, StoreError
from tokend.login.resealing import reseal
from tokend.login.sessions import Sessions
from tokend.login.users import Users
from tokend.model import Secret
from tokend.store.memory import MemoryBoard
from tokend.store.seal_key import parse_keys
from tokend.store.shelf import SealedShelf
from tokend.wechat.identity import Identity

APPID = "wx0123456789abcdef"
OLD, NEW = Secret("0" * 64), Secret("1" * 64)
ID = parse_keys([NEW]).ids[0]
TEN_DAYS = timedelta(days=10)


class Board(MemoryBoard):
    """*before* is called before each swap, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.before = lambda: None

    async def swap(self, *args, **more) -> bool:
        self.before()
        return await super().swap(*args, **more)


class Node:
    """With a seal key file of its own."""

    def __init__(self, board: Board, clock: ManualClock, *keys: Secret) -> None:
        self.shelf = SealedShelf(board, clock, parse_keys(keys))
        self.users = Users(self.shelf, clock)
        self.sessions = Sessions(self.shelf, self.users, clock, lifetime=TEN_DAYS, sliding=False)

    async def login(self, openid: str) -> str:
        identity = Identity(openid=openid, session_key=Secret("canary-key"), unionid="")
        begun = await self.sessions.begin(APPID, identity)
        await self.users.bind(APPID, openid, f"customer {openid}")
        return begun.id


class Place:
    """A store, on which nodes come and go."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.board = Board()

    def node(self, *keys: Secret) -> Node:
        return Node(self.board, self.clock, *keys)


async def resealed(place: Place) -> None:
    await reseal(place.node(NEW, OLD).shelf, place.clock, seal=ID)


@pytest.fixture
def place() -> Place:
    return Place()


async def test_all_are_known_when_the_old_key_is_gone(place: Place) -> None:
    ids = [await place.node(OLD, NEW).login(f"o{n}") for n in range(3)]

    await resealed(place)

    after = place.node(NEW)
    held = [await after.sessions.find(APPID, id_) for id_ in ids]
    assert [each.session.openid for each in held] == ["o0", "o1", "o2"]
    assert [each.user.user for each in held] == ["customer o0", "customer o1", "customer o2"]


async def test_what_the_new_key_has_sealed_is_not_written_again(place: Place) -> None:
    await place.node(NEW, OLD).login("oAnn")
    written = []
    place.board.before = lambda: written.append(1)

    await resealed(place)

    assert not written


async def test_a_session_ends_when_it_would_have_ended(place: Place) -> None:
    id_ = await place.node(OLD).login("oAnn")
    await place.clock.advance(86_400)

    await resealed(place)
    await place.clock.advance(9 * 86_400)

    # A sealed end has a tolerance of five minutes; that in the store has none.
    assert len(place.board.names) == 2
    assert await place.node(NEW).users.find(APPID, "oAnn")
    (name,) = [name for name in place.board.names if name.startswith("session:")]
    assert await place.board.read(name, now=place.clock.wall()) is None
    assert id_ not in name


async def test_what_somebody_has_altered_stays_as_it_is_and_keeps_nobody(place: Place) -> None:
    await place.node(OLD).login("oAnn")
    await place.node(OLD).login("oBob")
    written = await place.board.read(f"user:{APPID}/oAnn", now=place.clock.wall())
    await place.board.erase(f"user:{APPID}/oAnn")
    altered = written[:-5] + "AAAAA"
    await place.board.swap(f"user:{APPID}/oAnn", None, altered, ends=None, now=place.clock.wall())

    await resealed(place)

    assert (await place.node(NEW).users.find(APPID, "oBob")).user == "customer oBob"
    assert await place.board.read(f"user:{APPID}/oAnn", now=place.clock.wall()) == altered
    with pytest.raises(RecordUnreadable):
        await place.node(NEW, OLD).users.find(APPID, "oAnn")


async def test_what_is_changed_meanwhile_is_not_undone(place: Place) -> None:
    await place.node(OLD).login("oAnn")
    node = place.node(NEW, OLD)
    bound = asyncio.Event()

    def bind_before() -> None:
        """Once: who is asked does so before the swap that is about to be."""
        place.board.before = lambda: None
        task = node.users.bind(APPID, "oAnn", "somebody else")
        with pytest.raises(StopIteration):
            task.send(None)
        bound.set()

    await node.shelf.erase(next(each for each in place.board.names if "session" in each))
    place.board.before = bind_before

    await reseal(node.shelf, place.clock, seal=ID)

    assert bound.is_set()
    assert (await place.node(NEW).users.find(APPID, "oAnn")).user == "somebody else"


async def test_a_store_that_is_away_is_tried_again(place: Place) -> None:
    id_ = await place.node(OLD).login("oAnn")

    def away() -> None:
        raise StoreError("redis: away")

    place.board.before = away
    task = asyncio.create_task(resealed(place))
    try:
        await settle()
        assert not task.done()
        place.board.before = lambda: None
        await place.clock.advance(61)
        assert task.done()
    finally:
        await tasks.end([task])

    assert (await place.node(NEW).sessions.find(APPID, id_)).session.openid == "oAnn"
