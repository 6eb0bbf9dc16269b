"""Logins of a mini-program's users, for threads: the business server's half.

Unlike a token nothing is kept here: each method is one question to tokend, over a connection of its
own. tokend answers from its store within 10 seconds, and within 35 where it asks WeChat. Nothing is
sent again if its answer was lost, above all no code, which is good for one exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from tokend.client.connection import ask_apart
from tokend.client.login_wire import Calls

if TYPE_CHECKING:
    from tokend.client.address import Address
    from tokend.client.login_wire import Call
    from tokend.client.session import Login, PhoneNumber, Session, User

T = TypeVar("T")


class Logins:
    """Of one app; threads and forks share it. ``Client.logins`` makes it.

    All raise ``LoginRefused`` where the user or the phone is to blame, ``Busy`` or ``Away``, which
    are ``Later``, where time helps, and ``Refused`` where the operator does. A *session* is the id
    that ``login`` gave; what is not one raises ``UnknownSession``.
    """

    def __init__(self, app: str, address: Address) -> None:
        self._calls = Calls(app)
        self._address = address

    def _ask(self, call: Call[T]) -> T:
        return call.read(ask_apart(self._address, call.request))

    def login(self, code: str) -> Login:
        """A session for the *code* of ``wx.login``, within 35 seconds.

        Raises ``CodeRefused`` or ``UserBlocked``. After ``Later`` nobody knows if the code is used
        up: the mini-program comes with a new one.
        """
        return self._ask(self._calls.login(code))

    def session(self, session: str) -> Session:
        """Whose it is. With ``login.sliding`` it lasts longer from now on."""
        return self._ask(self._calls.session(session))

    def logout(self, session: str) -> None:
        """End this session; one that is over already, too."""
        return self._ask(self._calls.logout(session))

    def bind(self, session: str, user: str) -> User:
        """From now on whoever is of this openid is taken for *user*: 1 to 256 characters."""
        return self._ask(self._calls.bind(session, user))

    def verify(self, session: str, *, raw_data: str, signature: str) -> Session:
        """Whose it is, if their phone has signed this. Raises ``DataRefused``."""
        return self._ask(self._calls.verify(session, raw_data=raw_data, signature=signature))

    def decrypt(self, session: str, *, encrypted_data: str, iv: str) -> dict[str, Any]:
        """What their phone has encrypted, in WeChat's names. Raises ``DataRefused``."""
        return self._ask(self._calls.decrypt(session, encrypted_data=encrypted_data, iv=iv))

    def check(self, session: str) -> Session:
        """Whose it is, if WeChat still takes its session_key for theirs, within 35 seconds.

        Raises ``UnknownSession`` if not, and the session is over.
        """
        return self._ask(self._calls.check(session))

    def reset(self, session: str) -> Session:
        """Give it another session_key, within 35 seconds."""
        return self._ask(self._calls.reset(session))

    def user(self, openid: str) -> User:
        """Whom they are taken for. Raises ``UnknownUser``."""
        return self._ask(self._calls.user(openid))

    def logout_everywhere(self, openid: str) -> None:
        """End all sessions of this user. Raises ``UnknownUser``."""
        return self._ask(self._calls.logout_everywhere(openid))

    def forget(self, openid: str) -> None:
        """Everything about this user, and their sessions."""
        return self._ask(self._calls.forget(openid))

    def phone_number(self, code: str) -> PhoneNumber:
        """That behind the *code* of a phone number button, within 35 seconds.

        Raises ``CodeRefused``.
        """
        return self._ask(self._calls.phone_number(code))

    @overload
    def paid_unionid(self, openid: str, *, transaction_id: str) -> str: ...
    @overload
    def paid_unionid(self, openid: str, *, mch_id: str, out_trade_no: str) -> str: ...
    def paid_unionid(self, openid: str, **order: str) -> str:
        """The unionid of who has paid this order in the last five minutes, within 35 seconds.

        Raises ``DataRefused`` if WeChat knows no such payment.
        """
        return self._ask(self._calls.paid_unionid(openid, **order))
