"""Notes: what is kept besides tokens, sealed as they are. Each is a text under a name, with an end.

A note is replaced in one step, and only where what stands there is what its reader has seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tokend.model import Note
from tokend.store.seals import seal_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.model import Secret
    from tokend.store.seals import Seals


class Board(Protocol):
    """Texts by name, as they stand in a store. All raise ``StoreError``; *now* and *ends* are by
    the wall clock.
    """

    async def read(self, name: str, *, now: datetime) -> str | None:
        """Where nothing stands, or what has ended, None."""

    async def swap(
        self,
        name: str,
        before: str | None,
        after: str | None,
        *,
        ends: datetime | None,
        now: datetime,
    ) -> bool:
        """In one step, if *before* stands there."""

    async def erase(self, name: str) -> None:
        """Whatever stands there."""

    def texts(self, prefix: str, *, now: datetime) -> AsyncIterator[tuple[str, str]]:
        """Names that begin so, and what stands there; what ``read`` cannot read may be left out."""


class SealedShelf:
    """The contract of a shelf over a *board* of texts."""

    def __init__(self, board: Board, clock: Clock, seals: Seals) -> None:
        self._board = board
        self._clock = clock
        self._seals = seals

    async def find(self, name: str) -> Note | None:
        """What is sealed has its end in the seal: whoever may write in the store cannot move it."""
        now = self._clock.wall()
        written = await self._board.read(name, now=now)
        if written is None:
            return None
        opened = self._seals.open_note(written, name=name)
        return Note(text=opened.value, written=written) if opened.latest > now else None

    async def swap(
        self, name: str, before: Note | None, after: Secret | None, *, ends: datetime | None = None
    ) -> bool:
        return await self._board.swap(
            name,
            before.written if before else None,
            self._seals.close_note(after, name=name, ends=ends) if after else None,
            ends=ends,
            now=self._clock.wall(),
        )

    async def erase(self, name: str) -> None:
        await self._board.erase(name)

    async def sealed(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        async for name, text in self._board.texts(kind, now=self._clock.wall()):
            try:
                seal = seal_of(text)
            except ValueError:
                continue  # ``find`` tells of it
            yield name, seal
