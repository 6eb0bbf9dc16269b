"""Tables that have names, such as ``[apps.shop]``, of all files: each name once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokend.config.documents import Document

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Entry:
    """``[TABLE.NAME]`` of a document, and what is *given* there."""

    document: Document
    table: str
    name: str
    given: Any

    @property
    def place(self) -> str:
        """As mistakes begin with it."""
        return f"{self.document.prefix}{self.table}.{self.name}"

    def __str__(self) -> str:
        """As mistakes speak of it."""
        where = f" in {self.document.path}" if self.document.prefix else ""
        return f"{self.table}.{self.name}{where}"


class Entries:
    """Finds them. *mistakes* are of names."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self.mistakes: list[str] = []

    def of(self, table: str) -> dict[str, Entry]:
        """The entries of *table* by name, in the order of the files."""
        entries: dict[str, Entry] = {}
        for document in self._documents:
            for name, given in self._named(document, table).items():
                entry = Entry(document, table, name, given)
                other = entries.setdefault(name, entry)
                if other is not entry:
                    self.mistakes.append(f"{entry.place}: stands in {other.document.path} too")
        return entries

    def _named(self, document: Document, table: str) -> dict[str, Any]:
        given = document.content.get(table, {})
        if not isinstance(given, dict):
            self.mistakes.append(
                f"{document.prefix}{table}: must hold tables, as in [{table}.shop]"
            )
            return {}
        good = {name: given[name] for name in given if _NAME.fullmatch(name)}
        for name in [each for each in given if each not in good]:
            self.mistakes.append(
                f"{document.prefix}{table}: {name!a}: a name is small letters, digits, '-' and "
                "'_', at most 64"
            )
        return good
