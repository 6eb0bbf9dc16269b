"""What is known of a session and of a user, and how that is written. No I/O.

A session is one of its user's *epoch*. With another epoch all sessions of a user are over at once,
however many there are.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tokend.errors import RecordUnreadable
from tokend.model import Secret

# Kinds of notes, with which their names begin.
SESSION, USER = "session:", "user:"

_EPOCH_BYTES = 8

# In Unix seconds: in the year 5138.
_LATEST = 99_999_999_999
_NO_TIME = timedelta(0)


def new_epoch() -> str:
    return secrets.token_urlsafe(_EPOCH_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login. *began* and *ends* are Unix seconds by the wall clock."""

    openid: str
    session_key: Secret
    epoch: str
    began: int
    ends: int

    @property
    def end(self) -> datetime:
        return _time(self.ends)

    def age(self, now: datetime) -> timedelta:
        return max(_NO_TIME, now - _time(self.began))

    def left(self, now: datetime) -> timedelta:
        return max(_NO_TIME, self.end - now)

    def text(self) -> Secret:
        return _text(
            openid=self.openid,
            session_key=self.session_key.reveal(),
            epoch=self.epoch,
            began=self.began,
            ends=self.ends,
        )

    @classmethod
    def read(cls, name: str, text: Secret) -> Session:
        """Of the note of this *name*. Raises ``RecordUnreadable``."""
        content = _content(name, text, openid=str, session_key=str, epoch=str, began=int, ends=int)
        return cls(**content | {"session_key": Secret(content["session_key"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who has logged in. *unionid* and *user*, whom the business server takes them for, are empty
    where they are not known. *since* is the first login, in Unix seconds by the wall clock.
    """

    epoch: str
    since: int
    unionid: str = ""
    user: str = ""

    def text(self) -> Secret:
        return _text(epoch=self.epoch, since=self.since, unionid=self.unionid, user=self.user)

    @classmethod
    def read(cls, name: str, text: Secret) -> User:
        """Of the note of this *name*. Raises ``RecordUnreadable``."""
        return cls(**_content(name, text, epoch=str, since=int, unionid=str, user=str))


def _text(**content: str | int) -> Secret:
    return Secret(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def _content(name: str, text: Secret, **kinds: type) -> dict[str, Any]:
    try:
        content = json.loads(text.reveal())
    except (ValueError, RecursionError):
        content = None
    if not (isinstance(content, dict) and _is_ours(content, kinds) and _text(**content) == text):
        raise RecordUnreadable(f"the note {name} cannot be used: no tokend wrote it")
    return content


def _is_ours(content: dict[str, Any], kinds: dict[str, type]) -> bool:
    """Tell if it has the right members, and times that there are."""
    seconds = (value for value in content.values() if isinstance(value, int))
    return {name: type(value) for name, value in content.items()} == kinds and all(
        0 <= second <= _LATEST for second in seconds
    )


def _time(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
