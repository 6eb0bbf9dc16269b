"""Logins of a mini-program's users, for asyncio: what ``Logins`` is for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from tokend.client.line import ask_apart
from tokend.client.login_wire import Calls

if TYPE_CHECKING:
    from tokend.client.address import Address
    from tokend.client.login_wire import Call
    from tokend.client.session import Login, PhoneNumber, Session, User

T = TypeVar("T")


class AsyncLogins:
    """The same methods, the same promises. ``AsyncClient.logins`` makes it."""

    def __init__(self, app: str, address: Address) -> None:
        self._calls = Calls(app)
        self._address = address

    async def _ask(self, call: Call[T]) -> T:
        return call.read(await ask_apart(self._address, call.request))

    async def login(self, code: str) -> Login:
        return await self._ask(self._calls.login(code))

    async def session(self, session: str) -> Session:
        return await self._ask(self._calls.session(session))

    async def logout(self, session: str) -> None:
        return await self._ask(self._calls.logout(session))

    async def bind(self, session: str, user: str) -> User:
        return await self._ask(self._calls.bind(session, user))

    async def verify(self, session: str, *, raw_data: str, signature: str) -> Session:
        return await self._ask(self._calls.verify(session, raw_data=raw_data, signature=signature))

    async def decrypt(self, session: str, *, encrypted_data: str, iv: str) -> dict[str, Any]:
        return await self._ask(self._calls.decrypt(session, encrypted_data=encrypted_data, iv=iv))

    async def check(self, session: str) -> Session:
        return await self._ask(self._calls.check(session))

    async def reset(self, session: str) -> Session:
        return await self._ask(self._calls.reset(session))

    async def user(self, openid: str) -> User:
        return await self._ask(self._calls.user(openid))

    async def logout_everywhere(self, openid: str) -> None:
        return await self._ask(self._calls.logout_everywhere(openid))

    async def forget(self, openid: str) -> None:
        return await self._ask(self._calls.forget(openid))

    async def phone_number(self, code: str) -> PhoneNumber:
        return await self._ask(self._calls.phone_number(code))

    @overload
    async def paid_unionid(self, openid: str, *, transaction_id: str) -> str: ...
    @overload
    async def paid_unionid(self, openid: str, *, mch_id: str, out_trade_no: str) -> str: ...
    async def paid_unionid(self, openid: str, **order: str) -> str:
        return await self._ask(self._calls.paid_unionid(openid, **order))
