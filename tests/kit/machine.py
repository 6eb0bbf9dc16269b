"""A Debian with a real systemd, booted in a container: what an operator has, from the wheel on.

Takes root, ``systemd-nspawn`` and ``debootstrap``. What is the same in each run (the root file
system, the wheels of the dependencies) is made once, in ``.cache/`` of the project.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).parents[2]
_CACHE = PROJECT / ".cache" / "machine"
_SUITE = os.environ.get("TOKEND_TEST_DEBIAN", "bookworm")
_PYTHON = {"bookworm": "3.11", "trixie": "3.13"}[_SUITE]
_PACKAGES = "systemd,systemd-sysv,libnss-systemd,python3,python3-venv"
_BOOT_SECONDS = 60

_EVERY_NAMESPACE = ["-m", "-u", "-i", "-n", "-p", "-C"]

# As a shell of root has it; pip finds what it needs in the folder of wheels.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": "/wheels",
    "PIP_ROOT_USER_ACTION": "ignore",
}


def what_is_missing() -> str:
    """Why no machine can be booted here; empty if one can."""
    if os.geteuid() != 0:
        return "needs root"
    programs = ("systemd-nspawn", "debootstrap", "nsenter")
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install systemd-container debootstrap"
    return ""


@dataclass(frozen=True)
class Machine:
    """One that runs; *init* is the process id of its systemd."""

    init: int

    def run(self, *command: str, stdin: str = "", check: bool = True) -> Finished:
        """A command of root on it."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.init), *_EVERY_NAMESPACE, *command],  # noqa: S607, any
            env=_ENVIRONMENT,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        finished = Finished(done.returncode, done.stdout, done.stderr)
        assert not check or finished.code == 0, f"{command}: {finished}"
        return finished

    def shell(self, script: str, *, stdin: str = "", check: bool = True) -> Finished:
        return self.run("bash", "-euo", "pipefail", "-c", script, stdin=stdin, check=check)

    def journal(self, *options: str) -> str:
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", *options).out

    def beside(self, *arguments: str) -> list[str]:
        """The command line of this very Python, on the machine's network."""
        return ["nsenter", "-t", str(self.init), "-n", sys.executable, *arguments]

    def write(self, path: str, text: str, *, mode: str = "644") -> None:
        self.run("install", "-D", "-m", mode, "/dev/stdin", path, stdin=text)


@dataclass(frozen=True)
class Finished:
    """What a command did."""

    code: int
    out: str
    err: str


@contextmanager
def booted() -> Iterator[Machine]:
    """A machine of its own, with the project in ``/src`` and wheels in ``/wheels``.

    What happens on it is forgotten when it ends.
    """
    root, wheels = _root(), _wheels()
    with tempfile.TemporaryDirectory() as folder:
        source = _copy_of_project(Path(folder) / "src")
        options = [f"--directory={root}", "--volatile=overlay", f"--machine=tokend-{os.getpid()}"]
        mounts = [f"--bind={source}:/src", f"--bind-ro={wheels}:/wheels"]
        apart = ["--private-network", "--register=no", "--keep-unit"]
        nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--boot", *options, *mounts, *apart],  # noqa: S607, any
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            yield _wait_for(nspawn)
        finally:
            nspawn.terminate()
            try:
                nspawn.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                nspawn.kill()
                nspawn.communicate()


def _wait_for(nspawn: subprocess.Popen[bytes]) -> Machine:
    until = time.monotonic() + _BOOT_SECONDS
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    while time.monotonic() < until:
        assert nspawn.poll() is None, nspawn.communicate()[1].decode()
        for child in children.read_text().split():
            machine = Machine(int(child))
            state = machine.run("systemctl", "is-system-running", check=False).out.strip()
            if state in {"running", "degraded"}:
                return machine
        time.sleep(0.1)
    raise AssertionError(f"no systemd after {_BOOT_SECONDS} s")


def _root() -> Path:
    return _made_once(f"{_SUITE}-{_short_hash(_PACKAGES)}", _debootstrap)


def _debootstrap(folder: Path) -> None:
    """What it mounts in there is gone with it, however it ends."""
    options = ["--variant=minbase", f"--include={_PACKAGES}"]
    _call("unshare", "--mount", "debootstrap", *options, _SUITE, str(folder))


def _wheels() -> Path:
    """What the lock file names, and what it takes to build tokend's own."""
    locked = (PROJECT / "systemd" / "requirements.lock").read_text()
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    needed = project["build-system"]["requires"]
    name = f"wheels-{_PYTHON}-{_short_hash(locked, *needed)}"

    def make(folder: Path) -> None:
        # pip would judge conditions by the Python that runs it, and not by the machine's.
        path = folder / "requirements"
        path.write_text(re.sub(r" ; python_full_version < '3.11.3'", "", locked))
        _download(["--require-hashes", "--no-deps", "-r", str(path)], folder)
        path.unlink()
        _download(needed, folder)

    return _made_once(name, make)


def _download(wanted: list[str], folder: Path) -> None:
    arch = platform.machine()
    versions = ("2_5", "2_12", "2_17", "2_27", "2_28", "2_31", "2_34", "2_35", "2_36")
    platforms = [f"--platform=manylinux_{version}_{arch}" for version in versions]
    platforms += [f"--platform=manylinux2014_{arch}", f"--platform=linux_{arch}"]
    options = ["--quiet", "--only-binary=:all:", f"--python-version={_PYTHON}", *platforms]
    _call(sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *wanted)


def _made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Half of it must never be taken for the whole."""
    made = _CACHE / name
    if not made.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        begun = Path(tempfile.mkdtemp(dir=_CACHE))
        begun.chmod(0o755)
        try:
            make(begun)
            begun.rename(made)
        finally:
            shutil.rmtree(begun, ignore_errors=True)
    return made


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def _short_hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _copy_of_project(folder: Path) -> Path:
    """What a clone would have, and what is about to be committed."""
    options = ["--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(
        ["git", "-C", str(PROJECT), "ls-files", *options],  # noqa: S607, any
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    return folder
