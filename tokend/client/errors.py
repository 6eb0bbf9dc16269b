"""What can go wrong, named for who has to act.

::

    ClientError
    ├── UsageError      the program: arguments, environment, key file, the name of a key
    ├── Refused         the operator of tokend: no such key, or not for you; see ``advice``
    ├── LoginRefused    the user of a mini-program, or their phone; ``code`` says more
    │   ├── UnknownSession   it is over, or there never was one: wx.login again
    │   ├── UnknownUser      nobody with this openid has logged in
    │   ├── CodeRefused      not a code of this app, too old, or used: wx.login again
    │   ├── UserBlocked      WeChat holds this user for a risk: nothing helps
    │   └── DataRefused      forged, of another session_key, or not of the right form
    └── Later           time: ask again after ``retry_after``
        ├── Busy        WeChat or tokend cannot see to a user now; ``code`` says why
        └── NoToken     there is no token to serve now
            ├── Away        tokend is not to be reached, whatever was asked
            └── NotReady    it has none, or cannot replace it; WeChat's reason is in the message

A message never holds a token, a client key, a code or the id of a session.
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


class _No(ClientError):
    """tokend says no, and will again until somebody acts on *advice*; *code* is its own."""

    def __init__(self, message: str, *, code: str, advice: str) -> None:
        super().__init__(f"{message} ({advice})" if advice else message)
        self.code = code
        self.advice = advice


class Refused(_No):
    """The operator of tokend, or of the account, has to act on *advice*."""


class LoginRefused(_No):
    """The user of a mini-program, or their phone, has; *code* is tokend's own."""


class UnknownSession(LoginRefused):
    """The mini-program logs in again."""


class UnknownUser(LoginRefused):
    """Nobody with this openid has logged in, or they have been forgotten."""


class CodeRefused(LoginRefused):
    """The mini-program gets a new code: this one is used, too old, or of another app."""


class UserBlocked(LoginRefused):
    """By WeChat, for a risk; to try again is in vain."""


class DataRefused(LoginRefused):
    """What was sent is forged, of another session_key, or of no form that tokend reads."""


class Later(ClientError):
    """Asking before *retry_after* is in vain."""

    def __init__(self, message: str, *, retry_after: timedelta = SOON) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(Later):
    """WeChat or tokend cannot see to this user now. A code that was sent may be used up."""

    def __init__(self, message: str, *, code: str, retry_after: timedelta) -> None:
        super().__init__(message, retry_after=retry_after)
        self.code = code


class NoToken(Later):
    """There is no token to serve."""


class Away(NoToken):
    """tokend does not answer."""


class NotReady(NoToken):
    """tokend answers that it has none."""
