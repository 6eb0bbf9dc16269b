"""What goes wrong on the way to Redis, told without what was sent there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis.exceptions import RedisClusterException, RedisError

from tokend.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 200

# A server or a proxy that lacks a command repeats what it was given, and for AUTH that is the
# password.
_ARGUMENTS = ", with args beginning with"


@contextmanager
def told() -> Iterator[None]:
    """Say what Redis said; of a record that tokend did not write, never the content."""
    try:
        yield
    except (RedisError, RedisClusterException) as error:  # the latter is not one of the former
        raise StoreError(f"redis: {said(error)}") from None
    except (ValueError, TypeError):
        raise StoreError("redis: a record that tokend did not write") from None


def said(error: Exception) -> str:
    """The message of an exception of redis-py, in one piece that can be shown.

    While it connects, redis-py takes any exception for the message of one of its own.
    """
    cause = next((each for each in error.args if isinstance(each, Exception)), None)
    if isinstance(cause, RedisError):
        return said(cause)
    if cause is not None:
        return f"{type(error).__name__}: {type(cause).__name__}"
    text = str(error).partition(_ARGUMENTS)[0][:_LONGEST]
    return text or type(error).__name__
