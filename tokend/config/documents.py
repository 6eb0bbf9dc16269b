"""The files that a configuration is made of: the main one, and those of a folder it includes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tomli

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
        return tomli.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 (at byte {error.start})") from None
    except tomli.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: a number is too long, or tables too deep") from None


class Documents:
    """Reads them. *mistakes* are of files of no use, and of what stands in the wrong one."""

    def __init__(self, files: KnownFiles[dict[str, Any]]) -> None:
        self._files = files
        self.mistakes: list[str] = []

    def main(self, path: str) -> Document:
        """The one at *path*. Raises ``ValueError`` if it cannot be read."""
        main = Document(path, "", self._files.read(path).value)
        top = [*SECTIONS, *NAMED, _INCLUDE]
        odd = [each for each in main.content if each not in top]
        self.mistakes += [f"{each}: {unknown(each, top)}" for each in odd]
        return main

    def included(self, main: Document) -> Iterator[Document]:
        """Those of the folder that *main* includes, in the order of their names, one at a time:
        all of them may be more than there is room for.
        """
        folder = main.content.get(_INCLUDE, "")
        if not isinstance(folder, str) or "\0" in folder:
            self.mistakes.append(f"{_INCLUDE}: must be a string, the name of a folder")
            return
        for path in self._paths(os.path.join(os.path.dirname(main.path), folder)) if folder else ():  # noqa: PTH118, PTH120
            try:
                other = Document(path, f"{path}: ", self._files.read(path).value)
            except ValueError as error:
                self.mistakes.append(str(error))
                continue
            wrong = [each for each in other.content if each not in NAMED]
            self.mistakes += [f"{other.prefix}{each}: {_misplaced(each, main)}" for each in wrong]
            yield other

    def keep(self, document: Document, content: dict[str, Any]) -> None:
        """For the next reading: this is as good as what it holds."""
        self._files.keep(document.path, content)

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
        here = ", ".join(f"[{table}.NAME]" for table in NAMED)
        return f"stands in {main.path} alone; here there are {here}"
    return unknown(name, [*NAMED])
