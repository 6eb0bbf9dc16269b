"""What tokend is asked about users of a mini-program, and what its answers mean. No I/O."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlencode

from tokend.client import wire
from tokend.client.errors import (
    Busy,
    ClientError,
    CodeRefused,
    DataRefused,
    LoginRefused,
    Refused,
    UnknownSession,
    UnknownUser,
    UsageError,
    UserBlocked,
)
from tokend.client.hidden import Hidden
from tokend.client.session import Login, PhoneNumber, Session, User
from tokend.client.wire import Problem, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# As tokend makes and takes them: what else there is, it need not be asked about.
_APP = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SESSION = re.compile(r"[A-Za-z0-9_-]{43}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LONGEST_BODY = 8 * 1024

# What names the order that somebody has paid.
_ORDERS = ({"transaction_id"}, {"mch_id", "out_trade_no"})

# How long tokend may take to answer: from its store; and from WeChat, which it asks for 8 s and, if
# need be, three times, or for an access_token in between.
_KEPT_SECONDS = 10.0
_ASKED_SECONDS = 35.0

_NO_CONTENT = 204
_EPOCH = datetime.fromtimestamp(0, UTC)

# Of what stands in none of these, the operator of tokend hears, or time mends it.
_BLAMED: dict[str, type[LoginRefused]] = {
    "unknown_session": UnknownSession,
    "unknown_user": UnknownUser,
    "code_invalid": CodeRefused,
    "code_used": CodeRefused,
    "user_blocked": UserBlocked,
    "signature_refused": DataRefused,
    "data_refused": DataRefused,
    "identity_refused": DataRefused,
    "bad_request": DataRefused,
    "body_too_large": DataRefused,
}
_FOR_THE_OPERATOR = "upstream_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """A request about the users of *app*, and how the document that answers it is read."""

    app: str
    request: Request
    content: Callable[[Any], T]

    def read(self, reply: Reply) -> T:
        """What is answered. Raises what tokend says instead."""
        meaning = self._meaning(reply)
        if isinstance(meaning, ClientError):
            raise meaning
        return meaning

    def _meaning(self, reply: Reply) -> T | ClientError:
        """Returned, because what is raised takes along the locals, the document among them."""
        try:
            if reply.status == _NO_CONTENT:
                return self.content(None)
            document = json.loads(reply.body)
            if reply.status == wire.OK:
                return self.content(document)
            return _problem(Problem.of(document, self.app), self.app, reply.status)
        except wire.STRANGE:
            return wire.stranger(reply, self.app)


def _problem(problem: Problem, app: str, status: int) -> ClientError:
    message, code, advice = f"{app}: {problem.detail}", problem.code, problem.advice
    if blamed := _BLAMED.get(code):
        return blamed(message, code=code, advice=advice)
    if code == _FOR_THE_OPERATOR or not wire.is_for_later(status):
        return Refused(message, code=code, advice=advice)
    return Busy(message, code=code, retry_after=problem.retry_after)


class Calls:
    """All there are about the users of *app*. Raises ``UsageError`` for what is no app's name.

    Those with what cannot be right raise at once what tokend would say to it.
    """

    def __init__(self, app: str) -> None:
        if not _APP.fullmatch(app):
            raise UsageError(f"{app!r}: an app has a name like 'shop'")
        self._app = app

    def login(self, code: str) -> Call[Login]:
        return self._call("POST", "/sessions", _login, {"code": code}, patience=_ASKED_SECONDS)

    def session(self, session: str) -> Call[Session]:
        return self._call("GET", self._session(session), _session)

    def logout(self, session: str) -> Call[None]:
        return self._call("DELETE", self._session(session), _nothing)

    def bind(self, session: str, user: str) -> Call[User]:
        if not isinstance(user, str):
            raise UsageError(f"{self._app}: user has to be text, not {type(user).__name__}")
        return self._call("PUT", f"{self._session(session)}/user", _user, {"user": user})

    def verify(self, session: str, *, raw_data: str, signature: str) -> Call[Session]:
        body = {"rawData": raw_data, "signature": signature}
        return self._call("POST", f"{self._session(session)}/verify", _session, body)

    def decrypt(self, session: str, *, encrypted_data: str, iv: str) -> Call[dict[str, Any]]:
        body = {"encryptedData": encrypted_data, "iv": iv}
        return self._call("POST", f"{self._session(session)}/decrypt", _object, body)

    def check(self, session: str) -> Call[Session]:
        path = f"{self._session(session)}/check"
        return self._call("POST", path, _session, patience=_ASKED_SECONDS)

    def reset(self, session: str) -> Call[Session]:
        path = f"{self._session(session)}/reset"
        return self._call("POST", path, _session, patience=_ASKED_SECONDS)

    def user(self, openid: str) -> Call[User]:
        return self._call("GET", self._user(openid), _user)

    def logout_everywhere(self, openid: str) -> Call[None]:
        return self._call("DELETE", f"{self._user(openid)}/sessions", _nothing)

    def forget(self, openid: str) -> Call[None]:
        return self._call("DELETE", self._user(openid), _nothing)

    def phone_number(self, code: str) -> Call[PhoneNumber]:
        body = {"code": code}
        return self._call("POST", "/phone-number", _phone_number, body, patience=_ASKED_SECONDS)

    def paid_unionid(self, openid: str, **order: str) -> Call[str]:
        if set(order) not in _ORDERS:
            raise UsageError(
                f"{self._app}: an order is named by transaction_id, or by mch_id and out_trade_no"
            )
        path = f"/paid-unionid?{urlencode({'openid': openid, **order}, errors='surrogatepass')}"
        return self._call("GET", path, _unionid, patience=_ASKED_SECONDS)

    def _session(self, session: str) -> str:
        if not _is(session, _SESSION):
            message = f"{self._app}: no such session of this app, or it is over"
            raise UnknownSession(message, code="unknown_session", advice="")
        return f"/sessions/{session}"

    def _user(self, openid: str) -> str:
        if not _is(openid, _ID):
            message = f"{self._app}: nobody has such an openid"
            raise UnknownUser(message, code="unknown_user", advice="")
        return f"/users/{openid}"

    def _call(
        self,
        method: str,
        path: str,
        content: Callable[[Any], T],
        body: dict[str, str] | None = None,
        *,
        patience: float = _KEPT_SECONDS,
    ) -> Call[T]:
        sent = json.dumps(body).encode() if body else b""
        if len(sent) > _LONGEST_BODY:
            message = f"{self._app}: what was sent is too long"
            raise DataRefused(message, code="body_too_large", advice="")
        request = wire.request(method, self._app, path, body=sent, patience=patience)
        return Call(app=self._app, request=request, content=content)


def _is(text: object, pattern: re.Pattern[str]) -> bool:
    """It may come from a phone, and be anything."""
    return isinstance(text, str) and bool(pattern.fullmatch(text))


# What is answered. All raise what is in ``wire.STRANGE`` for any other document.


def _login(answer: Any) -> Login:
    return Login(
        session=Hidden(_text(answer["session"], _SESSION)),
        **_who(answer),
        new=_boolean(answer["new"]),
        expires_in=_seconds(answer["expires_in"]),
    )


def _session(answer: Any) -> Session:
    return Session(
        **_who(answer),
        age=_seconds(answer["age"]),
        expires_in=_seconds(answer["expires_in"]),
    )


def _user(answer: Any) -> User:
    return User(**_who(answer), since=_EPOCH + _seconds(answer["since"]))


def _phone_number(answer: Any) -> PhoneNumber:
    return PhoneNumber(
        number=_string(answer["phoneNumber"]),
        pure_number=_string(answer["purePhoneNumber"]),
        country_code=_string(answer["countryCode"]),
    )


def _unionid(answer: Any) -> str:
    return _text(answer["unionid"], _ID)


def _nothing(answer: Any) -> None:
    if answer is not None:
        raise ValueError


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ValueError  # noqa: TRY004, see above
    return answer


def _who(answer: Any) -> dict[str, str]:
    """What is not known is not there."""
    return {
        "openid": _text(answer["openid"], _ID),
        "unionid": _string(answer.get("unionid", "")),
        "user": _string(answer.get("user", "")),
    }


def _text(text: Any, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text):
        raise ValueError
    return str(text)


def _string(text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError  # noqa: TRY004, see above
    return text


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004, see above
    return value


def _seconds(number: Any) -> timedelta:
    return timedelta(seconds=wire.whole(number, 0))
