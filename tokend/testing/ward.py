"""``python -m tokend.testing.ward PARENT COMMAND…``: ``tokend COMMAND…``, until PARENT is gone.

A parent that is killed can end nobody. Its process id is looked at, and no pipe from it, because
children that it forked would hold that open.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from tokend import cli

_LOOK_SECONDS = 0.25


def main() -> int:
    parent = int(sys.argv.pop(1))
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    return cli.main()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(os.EX_OK)


if __name__ == "__main__":
    sys.exit(main())
