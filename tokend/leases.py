"""The lease of one key: taken, saved under, given back; patiently, where that is harmless."""

from __future__ import annotations

import os
import platform
import secrets
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from tokend.asking import Right
from tokend.errors import StoreError
from tokend.policy import NO_TIME

if TYPE_CHECKING:
    from tokend.clock import Clock
    from tokend.contracts import Store
    from tokend.model import Lease, Token, TokenKey
    from tokend.terms import Terms

log = structlog.get_logger()

_SAVE_PAUSES = (timedelta(seconds=0.2), timedelta(seconds=0.5))


def this_node() -> str:
    """As operators know it: host and process."""
    return f"{platform.node()}/{os.getpid()}"


class Leases:
    """Of *key*, in *store*. All raise ``StoreError``, unless they say otherwise."""

    def __init__(self, key: TokenKey, store: Store, terms: Terms, clock: Clock) -> None:
        self._key = key
        self._store = store
        self._terms = terms
        self._clock = clock

    async def acquire(self, *, above: int) -> Right:
        """With a fence greater than *above*. Raises ``LeaseBusy``.

        Asked for once more if the answer was lost: the same owner gets the lease it has.
        """
        sent_at = self._clock.elapsed()
        acquire = partial(
            self._store.acquire,
            self._key,
            owner=f"{this_node()}/{secrets.token_hex(8)}",
            ttl=self._terms.lease,
            above=above,
            quarantine=self._terms.quarantine,
        )
        try:
            lease = await acquire()
        except StoreError:
            lease = await acquire()
        return Right(lease=lease, ask_before=sent_at + self._terms.guard)

    async def save(self, lease: Lease, token: Token) -> Token | None:
        """Saving is harmless to repeat, and what is at stake is all that WeChat gave."""
        for pause in _SAVE_PAUSES:
            try:
                return await self._store.save(lease, token)
            except StoreError:
                await self._clock.sleep(pause)
        return await self._store.save(lease, token)

    async def release(self, lease: Lease, *, hold: timedelta = NO_TIME) -> None:
        """Never raises: a lease that cannot be given back runs out by itself."""
        try:
            await self._store.release(lease, hold=hold)
        except StoreError as error:
            log.warning("lease_not_released", key=str(self._key), error=str(error))
