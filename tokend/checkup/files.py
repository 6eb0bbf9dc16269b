"""Who may read the secrets, who may change the configuration, and if the socket can be made."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tokend.findings import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokend.config import Config

_SUBJECT = "files"


def examine(path: Path, config: Config) -> Iterator[Finding]:
    """The configuration file at *path*, the files it names, and the folder of its socket."""
    yield _user(path)
    # The configuration holds no secrets, but whoever writes it says where they are sent.
    yield _file("configuration", path, is_secret=False)
    for place, secret in _secrets(config).items():
        yield _file(place, secret, is_secret=True)
    if config.server.socket:
        yield _socket_folder(Path(config.server.socket).parent)


def _secrets(config: Config) -> dict[str, Path]:
    """Files that hold AppSecrets, passwords or tokens, by the setting that names them."""
    files = {place: Path(path) for place, path in config.secret_files.items()}
    store = urlsplit(config.store.url)
    database = Path(store.path)
    if store.scheme != "sqlite" or not os.access(database, os.F_OK):
        return files
    return {**files, "store.url": database}


def user() -> str:
    """The name of the user this process runs as; its number if it has none."""
    return _name(os.geteuid())


def making(folder: Path) -> str:
    """How to make *folder* for the user of this process."""
    return f"install -d -m 700 -o {user()} {quote(str(folder))}"


def giving(path: Path) -> str:
    """How to give *path* to the user of this process."""
    return f"chown {user()} {quote(str(path))}, if tokend runs as {user()}"


def _user(path: Path) -> Finding:
    rights = "" if os.geteuid() else ", who may read and write everything"
    again = f"sudo -u USER tokend doctor {quote(str(path))}"
    return Finding(
        Verdict.OK,
        _SUBJECT,
        f"the checks ran as {user()}{rights}",
        f"if tokend runs as another user, check as that one: {again}",
    )


def _file(place: str, path: Path, *, is_secret: bool) -> Finding:
    status = path.stat()
    text = f"{place}: {path}: mode {stat.S_IMODE(status.st_mode):04o}, of {_name(status.st_uid)}"
    verdict, openness = _openness(status.st_mode, is_secret=is_secret)
    if verdict is not Verdict.OK:
        advice = _closing(path, verdict, is_secret=is_secret)
        return Finding(verdict, _SUBJECT, f"{text}: {openness}", advice)
    # Root looks after the files of others.
    if os.geteuid() and status.st_uid not in {0, os.geteuid()}:
        advice = f"chown {user()} {quote(str(path))}, unless tokend runs as that user"
        return Finding(Verdict.WARNING, _SUBJECT, f"{text}, who may change it", advice)
    return Finding(Verdict.OK, _SUBJECT, text)


def _openness(mode: int, *, is_secret: bool) -> tuple[Verdict, str]:
    """How bad it is who else may read or write, and who that is."""
    for verdict, who, bits in (
        (Verdict.BAD, "everyone", mode),
        (Verdict.WARNING, "its group", mode >> 3),
    ):
        if is_secret and bits & stat.S_IROTH:
            return verdict, f"readable by {who}"
        if bits & stat.S_IWOTH:
            return verdict, f"writable by {who}"
    return Verdict.OK, ""


def _closing(path: Path, verdict: Verdict, *, is_secret: bool) -> str:
    command = f"chmod {'600' if is_secret else 'go-w'} {quote(str(path))}"
    return command if verdict is Verdict.BAD else f"{command}, unless that group is tokend's own"


def _socket_folder(folder: Path) -> Finding:
    text = f"server.socket: {folder}"
    if not os.access(folder, os.F_OK):
        return Finding(
            Verdict.BAD, _SUBJECT, f"{text}: no folder that {user()} can see", making(folder)
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        text = f"{text}: {user()} may not write there"
        return Finding(Verdict.BAD, _SUBJECT, text, giving(folder))
    return Finding(Verdict.OK, _SUBJECT, f"{text}: a socket can be made there")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
