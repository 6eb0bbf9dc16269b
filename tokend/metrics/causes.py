"""Errors as labels: a fixed set of words, by who has to act."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend import errors

if TYPE_CHECKING:
    from tokend.errors import TokendError

NONE = ""

# A bug of tokend's, or something new: the log has more.
_OTHER = "other"

# The first row that fits decides.
_CAUSES: tuple[tuple[type[TokendError], str], ...] = (
    (errors.SecretRefused, "secret_refused"),
    (errors.AddressRefused, "address_refused"),
    (errors.UpstreamBusy, "busy"),
    (errors.TokenRejected, "token_rejected"),
    (errors.MinuteQuotaReached, "minute_quota_reached"),
    (errors.DayQuotaReached, "day_quota_reached"),
    (errors.AdministratorAsked, "administrator_asked"),
    (errors.AdministratorRefused, "administrator_refused"),
    (errors.AdministratorRefusedTwice, "administrator_refused"),
    (errors.CodeInvalid, "code_refused"),
    (errors.CodeUsed, "code_refused"),
    (errors.UserBlocked, "user_blocked"),
    (errors.LoginLimited, "login_limited"),
    (errors.LoginBusy, "busy"),
    (errors.SessionKeyEnded, "session_key_ended"),
    (errors.IdentityRefused, "identity_refused"),
    (errors.UpstreamRefused, "refused"),
    (errors.BreakerOpen, "breaker_open"),
    (errors.UpstreamUnreachable, "unreachable"),
    (errors.UpstreamUnclear, "unclear"),
    (errors.RecordUnreadable, "record_unreadable"),
    (errors.StoreError, "store_away"),
    (errors.RefreshLimited, "refresh_limited"),
    (errors.LeaseBusy, "lease_busy"),
    (errors.NotReady, "not_ready"),
)

CAUSES = frozenset({_OTHER, *(word for _, word in _CAUSES)})


def cause(error: TokendError | None) -> str:
    """The word for *error*; empty if there is none."""
    if error is None:
        return NONE
    return next((word for kind, word in _CAUSES if isinstance(error, kind)), _OTHER)
