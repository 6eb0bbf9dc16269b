"""Secrets, each in a file of its own."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tokend.config.known import open_regular, read_regular
from tokend.model import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokend.config.known import KnownFiles

LARGEST_FILE = 4096
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_APP_SECRET = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFiles:
    """Reads them; *warnings* collects what is not wrong but unwise.

    *named* are the files the configuration names, by the place in it.
    """

    folder: str
    environ: Mapping[str, str]
    files: KnownFiles[Secret]
    warnings: list[str] = field(default_factory=list)
    named: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """Where a file is: its name is relative to the folder of the configuration."""
        return os.path.join(self.folder, name)  # noqa: PTH118, a Path costs ten times as much

    def read(self, name: str, *, place: str) -> Secret:
        """The one line of a file. Raises ``ValueError``."""
        path = self.named[place] = self.path(name)
        return self._read(path, place)

    def read_lines(self, name: str, *, place: str) -> list[Secret]:
        """The lines of a file, likewise, of which each is a secret."""
        path = self.named[place] = self.path(name)
        stamp, content = read_regular(path, LARGEST_FILE)
        self._look_at_mode(stamp.mode, path, place)
        return [Secret(line.strip()) for line in _text(content, path).splitlines()]

    def read_credential(self, name: str, *, place: str) -> Secret:
        """What systemd's ``LoadCredential=name:…`` hands over."""
        folder = self.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ValueError(
                "CREDENTIALS_DIRECTORY is not set; this needs systemd and LoadCredential="
            )
        return self._read(str(Path(folder) / Path(name).name), place)

    def find(self, name: str, *, place: str, secret: bool) -> Path:
        """A file that somebody else will read. Raises ``ValueError`` if that cannot work."""
        path = Path(self.path(name))
        with open_regular(str(path)) as (_, stamp):
            mode = stamp.mode
        if secret:
            self.named[place] = str(path)
            self._look_at_mode(mode, str(path), place)
        return path

    def look_at_app_secret(self, secret: Secret, *, place: str) -> None:
        """AppSecrets have always been 32 hex digits; another form is more likely a mistake."""
        if not _APP_SECRET.fullmatch(secret.reveal()):
            self.warnings.append(f"{place}: does not look like an AppSecret (32 hex digits)")

    def _read(self, path: str, place: str) -> Secret:
        known = self.files.read(path)
        self._look_at_mode(known.stamp.mode, path, place)
        return known.value

    def _look_at_mode(self, mode: int, path: str, place: str) -> None:
        if mode & stat.S_IROTH:
            self.warnings.append(
                f"{place}: {path}: readable by everyone (mode {stat.S_IMODE(mode):04o}); "
                "chmod 600 it"
            )


def one_line(content: bytes, path: str) -> Secret:
    """The secret that stands alone in a file. Raises ``ValueError``, with the path."""
    value = _text(content, path)
    if not _VISIBLE_ASCII.fullmatch(value):
        raise ValueError(f"{path}: must hold the secret alone, on one line, in ASCII")
    return Secret(value)


def _text(content: bytes, path: str) -> str:
    text = content.decode("ascii", "replace").strip()
    if not text:
        raise ValueError(f"{path}: empty")
    return text
