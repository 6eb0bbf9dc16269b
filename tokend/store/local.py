"""The store's contract over a table of records on this host."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from tokend.errors import LeaseBusy, RecordUnreadable
from tokend.model import Changes, Lease, Token, node_of
from tokend.store import record as rules
from tokend.store.seals import UNSEALED, Written, digest_of, unreadable
from tokend.store.shelf import SealedShelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tokend.allowance import Allowance
    from tokend.clock import Clock
    from tokend.findings import Finding
    from tokend.model import Found, TokenKey
    from tokend.store.record import Record
    from tokend.store.seals import Seals
    from tokend.store.shelf import Board

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Table(Protocol):
    """Records by name; an update is atomic and, once it returns, as durable as the table is. Beside
    them is a *board* of texts.
    """

    @property
    def board(self) -> Board: ...

    async def read(self, names: Sequence[str]) -> list[Record | RecordUnreadable]:
        """Each record, an empty one if there is none; or that it is none of tokend's."""

    async def update(self, name: str, step: Callable[[Record], Record]) -> Record:
        """Replace the record by *step* of it; nobody else changes it in between."""

    async def changes(self, since: int) -> Changes:
        """The names of records whose visible part changed after *since* (0: all)."""


class LocalStore:
    """Applies the rules of ``record`` to a table, on the time of the host's wall clock."""

    def __init__(self, table: Table, clock: Clock, seals: Seals = UNSEALED) -> None:
        self._table = table
        self._clock = clock
        self._seals = seals
        self.shelf = SealedShelf(table.board, clock, seals)

    async def load(self, key: TokenKey) -> Token | None:
        (record,) = await self._table.read([key.record])
        return self._token(key, record)

    async def load_many(self, keys: Sequence[TokenKey]) -> list[Found]:
        records = await self._table.read([key.record for key in keys])
        return [self._read(key, record) for key, record in zip(keys, records, strict=True)]

    def _read(self, key: TokenKey, record: Record | RecordUnreadable) -> Found:
        try:
            return self._token(key, record)
        except RecordUnreadable as error:
            return error

    async def written(self, key: TokenKey) -> Written | None:
        """What stands there of a value, unopened. Raises what ``load`` does."""
        (record,) = await self._table.read([key.record])
        return _written(key, record)

    async def acquire(
        self, key: TokenKey, *, owner: str, ttl: timedelta, above: int, quarantine: timedelta
    ) -> Lease:
        def step(record: Record) -> Record:
            return rules.acquire(
                record,
                owner=owner,
                ttl=ttl // _MICROSECOND,
                above=above,
                quarantine=quarantine // _MICROSECOND,
                now=self._now(),
            )

        record = await self._table.update(key.record, step)
        if record.lease_owner != owner:
            raise LeaseBusy(f"{key}: another node is refreshing it")
        return Lease(key=key, owner=owner, fence=record.lease_fence)

    async def save(self, lease: Lease, token: Token) -> Token | None:
        ends = self._clock.to_wall(token.expires_at)
        digest = digest_of(token.value)
        text = self._seals.close(token.value, record=lease.key.record, fence=lease.fence, ends=ends)

        def step(record: Record) -> Record:
            return rules.save(
                record,
                owner=lease.owner,
                fence=lease.fence,
                generation=token.generation,
                value=text,
                digest=digest,
                expires_at=_microseconds(ends),
                suspect=token.suspect,
                now=self._now(),
            )

        record = await self._table.update(lease.key.record, step)
        if (record.fence, record.digest) != (lease.fence, digest):
            return None
        # Its end is not read back: the wall clock may have been set meanwhile.
        return replace(
            token,
            generation=record.generation,
            fence=lease.fence,
            suspect=record.suspect,
            stored=True,
        )

    async def release(self, lease: Lease, *, hold: timedelta = timedelta(0)) -> None:
        def step(record: Record) -> Record:
            return rules.release(
                record,
                owner=lease.owner,
                fence=lease.fence,
                hold=hold // _MICROSECOND,
                now=self._now(),
            )

        await self._table.update(lease.key.record, step)

    async def spend(self, key: TokenKey, allowance: Allowance) -> timedelta:
        wait = 0

        def step(record: Record) -> Record:
            nonlocal wait
            spent, wait = allowance.spend(record.spent, self._now())
            return replace(record, spent=spent)

        await self._table.update(key.record, step)
        return wait * _MICROSECOND

    async def refund(self, key: TokenKey) -> None:
        def step(record: Record) -> Record:
            return replace(record, spent=record.spent[:-1])

        await self._table.update(key.record, step)

    async def changes(self, since: int) -> Changes:
        return await self._table.changes(since)

    async def woken(self) -> None:
        await asyncio.Event().wait()

    async def examine(self, keys: Iterable[TokenKey]) -> list[Finding]:  # noqa: ARG002, as promised
        """Nothing can be wrong here that opening it would not have told."""
        return []

    def _now(self) -> int:
        return _microseconds(self._clock.wall())

    def _token(self, key: TokenKey, record: Record | RecordUnreadable) -> Token | None:
        if isinstance(record, RecordUnreadable):
            raise record
        written = _written(key, record)
        if written is None:
            return None
        now = self._now()
        if not record.is_credible(now):
            raise unreadable(key.record, "no tokend wrote it", found=written.fingerprint)
        opened = self._seals.open(written)
        # Never more life than the token had when it was stored, wherever the clock went since.
        latest = now + record.expires_at - record.stored_at
        shown = _EPOCH + min(record.expires_at, latest) * _MICROSECOND
        return Token(
            value=opened.value,
            generation=record.generation,
            fence=record.fence,
            expires_at=self._clock.from_wall(min(shown, opened.latest)),
            suspect=record.is_suspect(now),
            refreshing_on=node_of(record.lease_owner if record.is_refreshed(now) else ""),
        )


def _written(key: TokenKey, record: Record | RecordUnreadable) -> Written | None:
    if isinstance(record, RecordUnreadable):
        raise record
    if record.value is None:
        return None
    return Written(
        record=key.record,
        text=record.value,
        generation=record.generation,
        fence=record.fence,
        digest=record.digest,
    )


def _microseconds(when: datetime) -> int:
    return (when - _EPOCH) // _MICROSECOND
