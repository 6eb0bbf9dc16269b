"""Exceptions as the log shows them: what was raised where, and no values.

The message of an exception may hold whatever a library was given: a URL with the AppSecret in it,
a command for Redis, a token that would not be encoded. Those of tokend hold neither (``errors``).
"""

from __future__ import annotations

import os
import traceback
from itertools import islice
from typing import TYPE_CHECKING

from tokend.errors import TokendError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_CHAIN = 10
_INNERMOST = -50  # frames; of a recursion they are all alike


def shown(error: BaseException) -> str:
    """The traceback of *error*, after those of what led to it."""
    chain = list(islice(_chain(error), _LONGEST_CHAIN))
    return "\n\n".join("".join(_lines(each)).rstrip() for each in reversed(chain))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)


def _lines(error: BaseException) -> Iterator[str]:
    if error.__traceback__:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(error.__traceback__, limit=_INNERMOST)
    yield f"{_name(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for each in islice(error.exceptions, _LONGEST_CHAIN):
            yield f"| {shown(each)}\n".replace("\n", "\n| ").removesuffix("| ")


def _name(error: BaseException) -> str:
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    if isinstance(error, TokendError):
        return f"{name}: {error}"
    if isinstance(error, OSError) and error.errno:
        return f"{name}: {os.strerror(error.errno)}"
    return name
