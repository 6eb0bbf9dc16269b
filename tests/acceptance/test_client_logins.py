"""The Python client logs users of a mini-program in: by a real tokend and a simulated WeChat.

What is said of one client is said of the other: each test is run with both.
"""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from kit import canaries
from kit.stranger import stranger

from tokend.client import (
    AsyncClient,
    Away,
    Busy,
    Client,
    CodeRefused,
    DataRefused,
    Later,
    LoginRefused,
    Refused,
    UnknownSession,
    UnknownUser,
    UserBlocked,
)
from tokend.testing import Phone, Tokend, refusal, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tokend.client import AsyncLogins, Logins

NOBODYS = "x" * 43
USERS = map(str, itertools.count())


@pytest.fixture(scope="module")
def tokend() -> Iterator[Tokend]:
    with running() as tokend:
        yield tokend


@pytest.fixture
def phone(tokend: Tokend) -> Phone:
    """Of somebody who is new."""
    return tokend.wechat.phone(f"ann-{next(USERS)}")


class Awaited:
    """An ``AsyncLogins`` whose methods are called like those of ``Logins``."""

    def __init__(self, logins: AsyncLogins) -> None:
        self._logins = logins

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: asyncio.run(getattr(self._logins, name)(*args, **kwargs))


@pytest.fixture(params=["threads", "asyncio"])
def logins_of(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def made(app: str = "shop", **where: Any) -> Logins | Awaited:
        if request.param == "threads":
            return Client(**where).logins(app)
        return Awaited(AsyncClient(**where).logins(app))

    return made


@pytest.fixture
def logins(logins_of: Callable[..., Any], tokend: Tokend) -> Any:
    return logins_of(socket=tokend.socket)


def test_a_code_becomes_a_session(logins: Any, phone: Phone) -> None:
    login = logins.login(phone.login())

    openid, unionid = phone.openid, phone.unionid
    assert (login.openid, login.unionid) == (openid, unionid)
    assert (login.user, login.new) == ("", True)
    assert timedelta(days=29) < login.expires_in <= timedelta(days=30)
    session = logins.session(login.session)
    assert (session.openid, session.unionid, session.user) == (openid, unionid, "")
    assert timedelta(0) <= session.age < timedelta(minutes=5)
    assert timedelta(days=29) < session.expires_in <= timedelta(days=30)


async def test_a_client_logs_in_by_itself(tokend: Tokend, phone: Phone) -> None:
    openid, socket = phone.openid, tokend.socket

    of_threads = await asyncio.to_thread(Client(socket=socket).login, "shop", phone.login())
    of_asyncio = await AsyncClient(socket=socket).login("shop", phone.login())

    assert of_threads.openid == of_asyncio.openid == openid


def test_whom_a_user_is_taken_for_is_known_at_the_next_login(logins: Any, phone: Phone) -> None:
    first = logins.login(phone.login())
    bound = logins.bind(first.session, "customer 1 小明")

    second = logins.login(phone.login())

    assert (second.user, second.new) == ("customer 1 小明", False)
    assert logins.session(first.session).user == "customer 1 小明"
    assert logins.user(first.openid) == bound
    assert abs(bound.since - datetime.now(UTC)) < timedelta(minutes=5)


def test_what_a_phone_signs_and_encrypts_is_verified_and_decrypted(
    logins: Any, phone: Phone
) -> None:
    session = logins.login(phone.login()).session
    profile = phone.profile()

    verified = logins.verify(session, raw_data=profile["rawData"], signature=profile["signature"])
    content = logins.decrypt(session, encrypted_data=profile["encryptedData"], iv=profile["iv"])

    assert verified.openid == content["openId"] == phone.openid
    assert content["nickName"] == phone.user


def test_what_is_forged_is_refused_with_its_own_code(logins: Any, phone: Phone) -> None:
    session = logins.login(phone.login()).session
    profile = phone.profile()

    with pytest.raises(DataRefused) as of_signature:
        logins.verify(session, raw_data=profile["rawData"], signature="0" * 40)
    with pytest.raises(DataRefused) as of_data:
        logins.decrypt(session, encrypted_data="A" * 22 + "==", iv=profile["iv"])
    with pytest.raises(DataRefused) as of_form:
        logins.decrypt(session, encrypted_data="%", iv="")
    with pytest.raises(DataRefused) as of_size:
        logins.decrypt(session, encrypted_data="A" * 2_000_000, iv="")

    codes = [refused.value.code for refused in (of_signature, of_data, of_form, of_size)]
    assert codes == ["signature_refused", "data_refused", "bad_request", "body_too_large"]


def test_a_session_ends_by_logging_out_here_or_everywhere(logins: Any, phone: Phone) -> None:
    first, second, third = (logins.login(phone.login()) for _ in range(3))

    logins.logout(first.session)
    logins.logout(first.session)
    assert over(logins, first.session)
    assert not over(logins, second.session)

    logins.logout_everywhere(first.openid)
    assert over(logins, second.session)
    assert over(logins, third.session)


def test_a_user_who_is_forgotten_is_unknown(logins: Any, phone: Phone) -> None:
    login = logins.login(phone.login())

    logins.forget(login.openid)

    assert over(logins, login.session)
    with pytest.raises(UnknownUser):
        logins.user(login.openid)
    with pytest.raises(UnknownUser):
        logins.logout_everywhere(login.openid)


def over(logins: Any, session: str) -> bool:
    try:
        logins.session(session)
    except UnknownSession:
        return True
    return False


def test_a_session_whose_key_has_changed_on_the_phone_is_found_out_by_a_check(
    logins: Any, phone: Phone
) -> None:
    session = logins.login(phone.login()).session
    assert logins.check(session).openid == phone.openid

    phone.login()
    with pytest.raises(UnknownSession):
        logins.check(session)

    assert over(logins, session)


def test_a_reset_gives_phone_and_session_another_key(logins: Any, phone: Phone) -> None:
    session = logins.login(phone.login()).session
    before = phone.profile()

    logins.reset(session)

    after = phone.profile()
    logins.verify(session, raw_data=after["rawData"], signature=after["signature"])
    with pytest.raises(DataRefused):
        logins.verify(session, raw_data=before["rawData"], signature=before["signature"])


def test_a_buttons_code_becomes_a_number_once(logins: Any, phone: Phone) -> None:
    code = phone.show_number()

    number = logins.phone_number(code)

    assert (number.number, number.country_code) == (number.pure_number, "86")
    assert number.number.startswith("199")
    assert number.number not in repr(number)
    with pytest.raises(CodeRefused):
        logins.phone_number(code)


def test_who_has_paid_is_known_by_either_number(logins: Any, phone: Phone) -> None:
    paid, openid, unionid = phone.pay(), phone.openid, phone.unionid
    by_transaction = {"transaction_id": paid.pop("transaction_id")}

    assert logins.paid_unionid(openid, **by_transaction) == unionid
    assert logins.paid_unionid(openid, **paid) == unionid
    with pytest.raises(DataRefused):
        logins.paid_unionid(openid, transaction_id="42")


@pytest.mark.parametrize("odd", ["\ud800", "é&=%", ""])
def test_what_a_phone_gives_for_a_payment_may_be_any_text(logins: Any, odd: str) -> None:
    with pytest.raises(DataRefused):
        logins.paid_unionid(odd, transaction_id="42")
    with pytest.raises(DataRefused):
        logins.paid_unionid("o" * 28, transaction_id=odd)


def test_a_code_is_good_once(logins: Any, phone: Phone) -> None:
    code = phone.login()
    logins.login(code)

    with pytest.raises(CodeRefused) as used:
        logins.login(code)
    with pytest.raises(CodeRefused) as invalid:
        logins.login("none")

    assert [used.value.code, invalid.value.code] == ["code_used", "code_invalid"]


def test_whom_wechat_blocks_is_told_apart(logins: Any, phone: Phone) -> None:
    phone.block()

    with pytest.raises(UserBlocked):
        logins.login(phone.login())


@pytest.mark.parametrize(
    ("errcode", "answer"),
    [
        pytest.param(45011, ("login_limited", timedelta(minutes=1)), id="limited"),
        pytest.param(-1, ("wechat_busy", timedelta(seconds=1)), id="busy"),
    ],
)
def test_who_comes_too_often_or_at_a_bad_time_hears_when_to_come_back(
    logins: Any, phone: Phone, tokend: Tokend, errcode: int, answer: object
) -> None:
    with (
        tokend.wechat.weather(refusal(errcode, endpoint="jscode2session")),
        pytest.raises(Busy) as busy,
    ):
        logins.login(phone.login())

    assert (busy.value.code, busy.value.retry_after) == answer


@pytest.mark.parametrize("id_", ["", "..", "x" * 42, f"{NOBODYS}\n", f"../{NOBODYS}", 43])
def test_what_is_no_session_is_nobodys(logins: Any, id_: Any) -> None:
    for call in (logins.session, logins.logout, logins.check, logins.reset):
        with pytest.raises(UnknownSession):
            call(id_)


@pytest.mark.parametrize("openid", ["", "..", "x" * 129, "../sessions", None])
def test_what_is_no_openid_is_nobodys(logins: Any, openid: Any) -> None:
    for call in (logins.user, logins.forget, logins.logout_everywhere):
        with pytest.raises(UnknownUser):
            call(openid)


def test_an_app_that_is_not_there_is_the_operators(
    logins_of: Callable[..., Any], tokend: Tokend
) -> None:
    with pytest.raises(Refused, match="blog: no such mini-program"):
        logins_of("blog", socket=tokend.socket).login("code")


def test_a_tokend_that_is_not_there_is_away(logins_of: Callable[..., Any], folder: Path) -> None:
    with pytest.raises(Away, match="No such file") as away:
        logins_of(socket=folder / "none.sock").login("code")

    assert isinstance(away.value, Later)
    assert not isinstance(away.value, LoginRefused)


def test_a_code_whose_answer_was_lost_is_not_sent_again(logins_of: Callable[..., Any]) -> None:
    heard: list[bytes] = []
    with stranger(lambda connection: connection.close(), heard=heard) as url:
        for _ in range(2):
            with pytest.raises(Away):
                logins_of(url=url).login("code")
            with pytest.raises(Away):
                logins_of(url=url).phone_number("code")

    assert sum(request.startswith(b"POST /v1/apps/shop/") for request in heard) == 4


def test_nothing_is_shown_by_an_error_or_a_repr(logins: Any, phone: Phone) -> None:
    login = logins.login(phone.login())
    canaries.release(login.session)
    canaries.look_at("the repr", repr((login, login.session, logins)))
    for call, args, kwargs in (
        (logins.login, ["canary-code"], {}),
        (logins.phone_number, ["canary-code"], {}),
        (logins.verify, [login.session], {"raw_data": "canary-data", "signature": "canary-sig"}),
        (logins.decrypt, [login.session], {"encrypted_data": "canary-data", "iv": "canary-iv"}),
    ):
        with pytest.raises(LoginRefused) as refused:
            call(*args, **kwargs)
        canaries.look_at("the message", f"{refused.value} {refused.value!r}")
