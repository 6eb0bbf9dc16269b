"""Tables that have names, such as ``[apps.shop]``, of all files: each name once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokend.config.documents import Document

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where ``[TABLE.NAME]`` stands: in the file at *path*. Mistakes there begin with *prefix*."""

    path: str
    prefix: str
    table: str
    name: str

    def __str__(self) -> str:
        """As mistakes begin with it."""
        return f"{self.prefix}{self.table}.{self.name}"

    @property
    def spoken(self) -> str:
        """As mistakes speak of it."""
        where = f" in {self.path}" if self.prefix else ""
        return f"{self.table}.{self.name}{where}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A table, and what is *given* there."""

    place: Place
    given: Any


class Entries:
    """Those of one *table*; *places* are all that were found, by name. *mistakes* are of names."""

    def __init__(self, table: str) -> None:
        self._table = table
        self.places: dict[str, Place] = {}
        self.mistakes: list[str] = []

    def of(self, document: Document) -> Iterator[Entry]:
        """Those of a document, in its order, but for what stands in an earlier one too."""
        for name, given in self._named(document).items():
            place = Place(document.path, document.prefix, self._table, name)
            first = self.places.setdefault(name, place)
            if first is place:
                yield Entry(place, given)
            else:
                self.mistakes.append(f"{place}: stands in {first.path} too")

    def _named(self, document: Document) -> dict[str, Any]:
        given = document.content.get(self._table, {})
        if not isinstance(given, dict):
            self.mistakes.append(
                f"{document.prefix}{self._table}: must hold tables, as in [{self._table}.shop]"
            )
            return {}
        good = {name: given[name] for name in given if _NAME.fullmatch(name)}
        for name in [each for each in given if each not in good]:
            self.mistakes.append(
                f"{document.prefix}{self._table}: {name!a}: a name is small letters, digits, '-' "
                "and '_', at most 64"
            )
        return good
