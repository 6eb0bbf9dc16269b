"""``python -m kit.fast SPEED CONFIG``: ``tokend serve``, where tokens age so many times as fast."""

from __future__ import annotations

import sys
from functools import partial

from tokend.cli import serve
from tokend.clock import SystemClock


def main(speed: str, path: str) -> None:
    serve.SystemClock = partial(SystemClock, float(speed))
    serve.serve.main([path])


if __name__ == "__main__":
    main(*sys.argv[1:])
