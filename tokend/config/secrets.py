"""Secrets, each in a file of its own."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tokend.model import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST_FILE = 4096
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_APP_SECRET = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFiles:
    """Reads them; *warnings* collects what is not wrong but unwise.

    *named* are the files the configuration names, by the place in it.
    """

    folder: Path
    environ: Mapping[str, str]
    warnings: list[str] = field(default_factory=list)
    named: dict[str, Path] = field(default_factory=dict)

    def read(self, name: str, *, place: str) -> Secret:
        """The one line of a file, relative to the configuration's folder. Raises ``ValueError``."""
        self.named[place] = self.folder / name
        return self._read(self.named[place], place)

    def read_lines(self, name: str, *, place: str) -> list[Secret]:
        """The lines of a file, likewise, of which each is a secret."""
        self.named[place] = self.folder / name
        mode, content = _content(self.named[place])
        self._look_at_mode(mode, self.named[place], place)
        return _lines(content, self.named[place])

    def read_credential(self, name: str, *, place: str) -> Secret:
        """What systemd's ``LoadCredential=name:…`` hands over."""
        folder = self.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ValueError(
                "CREDENTIALS_DIRECTORY is not set; this needs systemd and LoadCredential="
            )
        return self._read(Path(folder) / Path(name).name, place)

    def find(self, name: str, *, place: str, secret: bool) -> Path:
        """A file that somebody else will read. Raises ``ValueError`` if that cannot work."""
        path = self.folder / name
        mode, _ = _content(path)
        if secret:
            self.named[place] = path
            self._look_at_mode(mode, path, place)
        return path

    def look_at_app_secret(self, secret: Secret, *, place: str) -> None:
        """AppSecrets have always been 32 hex digits; another form is more likely a mistake."""
        if not _APP_SECRET.fullmatch(secret.reveal()):
            self.warnings.append(f"{place}: does not look like an AppSecret (32 hex digits)")

    def _read(self, path: Path, place: str) -> Secret:
        mode, content = _content(path)
        self._look_at_mode(mode, path, place)
        return _one_line(content, path)

    def _look_at_mode(self, mode: int, path: Path, place: str) -> None:
        if mode & stat.S_IROTH:
            self.warnings.append(
                f"{place}: {path}: readable by everyone (mode {stat.S_IMODE(mode):04o}); "
                "chmod 600 it"
            )


def _content(path: Path) -> tuple[int, bytes]:
    """Mode and beginning of a regular file: one byte more than a secret may have."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"{path}: not a regular file")
        with path.open("rb") as file:
            return mode, file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def _one_line(content: bytes, path: Path) -> Secret:
    value = _text(content, path)
    if not _VISIBLE_ASCII.fullmatch(value):
        raise ValueError(f"{path}: must hold the secret alone, on one line, in ASCII")
    return Secret(value)


def _lines(content: bytes, path: Path) -> list[Secret]:
    return [Secret(line.strip()) for line in _text(content, path).splitlines()]


def _text(content: bytes, path: Path) -> str:
    if len(content) > _LARGEST_FILE:
        raise ValueError(f"{path}: larger than {_LARGEST_FILE} bytes")
    text = content.decode("ascii", "replace").strip()
    if not text:
        raise ValueError(f"{path}: empty")
    return text
