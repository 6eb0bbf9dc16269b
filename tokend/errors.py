"""What can go wrong, named for who has to act.

::

    TokendError
    ├── ConfigError                  the operator: the configuration file
    ├── ListenError                  the operator: an address that cannot be served
    ├── InstallationError            the operator: what tokend was installed with
    ├── CallerError                  the calling program
    │   ├── BadRequest
    │   ├── Malformed
    │   ├── Unauthorized
    │   ├── TooManyWrongKeys
    │   ├── Forbidden
    │   │   └── Proxied                  or the operator, who knows the proxy in between
    │   ├── UnknownKey
    │   ├── UnknownSession               the mini-program logs in again
    │   ├── UnknownUser
    │   ├── SignatureRefused             the same, or somebody has altered what is signed
    │   ├── DataRefused                  the same, or it is not of this mini-program, or too old
    │   └── TooManyPolls
    ├── Crowded                      time: as many as tokend serves at once are there
    ├── NotReady                     time: no usable token right now
    ├── RefreshLimited               time: the guard rails on passive and forced refreshes
    ├── LeaseBusy                    time: another node is refreshing this key
    ├── StoreError                   whoever runs the store
    │   └── RecordUnreadable         the same: somebody else has written there
    └── UpstreamError                WeChat gave no token
        ├── BreakerOpen              a bug, or a loop: tokend stopped itself from asking
        ├── UpstreamUnreachable      the network: WeChat was never asked
        ├── UpstreamUnclear          the network: WeChat was asked, its answer is not known
        └── UpstreamRefused          by errcode; the operator, unless a subclass says otherwise
            ├── SecretRefused            the operator: the AppSecret is wrong, or frozen
            ├── AddressRefused           the operator: the IP whitelist
            ├── UpstreamBusy             time: seconds
            ├── TokenRejected            time: the access_token that a ticket was asked for with
            ├── MinuteQuotaReached       time: the next minute
            ├── DayQuotaReached          time: the next day
            ├── AdministratorAsked       the account's administrator, who was sent a message
            ├── AdministratorRefused     the same, said no: an hour
            ├── AdministratorRefusedTwice  the same, said no twice: a day
            ├── CodeInvalid              the mini-program: a new code
            ├── CodeUsed                 the same
            ├── UserBlocked              nobody: WeChat holds this user for a risk
            ├── LoginLimited             time: this user logs in too often
            ├── LoginBusy                time: seconds
            ├── SessionKeyEnded          the mini-program logs in again
            └── IdentityRefused          the calling program: there is no such openid, or order

A message says where and what, in lower case, and never holds a secret or a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence


class TokendError(Exception):
    """Anything that tokend itself raises."""

    def anew(self) -> Self:
        """The same. One that is kept is not the one that is raised: that holds on to the frames it
        went through, and to all that is in them.
        """
        other = type(self).__new__(type(self), *self.args)
        other.__dict__.update(self.__dict__)
        return other

    def logged(self) -> dict[str, object]:
        """As it stands in the log."""
        return {"error": str(self), "advice": None, "rid": None}


class ConfigError(TokendError):
    """The configuration cannot be used. Holds every mistake, one line each, with its place."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class ListenError(TokendError):
    """A configured address or socket cannot be listened on."""


class InstallationError(TokendError):
    """tokend cannot run safely with the libraries that are there."""


class CallerError(TokendError):
    """The calling program has to change."""


class BadRequest(CallerError):
    """The request does not say what it must say."""


class Malformed(CallerError):
    """What came is no request that may be answered; where the next one begins is not known."""


class Unauthorized(CallerError):
    """No client key, or one that nobody knows."""


class TooManyWrongKeys(CallerError):
    """Keys that nobody knows, one after another; the next is looked at after *retry_after*."""

    def __init__(self, message: str, *, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Forbidden(CallerError):
    """A known client that may not do this."""


class Proxied(Forbidden):
    """Passed on by somebody whom the operator has not named."""


class UnknownKey(CallerError):
    """No such app, or no such kind of it."""


class UnknownSession(CallerError):
    """No such session of this app; or it is over, as its session_key may be."""


class UnknownUser(CallerError):
    """Nobody with this openid has logged in to this app."""


class SignatureRefused(CallerError):
    """What a phone sent is not signed with the session_key."""


class DataRefused(CallerError):
    """What a phone sent cannot be decrypted with the session_key, or is of somebody else."""


class TooManyPolls(CallerError):
    """This client waits as often as it may; *retry_after* says when to ask again."""

    def __init__(self, message: str, *, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Crowded(TokendError):
    """There is no room before *retry_after*."""

    def __init__(self, message: str, *, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotReady(TokendError):
    """There is no usable token of this key; *retry_after* says when one may be there."""

    def __init__(
        self, message: str, *, retry_after: timedelta, cause: TokendError | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.cause = cause


class RefreshLimited(TokendError):
    """The guard rails: this key may not be refreshed on request before *retry_after*."""

    def __init__(self, message: str, *, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LeaseBusy(TokendError):
    """Another node holds the lease of this key."""


class StoreError(TokendError):
    """The store did not do what it was asked."""


class RecordUnreadable(StoreError):
    """What stands where a token is kept is not what tokend left there.

    *found* tells apart what was found at two times; it does not show it.
    """

    def __init__(self, message: str, *, found: str = "") -> None:
        super().__init__(message)
        self.found = found


class UpstreamError(TokendError):
    """WeChat gave no token."""


class BreakerOpen(UpstreamError):
    """More calls than anything planned could need: WeChat is not asked for a while."""


class UpstreamUnreachable(UpstreamError):
    """The request was never written, so WeChat cannot have acted on it."""


class UpstreamUnclear(UpstreamError):
    """The request was written, and no answer came that we understand: WeChat may have acted."""


@dataclass(eq=False)
class UpstreamRefused(UpstreamError):
    """WeChat answered with an errcode. What to do about it is the *advice*, and in Chinese
    *advice_zh*.

    *rid* is for the log alone: whoever has it and a token can have WeChat show the request, and
    the AppSecret in it.
    """

    errcode: int
    errmsg: str
    advice: str
    rid: str = ""
    advice_zh: str = ""

    def __str__(self) -> str:
        return f"errcode {self.errcode}: {self.errmsg}"

    def logged(self) -> dict[str, object]:
        return {"error": str(self), "advice": self.advice, "rid": self.rid or None}


class SecretRefused(UpstreamRefused):
    """40001, 40125, 40243: the AppSecret is not this account's any more, or frozen."""


class AddressRefused(UpstreamRefused):
    """40164, 45035, 61004: the address that WeChat sees is not in the IP whitelist."""


class UpstreamBusy(UpstreamRefused):
    """-1: the system is busy."""


class TokenRejected(UpstreamRefused):
    """40001, 40014 or 42001, where asked with an access_token: that one is dead."""


class MinuteQuotaReached(UpstreamRefused):
    """45011: no more calls in this minute."""


class DayQuotaReached(UpstreamRefused):
    """45009: no more calls today."""


class AdministratorAsked(UpstreamRefused):
    """89501, 89503…: the account's administrator was asked to confirm this call."""


class AdministratorRefused(UpstreamRefused):
    """89507: the administrator said no; each further call within the hour asks again."""


class AdministratorRefusedTwice(UpstreamRefused):
    """89506: the administrator said no twice; no call for a day."""


class CodeInvalid(UpstreamRefused):
    """40029: no code of this app, or one that has ended."""


class CodeUsed(UpstreamRefused):
    """40163: a code is good for one exchange."""


class UserBlocked(UpstreamRefused):
    """40226: WeChat holds this user for a risk."""


class LoginLimited(UpstreamRefused):
    """45011: this user logs in too often."""

    # It is counted by the minute.
    retry_after = timedelta(minutes=1)


class LoginBusy(UpstreamRefused):
    """-1, where a user is asked about: the system is busy."""

    retry_after = timedelta(seconds=1)


class SessionKeyEnded(UpstreamRefused):
    """87007, 87009: this session_key is none, or not the user's any more."""


class IdentityRefused(UpstreamRefused):
    """40003, 89300: WeChat knows no such openid, or order."""
