"""What tokend tells of sessions and users of a mini-program.

A unionid, and whom the business server takes a user for, are empty where they are not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A session that begins: its id is told this once, and is text that does not show itself.

    *new* says that nobody with this openid had logged in. It lasts *expires_in*.
    """

    session: str
    openid: str
    unionid: str
    user: str
    new: bool
    expires_in: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Whose it is, how long ago it began and how long it lasts."""

    openid: str
    unionid: str
    user: str
    age: timedelta
    expires_in: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """*since* is the first login."""

    openid: str
    unionid: str
    user: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneNumber:
    """*number* is with the country's code where that is not 86, *pure_number* without."""

    number: str = field(repr=False)
    pure_number: str = field(repr=False)
    country_code: str
