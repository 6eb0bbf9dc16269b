"""Sessions and users of mini-programs, on a clock moved by hand."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from kit.clock import ManualClock

from tokend.errors import RecordUnreadable, StoreError, UnknownSession, UnknownUser
from tokend.login.records import Session, User
from tokend.login.sessions import Sessions
from tokend.login.users import Users
from tokend.model import Secret
from tokend.store.memory import MemoryBoard
from tokend.store.seals import UNSEALED
from tokend.store.shelf import SealedShelf
from tokend.wechat.identity import Identity

APPID, OTHER_APPID = "wx0123456789abcdef", "wxfedcba9876543210"
ANN, BOB = "oAnn", "oBob"
DAY = 86_400


class Board(MemoryBoard):
    """Counts, and may fail or let somebody in: *before* is called before each swap."""

    def __init__(self) -> None:
        super().__init__()
        self.swaps = 0
        self.before = lambda: None

    async def swap(self, *args, **more) -> bool:
        self.swaps += 1
        self.before()
        await asyncio.sleep(0)
        return await super().swap(*args, **more)

    async def read(self, *args, **more) -> str | None:
        await asyncio.sleep(0)
        return await super().read(*args, **more)


class Desk:
    """Ten days, from the last use or from the login."""

    def __init__(self, *, sliding: bool = True) -> None:
        self.clock = ManualClock()
        self.board = Board()
        shelf = SealedShelf(self.board, self.clock, UNSEALED)
        self.users = Users(shelf, self.clock)
        self.sessions = Sessions(
            shelf, self.users, self.clock, lifetime=timedelta(days=10), sliding=sliding
        )

    async def login(self, openid: str = ANN, key: str = "canary-key", unionid: str = ""):
        identity = Identity(openid=openid, session_key=Secret(key), unionid=unionid)
        return await self.sessions.begin(APPID, identity)

    async def is_there(self, id_: str) -> bool:
        try:
            await self.sessions.find(APPID, id_)
        except UnknownSession:
            return False
        return True


@pytest.fixture
def desk() -> Desk:
    return Desk()


# A session


async def test_a_login_gives_a_session_of_its_user_and_its_session_key(desk: Desk) -> None:
    begun = await desk.login(unionid="oUnion")

    held = await desk.sessions.find(APPID, begun.id)

    assert held.session.openid == ANN
    assert held.session.session_key == Secret("canary-key")
    assert held.user.unionid == "oUnion"


async def test_each_login_has_a_session_and_a_session_key_of_its_own(desk: Desk) -> None:
    one, other = await desk.login(key="canary-1"), await desk.login(key="canary-2")

    keys = [(await desk.sessions.find(APPID, each.id)).session.session_key for each in (one, other)]

    assert one.id != other.id
    assert keys == [Secret("canary-1"), Secret("canary-2")]


async def test_an_id_has_256_bits_and_stands_nowhere_in_the_store(desk: Desk) -> None:
    ids = [(await desk.login()).id for _ in range(20)]

    assert {len(each) for each in ids} == {43}
    assert not [each for each in ids if each in json.dumps(list(desk.board.names))]


async def test_a_session_is_unknown_with_another_app(desk: Desk) -> None:
    begun = await desk.login()

    with pytest.raises(UnknownSession):
        await desk.sessions.find(OTHER_APPID, begun.id)
    await desk.sessions.end(OTHER_APPID, begun.id)

    assert await desk.is_there(begun.id)


@pytest.mark.parametrize(
    "id_", ["", "x", "x" * 42, "x" * 44, "x" * 42 + "\n", "é" * 43, "../" * 14 + "a", "\0" * 43]
)
async def test_what_is_no_id_is_unknown_and_the_store_is_not_asked(desk: Desk, id_: str) -> None:
    desk.board.read = None

    with pytest.raises(UnknownSession):
        await desk.sessions.find(APPID, id_)


async def test_after_a_logout_it_is_over_and_others_are_not(desk: Desk) -> None:
    one, other = await desk.login(), await desk.login()

    await desk.sessions.end(APPID, one.id)
    await desk.sessions.end(APPID, one.id)

    assert not await desk.is_there(one.id)
    assert await desk.is_there(other.id)


async def test_a_logout_everywhere_ends_all_of_one_user_at_once(desk: Desk) -> None:
    of_ann = [await desk.login() for _ in range(3)]
    of_bob = await desk.login(BOB)
    swaps = desk.board.swaps

    await desk.users.end_sessions(APPID, ANN)

    assert desk.board.swaps == swaps + 1
    assert not [each for each in of_ann if await desk.is_there(each.id)]
    assert await desk.is_there(of_bob.id)
    assert await desk.is_there((await desk.login()).id)


async def test_a_login_under_way_at_a_logout_everywhere_is_out_too(desk: Desk) -> None:
    await desk.login()

    login = asyncio.create_task(desk.login())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await desk.users.end_sessions(APPID, ANN)

    assert not await desk.is_there((await login).id)


# Its life


async def test_it_lasts_from_its_last_use(desk: Desk) -> None:
    begun = await desk.login()

    for _ in range(5):
        await desk.clock.advance(9 * DAY)
        assert await desk.is_there(begun.id)
    await desk.clock.advance(10 * DAY + 1)

    assert not await desk.is_there(begun.id)


async def test_where_it_does_not_slide_it_lasts_from_the_login() -> None:
    desk = Desk(sliding=False)
    begun = await desk.login()

    await desk.clock.advance(9 * DAY)
    assert await desk.is_there(begun.id)
    await desk.clock.advance(DAY)

    assert not await desk.is_there(begun.id)


async def test_its_age_counts_from_the_login_all_the_same(desk: Desk) -> None:
    begun = await desk.login()

    await desk.clock.advance(9 * DAY)
    held = await desk.sessions.find(APPID, begun.id)

    assert held.session.age(desk.clock.wall()) == timedelta(days=9)
    assert held.session.left(desk.clock.wall()) == timedelta(days=10)


async def test_it_is_not_written_again_with_each_use(desk: Desk) -> None:
    begun = await desk.login()
    swaps = desk.board.swaps

    for _ in range(24):
        await desk.clock.advance(3600)
        await desk.sessions.find(APPID, begun.id)

    assert desk.board.swaps - swaps <= 2


async def test_two_that_use_it_at_once_both_find_it(desk: Desk) -> None:
    begun = await desk.login()
    await desk.clock.advance(5 * DAY)

    one, other = await asyncio.gather(*(desk.sessions.find(APPID, begun.id) for _ in range(2)))

    assert one.session == other.session
    assert one.note.written == other.note.written


async def test_a_wall_clock_that_is_set_back_does_not_shorten_it(desk: Desk) -> None:
    begun = await desk.login()
    end = begun.session.end
    desk.clock.jump_wall(timedelta(days=-5))

    held = await desk.sessions.find(APPID, begun.id)

    assert held.session.end == end
    assert held.session.age(desk.clock.wall()) == timedelta(0)


# Its session_key


async def test_another_session_key_takes_the_place_of_the_one_before(desk: Desk) -> None:
    begun = await desk.login()
    held = await desk.sessions.find(APPID, begun.id)

    await desk.sessions.rekey(held, Secret("canary-new"))

    again = await desk.sessions.find(APPID, begun.id)
    assert again.session.session_key == Secret("canary-new")
    assert again.session.end == held.session.end


async def test_of_two_that_reset_one_is_told_that_it_is_over(desk: Desk) -> None:
    """Of two new ones WeChat knows but one, and nobody here knows which."""
    begun = await desk.login()
    held = await desk.sessions.find(APPID, begun.id)
    await desk.sessions.rekey(held, Secret("canary-new"))

    with pytest.raises(UnknownSession):
        await desk.sessions.rekey(held, Secret("canary-other"))


async def test_what_is_dropped_for_its_session_key_stays_if_it_has_another(desk: Desk) -> None:
    begun = await desk.login()
    held = await desk.sessions.find(APPID, begun.id)
    await desk.sessions.rekey(held, Secret("canary-new"))

    await desk.sessions.drop(held)

    assert await desk.is_there(begun.id)


# Users


async def test_a_user_is_new_once(desk: Desk) -> None:
    assert [(await desk.login()).is_new for _ in range(3)] == [True, False, False]
    assert (await desk.login(BOB)).is_new


async def test_of_many_first_logins_at_once_one_is_of_a_new_user_and_all_are_good(
    desk: Desk,
) -> None:
    begun = await asyncio.gather(*(desk.login() for _ in range(3)))

    assert [each.is_new for each in begun].count(True) == 1
    assert all([await desk.is_there(each.id) for each in begun])


async def test_a_user_is_bound_for_all_sessions_and_for_good(desk: Desk) -> None:
    begun = await desk.login()

    await desk.users.bind(APPID, ANN, "user-7")
    await desk.clock.advance(1000 * DAY)

    assert (await desk.login()).user.user == "user-7"
    assert (await desk.users.find(APPID, ANN)).since == begun.session.began


async def test_who_never_logged_in_is_unknown(desk: Desk) -> None:
    await desk.login()

    for asked in (desk.users.find, desk.users.end_sessions):
        with pytest.raises(UnknownUser):
            await asked(APPID, BOB)
        with pytest.raises(UnknownUser):
            await asked(OTHER_APPID, ANN)


async def test_a_unionid_is_learnt_and_kept(desk: Desk) -> None:
    await desk.login()
    assert (await desk.login(unionid="oUnion")).user.unionid == "oUnion"

    assert (await desk.login(unionid="")).user.unionid == "oUnion"
    assert (await desk.users.find(APPID, ANN)).unionid == "oUnion"


async def test_two_changes_at_once_both_stay(desk: Desk) -> None:
    await desk.login()

    await asyncio.gather(
        desk.users.bind(APPID, ANN, "user-7"), desk.users.learn(APPID, ANN, "oUnion")
    )

    user = await desk.users.find(APPID, ANN)
    assert (user.user, user.unionid) == ("user-7", "oUnion")


async def test_of_a_forgotten_user_nothing_is_left_and_the_next_login_is_new(desk: Desk) -> None:
    begun = await desk.login()
    await desk.users.bind(APPID, ANN, "user-7")

    await desk.users.forget(APPID, ANN)

    assert not await desk.is_there(begun.id)
    with pytest.raises(UnknownUser):
        await desk.users.find(APPID, ANN)
    again = await desk.login()
    assert (again.is_new, again.user.user) == (True, "")
    assert not await desk.is_there(begun.id)


# Deaths and troubles


async def test_a_new_user_is_not_known_before_the_session_stands(desk: Desk) -> None:
    """Whoever dies after the first step leaves nothing that anybody finds."""

    def die() -> None:
        if desk.board.swaps == 2:
            raise StoreError("dead")

    desk.board.before = die
    with pytest.raises(StoreError):
        await desk.login()
    desk.board.before = lambda: None

    with pytest.raises(UnknownUser):
        await desk.users.find(APPID, ANN)
    assert (await desk.login()).is_new


async def test_a_user_who_is_changed_again_and_again_is_an_error_in_the_end(desk: Desk) -> None:
    await desk.login()
    names = iter(f"user-{n}" for n in range(100))

    def change() -> None:
        name = f"user:{APPID}/{ANN}"
        text = User(epoch="e", since=1, user=next(names)).text().reveal()
        desk.board._texts[name] = text, None  # noqa: SLF001, somebody else at the same time

    desk.board.before = change
    with pytest.raises(StoreError, match="again and again"):
        await desk.users.bind(APPID, ANN, "mine")


# What is written


def test_a_session_comes_back_as_it_was_written() -> None:
    session = Session(openid=ANN, session_key=Secret("canary"), epoch="e", began=1, ends=2)

    assert Session.read("n", session.text()) == session
    assert "canary" not in repr(session)


def test_a_user_comes_back_as_it_was_written() -> None:
    user = User(epoch="e", since=1, unionid="oU", user="安 \U0001f600")

    assert User.read("n", user.text()) == user


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "[" * 100_000,
        '{"epoch": "e"}',
        '{"epoch":"e","since":true,"unionid":"","user":""}',
        '{"epoch":"e","since":"1","unionid":"","user":""}',
        '{"epoch":"e","since":1,"unionid":null,"user":""}',
        '{"epoch":"e","since":1,"unionid":"","user":"","more":1}',
    ],
    ids=lambda text: text[:40],
)
def test_what_no_tokend_wrote_is_told_of_by_its_name_alone(text: str) -> None:
    with pytest.raises(RecordUnreadable, match=r"^the note user:wx/o cannot be used: no tokend"):
        User.read("user:wx/o", Secret(text))
