"""What can go wrong, named for who has to act.

::

    ClientError
    ├── UsageError      the program: arguments, environment, key file, the name of a key
    ├── Refused         the operator of tokend: no such key, or not for you; see ``advice``
    └── NoToken         time: there is no token to serve now; ask again after ``retry_after``
        ├── Away        tokend is not to be reached
        └── NotReady    tokend has none, or cannot replace it now; WeChat's reason is in the message

A message never holds a token or a client key.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

SOON = timedelta(seconds=1)


class ClientError(Exception):
    """Anything that the client itself raises."""

    def __reduce__(self) -> tuple[object, ...]:
        """Copied for each who is told, and pickled by what passes jobs on."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[ClientError], args: tuple[object, ...], members: dict[str, Any]) -> object:
    error = kind.__new__(kind, *args)
    error.__dict__.update(members)
    return error


class UsageError(ClientError):
    """The program asks for what cannot be."""


class Refused(ClientError):
    """tokend says no, and will again until somebody acts on *advice*; *code* is its own."""

    def __init__(self, message: str, *, code: str, advice: str) -> None:
        super().__init__(f"{message} ({advice})" if advice else message)
        self.code = code
        self.advice = advice


class NoToken(ClientError):
    """There is no token to serve; asking before *retry_after* is in vain."""

    def __init__(self, message: str, *, retry_after: timedelta = SOON) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Away(NoToken):
    """tokend does not answer."""


class NotReady(NoToken):
    """tokend answers that it has none."""
