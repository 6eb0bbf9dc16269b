"""``python -m benchmark.load.timed TIMES COMMAND…``: the seconds a command takes, at the median.

A small process starts faster than a large one: that is why it is measured from here.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median


def main(times: str, *command: str) -> None:
    sys.stdout.write(f"{median(_timed(command) for _ in range(int(times)))}\n")


def _timed(command: tuple[str, ...]) -> float:
    """Raises ``subprocess.CalledProcessError``."""
    began = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
