"""What the core needs of the edges: a source of credentials, and a store to keep them in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from tokend.model import Changes, Found, Issued, Lease, Note, Secret, Token, TokenKey

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from tokend.allowance import Allowance
    from tokend.errors import UpstreamError
    from tokend.findings import Finding

Issue: TypeAlias = Callable[[], Awaitable[Issued]]


class Source(Protocol):
    """Two ways to be issued the credential of a key, both raising only ``UpstreamError``."""

    @property
    def endpoint(self) -> str:
        """Where both ask: the path, as WeChat's manual has it."""

    @property
    def is_idempotent(self) -> bool:
        """Tell if the two differ; else asking is never free."""

    async def prepare(self) -> None:
        """Awaited before either, while no lease runs out. Raises any ``TokendError``."""

    async def current(self) -> Issued:
        """The one there is, or the next when its time has come."""

    async def new(self) -> Issued:
        """Always another one, which ends the life of the one before."""


class Shelf(Protocol):
    """Notes by name. All raise ``StoreError`` in trouble."""

    async def find(self, name: str) -> Note | None:
        """The one that has not ended. Raises ``RecordUnreadable`` if something else is there."""

    async def swap(
        self, name: str, before: Note | None, after: Secret | None, *, ends: datetime | None = None
    ) -> bool:
        """Put *after* in the place of *before*, until it *ends* by the wall clock; None is no note,
        and no end. Or change nothing and tell so: something else stands there than *before*.
        """

    async def erase(self, name: str) -> None:
        """Whatever stands there, also what ``find`` cannot read."""

    def sealed(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        """The notes whose names begin with *kind*: each name, and the id of the key that has sealed
        it. One may come twice; what ``find`` cannot read may be left out.
        """


class Store(Protocol):
    """What is kept between restarts and shared by nodes. All raise ``StoreError`` in trouble."""

    @property
    def shelf(self) -> Shelf:
        """What is kept there besides tokens."""

    async def load(self, key: TokenKey) -> Token | None:
        """The kept token, expired or not. Raises ``RecordUnreadable`` if something else is there;
        ``acquire`` and ``save`` take that for none.
        """

    async def load_many(self, keys: Sequence[TokenKey]) -> list[Found]:
        """What ``load`` gives or raises for each of *keys*, in as few steps as the store can."""

    async def acquire(
        self, key: TokenKey, *, owner: str, ttl: timedelta, above: int, quarantine: timedelta
    ) -> Lease:
        """The lease for *ttl*, with a fence greater than *above* and than any before it.

        Leaves the intent. One left by somebody else less than *quarantine* ago, and not settled,
        makes what is saved under this lease suspect. Asking again as the same *owner* gives the
        same lease. ``LeaseBusy`` if another owner has it.
        """

    async def save(self, lease: Lease, token: Token) -> Token | None:
        """Keep *token* and return it as it is kept; None if a later fence has stored.

        A value that was kept already keeps its generation; one that is suspect stays so. Harmless
        to repeat.
        """

    async def release(self, lease: Lease, *, hold: timedelta = ...) -> None:
        """Settle the intent and give the lease back; or *hold* it so long, the intent unsettled."""

    async def spend(self, key: TokenKey, allowance: Allowance) -> timedelta:
        """Count a costly call if *allowance* has room for it, and return nothing; else the wait.

        All nodes count together.
        """

    async def refund(self, key: TokenKey) -> None:
        """Take back the last costly call: it never got to WeChat."""

    async def changes(self, since: int) -> Changes:
        """Which records changed after the cursor *since*. May repeat, must not miss. At 0 somebody
        begins, who looks at everything anyway: what changed long ago may be left out.

        A cursor smaller than *since* means that the store has lost what it knew.
        """

    async def examine(self, keys: Iterable[TokenKey]) -> list[Finding]:
        """What is right and wrong with it, and may be with these *keys* in it, for an operator.

        Leaves nothing behind.
        """

    async def woken(self) -> None:
        """Return soon after another node has changed something; or never, so do not rely on it."""


class Meter:
    """What is counted of refreshes. This one counts nothing."""

    def asked(self, endpoint: str, took: timedelta, error: UpstreamError | None) -> None:
        """A call to WeChat has ended."""

    def waited(self) -> None:
        """Another node had the lease: this one waits, and looks again."""

    def overtaken(self) -> None:
        """The store has refused a token, because somebody else had the lease since."""


UNCOUNTED = Meter()
