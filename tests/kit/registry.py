"""Very many apps, each with a secret of its own, and what it costs to read them.

PYTHONPATH=tests python -m kit.registry 100000          in one file
PYTHONPATH=tests python -m kit.registry 100000 --apart  in a file for each
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tokend.config import Reader


def write_registry(folder: Path, number: int, *, apart: bool) -> Path:
    """The configuration of *number* apps; *apart* in a file for each."""
    (folder / "apps.d").mkdir()
    tables = []
    for n in range(number):
        secret = folder / f"a{n}.secret"
        secret.touch(mode=0o600)
        secret.write_text(f"{n:032x}")
        tables.append(f'[apps.a{n}]\nappid = "wx{n:016x}"\nsecret_file = "a{n}.secret"\n')
    for n in range(number if apart else 0):
        (folder / "apps.d" / f"a{n}.toml").write_text(tables[n])
    path = folder / "tokend.toml"
    head = 'include = "apps.d"\n[store]\nurl = "memory:"\n'
    path.write_text(head + ("" if apart else "".join(tables)))
    return path


def _told(what: str, reader: Reader) -> None:
    started = time.process_time()
    apps = reader.read().apps
    print(f"{len(apps)} apps, {what}: {time.process_time() - started:.1f} s of CPU")  # noqa: T201


def main() -> None:
    number, apart = int(sys.argv[1]), "--apart" in sys.argv
    with TemporaryDirectory() as name:
        path = write_registry(Path(name), number, apart=apart)
        time.sleep(3)  # a file that is younger is read again
        reader = Reader(path, environ={})
        _told("read", reader)
        _told("read again", reader)
        with path.open("a") as file:
            file.write("[log]\n")
        _told("read again after a change of the main file", reader)


if __name__ == "__main__":
    main()
