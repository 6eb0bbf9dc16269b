"""What a business server has in the place of a session_key: an opaque id, good for one app.

In the store stands its digest, so that nobody who reads there can use it. And who asks finds out
nothing through the time that the look-up takes: to steer the digest of a guess is to break SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tokend.errors import StoreError, UnknownSession
from tokend.login.records import SESSION, Session, User

if TYPE_CHECKING:
    from datetime import timedelta

    from tokend.clock import Clock
    from tokend.contracts import Shelf
    from tokend.login.users import Users
    from tokend.model import Note, Secret
    from tokend.wechat.identity import Identity

_ID_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9_-]{43}")

# So often a user may be forgotten while they log in, or a session be used while it is changed.
_MOST_TRIES = 3

# What is used is made to last longer again once so much of its life is over: not with each use.
_WORN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A session that is valid, with its *user*, and the *note* that it was read from."""

    name: str
    note: Note
    session: Session
    user: User


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A session that begins, with the *id* that nobody but the caller will know; *is_new* if the
    user is.
    """

    id: str
    session: Session
    user: User
    is_new: bool


class Sessions:
    """Each is kept for its *lifetime*: from the last use, if they are *sliding*, else from the
    login. All raise ``StoreError``.
    """

    def __init__(
        self, shelf: Shelf, users: Users, clock: Clock, *, lifetime: timedelta, sliding: bool
    ) -> None:
        self._shelf = shelf
        self._users = users
        self._clock = clock
        self._lifetime = lifetime
        self._sliding = sliding

    async def begin(self, appid: str, identity: Identity) -> Begun:
        """The session comes before a user that is new: whoever dies in between leaves a session of
        an epoch that nobody is in, which nobody finds.
        """
        for _ in range(_MOST_TRIES):
            known = await self._users.met(appid, identity)
            user = known or self._users.begin(identity)
            begun = await self._kept(appid, identity, user, is_new=known is None)
            if known or await self._users.add(appid, identity.openid, user):
                return begun
        raise StoreError(f"the user {identity.openid} is being changed again and again")

    async def find(self, appid: str, id_: str) -> Held:
        """Raises ``UnknownSession``. It lasts longer now, if sessions are sliding and the store can
        be written.
        """
        name = _name(appid, id_)
        held = await self._find(appid, name)
        if not self._is_worn(held.session):
            return held
        session = replace(held.session, ends=self._ends())
        with suppress(StoreError):  # one that is full, or a replica, still says whose it is
            await self._shelf.swap(name, held.note, session.text(), ends=session.end)
        return await self._find(appid, name)

    async def end(self, appid: str, id_: str) -> None:
        """Also one that there is not, or that somebody has altered."""
        await self._shelf.erase(_name(appid, id_))

    async def drop(self, held: Held) -> None:
        """This one, unless it has another session_key by now."""
        await self._replaced(held, None)

    async def rekey(self, held: Held, session_key: Secret) -> None:
        """Raises ``UnknownSession`` if it is over by now, or has another session_key than before:
        then it is not known which one is the user's.
        """
        if not await self._replaced(held, session_key):
            raise _unknown()

    async def _replaced(self, held: Held, session_key: Secret | None) -> bool:
        """Tell if it had the session_key of *held* until now, and has this one, or is gone. While
        WeChat was asked somebody may have used it, and so it lasts longer.
        """
        note: Note | None = held.note
        for _ in range(_MOST_TRIES):
            if note is None:
                return False
            session = Session.read(held.name, note.text)
            if session.session_key != held.session.session_key:
                return False
            after = replace(session, session_key=session_key).text() if session_key else None
            if await self._shelf.swap(held.name, note, after, ends=session.end):
                return True
            note = await self._shelf.find(held.name)
        raise StoreError("the session is being changed again and again")

    async def _kept(self, appid: str, identity: Identity, user: User, *, is_new: bool) -> Begun:
        id_ = secrets.token_urlsafe(_ID_BYTES)
        session = Session(
            openid=identity.openid,
            session_key=identity.session_key,
            epoch=user.epoch,
            began=int(self._clock.wall().timestamp()),
            ends=self._ends(),
        )
        if not await self._shelf.swap(_name(appid, id_), None, session.text(), ends=session.end):
            raise StoreError("the store holds a session that nobody has begun")
        return Begun(id=id_, session=session, user=user, is_new=is_new)

    async def _find(self, appid: str, name: str) -> Held:
        note = await self._shelf.find(name)
        if note is None:
            raise _unknown()
        session = Session.read(name, note.text)
        user = await self._users.known(appid, session.openid)
        if user is None or user.epoch != session.epoch:
            raise _unknown()
        return Held(name=name, note=note, session=session, user=user)

    def _is_worn(self, session: Session) -> bool:
        left = session.left(self._clock.wall())
        return self._sliding and left < self._lifetime - self._lifetime / _WORN

    def _ends(self) -> int:
        return int((self._clock.wall() + self._lifetime).timestamp())


def _name(appid: str, id_: str) -> str:
    """Of the note. Raises ``UnknownSession`` for what is no id at all."""
    if not _ID.fullmatch(id_):
        raise _unknown()
    digest = hashlib.sha256(f"{appid}/{id_}".encode()).digest()
    return f"{SESSION}{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _unknown() -> UnknownSession:
    return UnknownSession("no such session of this app, or it is over")
