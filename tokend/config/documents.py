"""The files that a configuration is made of: the main one, and those of a folder it includes."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokend.config.mistakes import unknown
from tokend.config.named import NAMED
from tokend.config.settings import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tokend.config.known import KnownFiles

_INCLUDE = "include"

LARGEST_FILE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Document:
    """The tables of a file. *prefix* goes before places in it, where it is not the main one."""

    path: str
    prefix: str
    content: Mapping[str, Any]


def parse(content: bytes, path: str) -> dict[str, Any]:
    """The tables of TOML. Raises ``ValueError``, with the path."""
    try:
        return _lean(tomllib.loads(content.decode()))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 (at byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: a number is too long, or tables too deep") from None


def _lean(tables: dict[str, Any]) -> dict[str, Any]:
    """The same, with each name and text once: tomllib makes a new one wherever it stands, and what
    is kept of very many tables is mostly these.
    """
    texts: dict[str, str] = {}

    def once(value: Any) -> Any:
        if isinstance(value, str):
            return texts.setdefault(value, value)
        if isinstance(value, dict):
            return {once(name): once(each) for name, each in value.items()}
        return value

    lean: dict[str, Any] = once(tables)
    return lean


class Documents:
    """Reads them. *mistakes* are of files of no use, and of what stands in the wrong one."""

    def __init__(self, files: KnownFiles[dict[str, Any]]) -> None:
        self._files = files
        self.mistakes: list[str] = []

    def read(self, path: str) -> list[Document]:
        """The one at *path* first. Raises ``ValueError`` if that cannot be read."""
        main = Document(path, "", self._files.read(path).value)
        top = [*SECTIONS, *NAMED, _INCLUDE]
        odd = [each for each in main.content if each not in top]
        self.mistakes += [f"{each}: {unknown(each, top)}" for each in odd]
        others = list(self._others(main))
        for other in others:
            wrong = [each for each in other.content if each not in NAMED]
            self.mistakes += [f"{other.prefix}{each}: {_misplaced(each, main)}" for each in wrong]
        return [main, *others]

    def _others(self, main: Document) -> Iterator[Document]:
        """Those of the folder that it includes, in the order of their names."""
        folder = main.content.get(_INCLUDE, "")
        if not isinstance(folder, str) or "\0" in folder:
            self.mistakes.append(f"{_INCLUDE}: must be a string, the name of a folder")
        elif folder:
            for path in self._paths(os.path.join(os.path.dirname(main.path), folder)):  # noqa: PTH118, PTH120
                try:
                    yield Document(path, f"{path}: ", self._files.read(path).value)
                except ValueError as error:
                    self.mistakes.append(str(error))

    def _paths(self, folder: str) -> list[str]:
        """Not of what editors, package managers and Kubernetes leave there beside them: that begins
        with a dot, or has another ending.
        """
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208, a Path costs more
        except OSError as error:
            self.mistakes.append(f"{_INCLUDE}: {folder}: {error.strerror}")
            return []
        wanted = [each for each in names if each.endswith(".toml") and not each.startswith(".")]
        odd = [each for each in wanted if not each.isprintable()]
        self.mistakes += [f"{folder}: {each!a}: a name that cannot be printed" for each in odd]
        return [os.path.join(folder, each) for each in wanted if each.isprintable()]  # noqa: PTH118


def _misplaced(name: str, main: Document) -> str:
    if name in SECTIONS or name == _INCLUDE:
        return f"stands in {main.path} alone; here there are [apps.NAME] and [clients.NAME]"
    return unknown(name, [*NAMED])
