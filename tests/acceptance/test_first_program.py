"""README's example from an empty folder on: its blocks are run as they stand there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tokend.testing.port import reserve

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(heading: str) -> list[str]:
    """The code in this chapter, in order."""
    chapter = README.partition(f"\n### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    return re.findall(r"```(?:python|sh)?\n(.*?)```", chapter, re.DOTALL)


INSTALL, PROGRAM, DEMO, RUN, OUTPUT = blocks("From an empty folder")
TESTS, TEST, FIXTURE = blocks("In your own tests")


def test_the_program_goes_on_with_the_new_token(folder: Path) -> None:
    (folder / "shop.py").write_text(PROGRAM)
    port, wechat_port = str(reserve()), str(reserve())  # others may be at those of the README
    with shell(folder) as bash:
        assert bash.stdin
        bash.stdin.write(DEMO.replace("8390", port).replace("8391", wechat_port))
        bash.stdin.flush()
        wait_for(folder / "demo.log", "tokend serves")
        bash.communicate(f"exec > output\n{RUN.replace('8391', wechat_port)}", timeout=60)

    shown, seen = OUTPUT.splitlines(), (folder / "output").read_text().splitlines()
    assert sorted(map(plain, seen)) == sorted(map(plain, shown))
    assert [generation(line) for line in (seen[0], seen[-1])] == sorted(set(map(generation, seen)))


def test_its_test_passes(folder: Path) -> None:
    (folder / "shop.py").write_text(PROGRAM)
    (folder / "test_shop.py").write_text(TESTS)
    with shell(folder) as bash:
        out, _ = bash.communicate(TEST, timeout=60)

    assert re.search(r"^=+ 1 passed in ", out, re.MULTILINE)


def test_its_test_fails_where_the_program_does_not_mend_a_dead_token(folder: Path) -> None:
    (folder / "shop.py").write_text(
        PROGRAM.replace("self.client.call(KEY, send)", "send(self.client.token(KEY))")
    )
    (folder / "test_shop.py").write_text(TESTS)
    with shell(folder) as bash:
        out, _ = bash.communicate(TEST, timeout=60)

    assert "assert 40001 == 0" in out


def test_its_fixture_is_one_for_all(folder: Path) -> None:
    (folder / "shop.py").write_text(PROGRAM)
    (folder / "test_shop.py").write_text(f"{TESTS}\n\n{FIXTURE}")
    with shell(folder) as bash:
        out, _ = bash.communicate(f"{TEST.strip()} --setup-show", timeout=60)

    assert "SETUP    S tokend" in out


def test_it_is_installed_from_the_clone() -> None:
    assert re.fullmatch(
        r"mkdir \.\./shop && cd \.\./shop\n"
        r"python3 -m venv \.venv && \. \.venv/bin/activate && pip install pytest \"\$OLDPWD\"\n",
        INSTALL,
    )


@contextmanager
def shell(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A bash in *folder*, with tokend on its path; what is left of it is killed."""
    with subprocess.Popen(
        ["bash"],  # noqa: S607, a shell is what the reader has
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as bash:
        try:
            yield bash
        finally:
            with suppress(ProcessLookupError):
                os.killpg(bash.pid, signal.SIGKILL)


def wait_for(file: Path, words: str) -> None:
    deadline = time.monotonic() + 30
    while not (file.exists() and words in file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def plain(line: str) -> str:
    return re.sub(r"\d+", "#", line)


def generation(line: str) -> int:
    return int(re.search(r"generation (\d+)", line)[1])
