"""The client's few words, in the log of the program.

That a key is in trouble for longer than tokend takes to restart, that it is well again, and that a
report failed. They are said with no lock held, because handlers are the program's: one may ask for
a token itself, to send its alert by.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_log = logging.getLogger("tokend.client")


def warn(sentences: Iterable[str]) -> None:
    """A handler or filter that fails must end neither the renewal nor a call."""
    for sentence in sentences:
        with suppress(Exception):
            _log.warning("%s", sentence)


def crashed(key: str) -> None:
    """With the traceback of the exception that is being handled."""
    with suppress(Exception):
        _log.exception("poll_crashed key=%s", key)
