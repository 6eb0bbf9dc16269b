"""What can happen to a key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tokend.errors import LeaseBusy, RefreshLimited, TokendError
from tokend.plan import Purpose

if TYPE_CHECKING:
    from datetime import timedelta

    from tokend.flight import Outcome
    from tokend.model import Token


class What(StrEnum):
    """What happened."""

    REFRESHED = "refreshed"  # a refresh of this node brought another token
    UNCHANGED = "unchanged"  # it brought the same again
    RESTORED = "restored"  # the token was put back into the store
    FAILED = "failed"  # a refresh brought nothing
    LIMITED = "limited"  # the guard rails kept a refresh from asking
    BUSY = "busy"  # another node was refreshing the key all the time
    ADOPTED = "adopted"  # another node's token was taken over
    DOUBTED = "doubted"  # another node may have superseded the token
    CLEARED = "cleared"  # it has not
    LOST = "lost"  # the store does not have the token any more
    EXPIRED = "expired"  # there is no token that can be used
    RECOVERED = "recovered"  # there is again, or refreshes succeed again


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What a keeper tells. Of a refresh its *purpose*, what it *took*, and the *error* it ended
    with.
    """

    what: What
    purpose: Purpose | None = None
    took: timedelta | None = None
    error: TokendError | None = None


_ERRORS = {LeaseBusy: What.BUSY, RefreshLimited: What.LIMITED}


def refreshed(
    purpose: Purpose, before: Token | None, outcome: Outcome, took: timedelta
) -> Happening:
    """The end of a refresh that began with the token *before*."""
    if isinstance(outcome, TokendError):
        what = _ERRORS.get(type(outcome), What.FAILED)
        return Happening(what=what, purpose=purpose, took=took, error=outcome)
    if purpose is Purpose.RESTORE:
        what = What.RESTORED
    else:
        is_same = before is not None and before.value == outcome.value
        what = What.UNCHANGED if is_same else What.REFRESHED
    return Happening(what=what, purpose=purpose, took=took)


def noticed(before: Token, after: Token) -> Happening | None:
    """What a look at the store has changed about a token, if anything that matters."""
    if after.value != before.value:
        return Happening(what=What.ADOPTED)
    if after.suspect != before.suspect:
        return Happening(what=What.DOUBTED if after.suspect else What.CLEARED)
    return Happening(what=What.LOST) if before.stored and not after.stored else None
