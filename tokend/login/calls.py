"""What is asked about users with the access_token that tokend keeps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from tokend.errors import TokenRejected, UnknownKey
from tokend.model import ACCESS_TOKEN
from tokend.wechat.replies import without

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tokend.keeper import Keeper
    from tokend.login.way import Way
    from tokend.model import App, Secret
    from tokend.wechat.recipes import Request

_T = TypeVar("_T")

_COLD_PATIENCE = timedelta(seconds=5)
_REFRESH_PATIENCE = timedelta(seconds=10)


class Calls:
    """With the tokens of *keepers*, by key; *awake* is waited for before one of them is used."""

    def __init__(
        self, keepers: Mapping[str, Keeper], way: Way, *, awake: Callable[[], Awaitable[None]]
    ) -> None:
        self._keepers = keepers
        self._way = way
        self._awake = awake

    async def ask(
        self,
        app: App,
        ask: Callable[[Secret], Request],
        read: Callable[[bytes, App], _T],
        *,
        by: str,
    ) -> _T:
        """What *read* makes of the answer. A token that WeChat rejects is replaced, which is on the
        share of the budget of *by*, and the call made once more.

        Raises ``NotReady``, ``RefreshLimited``, ``UpstreamError``, ``StoreError``; ``UnknownKey``
        if a reload has taken the app away.
        """
        keeper = self._keepers.get(f"{app.name}/{ACCESS_TOKEN}")
        if keeper is None:
            raise UnknownKey(f"{app.name}: no such mini-program any more")
        await self._awake()
        token = (await keeper.ready(_COLD_PATIENCE)).token.value
        try:
            return await self._way.ask(app, ask(token), _hiding(token, read))
        except TokenRejected:
            await keeper.report(token, _REFRESH_PATIENCE, by=by)
        token = keeper.current().token.value
        return await self._way.ask(app, ask(token), _hiding(token, read))


def _hiding(token: Secret, read: Callable[[bytes, App], _T]) -> Callable[[bytes, App], _T]:
    """Who asks here may be one who never sees a token."""
    return lambda body, app: read(without(token, body), app)
