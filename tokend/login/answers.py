"""What is answered about sessions and users. Nothing here has heard of a session_key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.login.records import Session, User
    from tokend.login.sessions import Begun

_SECOND = timedelta(seconds=1)


def begun_json(begun: Begun, now: datetime) -> dict[str, Any]:
    """With the id, which nobody is told a second time."""
    return {
        "session": begun.id,
        **_who(begun.session.openid, begun.user),
        "new": begun.is_new,
        "expires_in": begun.session.left(now) // _SECOND,
    }


def session_json(session: Session, user: User, now: datetime) -> dict[str, Any]:
    """Whose it is, and how long it has been and will be; in seconds."""
    return {
        **_who(session.openid, user),
        "age": session.age(now) // _SECOND,
        "expires_in": session.left(now) // _SECOND,
    }


def user_json(openid: str, user: User) -> dict[str, Any]:
    """*since* is the first login, in Unix seconds."""
    return {**_who(openid, user), "since": user.since}


def _who(openid: str, user: User) -> dict[str, Any]:
    """What is not known is not there."""
    known = {"openid": openid, "unionid": user.unionid, "user": user.user}
    return {name: value for name, value in known.items() if value}
