"""What tokens are sealed with before they are written to a store, and opened with. No I/O.

Somebody else may read and write there: a tenant of the same Redis, whoever finds a backup. Sealed
tokens are of no use to readers, and these cannot be forged: the value, which record it is of, the
fence it was saved under and the latest moment at which it ends. A generation is decided by the
store's rule and not sealed; but it is never greater than the fence, so that an older record cannot
pass for a newer one with whoever knows the newer one. Raised up to the fence, it makes readers take
for new what they have already. *Suspect*, lease, intent and budget are not
sealed: whoever can alter these can as well delete them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from tokend.errors import RecordUnreadable
from tokend.model import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

# The clocks of nodes may differ by so much before a token seems to end early. Whoever alters the
# store's own expiry gains no more than this.
TOLERANCE = timedelta(minutes=5)

# The longest that WeChat is known to give is 512 characters, and documents ask for that.
LONGEST_TEXT = 8192

# What stands for no key where keys are listed.
PLAIN = "plain"

_PREFIX = "sealed:"
_ENVELOPE = re.compile(
    r"sealed:1:(?P<id>[0-9a-f]{8}):(?P<ends>[0-9]{1,11}):(?P<box>[A-Za-z0-9_-]+)"
)
_FOR_EVER = datetime.max.replace(tzinfo=UTC)

# In the year 5138.
_NEVER = 99_999_999_999


def digest_of(value: Secret) -> str:
    """What tells two values apart where neither can be read: 64 hex digits.

    Without a key, so that it stays the same while keys are replaced. WeChat's tokens and tickets
    have far more entropy than anybody could try.
    """
    text = f"tokend value:{value.reveal()}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What stands in a store. *digest* is empty where nobody has said it."""

    record: str
    text: str
    generation: int
    fence: int
    digest: str

    @property
    def fingerprint(self) -> str:
        """Tells apart what was found at two times; 8 hex digits."""
        return Secret(f"{self.text}\0{self.generation}\0{self.fence}\0{self.digest}").fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A value, and the latest moment at which it ends, by the wall clock of whoever saved it."""

    value: Secret
    latest: datetime = _FOR_EVER


class Seal(Protocol):
    """One way to write a value. *name* is of the place it stands in: the record and the fence."""

    @property
    def id(self) -> str: ...

    def close(self, value: Secret, *, name: str, ends: int) -> str:
        """The text to write; *ends* is Unix time in seconds."""

    def open(self, text: str, *, name: str) -> Secret:
        """The other way. Raises ``ValueError``, which never holds any of it."""


@dataclass(frozen=True, slots=True)
class Plain:
    """No seal."""

    id: str = PLAIN

    def close(self, value: Secret, *, name: str, ends: int) -> str:  # noqa: ARG002, as promised
        return value.reveal()

    def open(self, text: str, *, name: str) -> Secret:  # noqa: ARG002, as promised
        return Secret(text)


@dataclass(frozen=True, slots=True)
class Seals:
    """The first one closes, all open."""

    seals: Sequence[Seal] = (Plain(),)

    @property
    def ids(self) -> list[str]:
        return [seal.id for seal in self.seals]

    @property
    def is_plain(self) -> bool:
        """Tell if there is no key at all."""
        return self.ids == [PLAIN]

    def close(self, value: Secret, *, record: str, fence: int, ends: datetime) -> str:
        """The text to write for a *value* that *ends* then by the wall clock."""
        name, second = _name(record, fence), int(ends.timestamp())
        return self.seals[0].close(value, name=name, ends=second)

    def open(self, written: Written) -> Opened:
        """Raises ``RecordUnreadable`` and nothing else."""
        try:
            return self._open(written)
        except ValueError as error:
            raise unreadable(written.record, str(error), found=written.fingerprint) from None

    def close_note(self, text: Secret, *, name: str, ends: datetime | None) -> str:
        """The same for what is kept besides tokens; without *ends*, for ever."""
        second = int(ends.timestamp()) if ends else _NEVER
        return self.seals[0].close(text, name=name, ends=second)

    def open_note(self, text: str, *, name: str) -> Opened:
        """Raises ``RecordUnreadable`` and nothing else."""
        try:
            return self._opened(text, name=name)
        except ValueError as error:
            raise unreadable(name, str(error), found=Secret(text).fingerprint) from None

    def _open(self, written: Written) -> Opened:
        opened = self._opened(written.text, name=_name(written.record, written.fence))
        if opened.latest == _FOR_EVER:
            return opened
        if written.generation > written.fence or written.digest != digest_of(opened.value):
            raise ValueError("its generation or its digest was altered")
        return opened

    def _opened(self, text: str, *, name: str) -> Opened:
        id_ = seal_of(text)
        seal = next((seal for seal in self.seals if seal.id == id_), None)
        if seal is None:
            raise ValueError(self._why_not(id_))
        value = seal.open(text, name=name)
        return Opened(value=value, latest=_FOR_EVER if seal.id == PLAIN else _latest(text))

    def _why_not(self, name: str) -> str:
        if name == PLAIN:
            return "it is not sealed, and store.seal_key_file does not say that it may be so"
        where = "is not set" if self.is_plain else "does not hold"
        return f"it is sealed with key {name}, which store.seal_key_file {where}"


UNSEALED = Seals()


def seal_of(text: str) -> str:
    """The id of what *text* is sealed with. Raises ``ValueError`` if that cannot be told."""
    if not text.startswith(_PREFIX):
        return PLAIN
    return _parts(text)["id"]


def envelope(*, id: str, ends: int, box: str) -> str:  # noqa: A002, what it is
    return f"{_PREFIX}1:{id}:{ends}:{box}"


def box_of(text: str) -> tuple[str, str]:
    """What stands before the sealed value, which is sealed with it, and the sealed value."""
    box = _parts(text)["box"]
    return text.removesuffix(box), box


def unreadable(record: str, why: str, *, found: str = "") -> RecordUnreadable:
    return RecordUnreadable(f"the record {record} cannot be used: {why}", found=found)


def _latest(text: str) -> datetime:
    """By the wall clock of whoever reads it."""
    return datetime.fromtimestamp(int(_parts(text)["ends"]), UTC) + TOLERANCE


def _parts(text: str) -> re.Match[str]:
    parts = len(text) <= LONGEST_TEXT and _ENVELOPE.fullmatch(text)
    if not parts:
        raise ValueError("it is sealed in no way that this tokend knows")
    return parts


def _name(record: str, fence: int) -> str:
    return f"{record}:{fence}"
