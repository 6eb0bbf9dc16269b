"""Who has logged in to a mini-program, and whom the business server takes them for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tokend.errors import StoreError, UnknownUser
from tokend.login.records import USER, User, new_epoch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokend.clock import Clock
    from tokend.contracts import Shelf
    from tokend.model import Note
    from tokend.wechat.identity import Identity

# So often others may change a user between our reading and writing.
_MOST_TRIES = 10


class Users:
    """By appid and openid, for good: what is bound stays bound. All raise ``StoreError``."""

    def __init__(self, shelf: Shelf, clock: Clock) -> None:
        self._shelf = shelf
        self._clock = clock

    async def find(self, appid: str, openid: str) -> User:
        """Raises ``UnknownUser``."""
        user, _ = await self._read_known(appid, openid)
        return user

    async def known(self, appid: str, openid: str) -> User | None:
        """The same, or none."""
        user, _ = await self._read(appid, openid)
        return user

    async def met(self, appid: str, identity: Identity) -> User | None:
        """The same, who has logged in just now, maybe with a unionid that was not known."""
        user = await self.known(appid, identity.openid)
        if user is None or identity.unionid in {"", user.unionid}:
            return user
        try:
            return await self.learn(appid, identity.openid, identity.unionid)
        except UnknownUser:
            return None

    def begin(self, identity: Identity) -> User:
        """One who is new, and not kept yet."""
        since = int(self._clock.wall().timestamp())
        return User(epoch=new_epoch(), since=since, unionid=identity.unionid)

    async def add(self, appid: str, openid: str, user: User) -> bool:
        """Tell if there was none before, and there is this one now."""
        return await self._shelf.swap(_name(appid, openid), None, user.text())

    async def bind(self, appid: str, openid: str, user: str) -> User:
        """From now on they are taken for *user*; empty: for nobody. Raises ``UnknownUser``."""
        return await self._change(appid, openid, lambda known: replace(known, user=user))

    async def learn(self, appid: str, openid: str, unionid: str) -> User:
        """Raises ``UnknownUser``."""
        return await self._change(appid, openid, lambda known: replace(known, unionid=unionid))

    async def end_sessions(self, appid: str, openid: str) -> None:
        """All there are. Raises ``UnknownUser``."""
        await self._change(appid, openid, lambda known: replace(known, epoch=new_epoch()))

    async def forget(self, appid: str, openid: str) -> None:
        """Everything: also of those who were never known nothing is left. And of one whose record
        somebody has altered, who else could never log in again.
        """
        await self._shelf.erase(_name(appid, openid))

    async def _change(self, appid: str, openid: str, change: Callable[[User], User]) -> User:
        for _ in range(_MOST_TRIES):
            before, note = await self._read_known(appid, openid)
            after = change(before)
            if after == before:
                return after
            if await self._shelf.swap(_name(appid, openid), note, after.text()):
                return after
        raise StoreError(f"the user {openid} is being changed again and again; ask again")

    async def _read_known(self, appid: str, openid: str) -> tuple[User, Note | None]:
        user, note = await self._read(appid, openid)
        if user is None:
            raise UnknownUser(f"nobody with the openid {openid} has logged in")
        return user, note

    async def _read(self, appid: str, openid: str) -> tuple[User | None, Note | None]:
        name = _name(appid, openid)
        note = await self._shelf.find(name)
        return (User.read(name, note.text), note) if note else (None, None)


def _name(appid: str, openid: str) -> str:
    return f"{USER}{appid}/{openid}"
