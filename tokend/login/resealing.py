"""Sessions and users that an older key has sealed are sealed anew, so that this key may go.

A token is saved again within two hours; a user may not come for years.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import structlog

from tokend.errors import RecordUnreadable, StoreError
from tokend.login.records import SESSION, USER, Session, User

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tokend.clock import Clock
    from tokend.contracts import Shelf
    from tokend.model import Secret

log = structlog.get_logger()

_End: TypeAlias = "Callable[[str, Secret], datetime | None]"

_AGAIN = timedelta(seconds=60)


def _end_of_session(name: str, text: Secret) -> datetime:
    return Session.read(name, text).end


def _end_of_user(name: str, text: Secret) -> None:
    User.read(name, text)


# Kind of note → when one ends. It raises ``RecordUnreadable`` for what no tokend wrote.
_ENDS: dict[str, _End] = {
    SESSION: _end_of_session,
    USER: _end_of_user,
}


async def reseal(shelf: Shelf, clock: Clock, *, seal: str) -> None:
    """Whatever another key has sealed than *seal*, which does now: one note after the other, and
    from the beginning if the store was away meanwhile.
    """
    while True:
        try:
            number = await _reseal_all(shelf, seal)
        except StoreError as error:
            log.warning("resealing_interrupted", error=str(error))
            await clock.sleep(_AGAIN)
        else:
            if number:
                log.info("resealed", notes=number)
            return


async def _reseal_all(shelf: Shelf, seal: str) -> int:
    """How many were."""
    number = 0
    for kind, end in _ENDS.items():
        async for name, found in shelf.sealed(kind):
            number += found != seal and await _reseal(shelf, name, end)
    return number


async def _reseal(shelf: Shelf, name: str, end: _End) -> bool:
    """Not what has been changed or has ended meanwhile, nor what cannot be used."""
    try:
        note = await shelf.find(name)
        ends = end(name, note.text) if note else None
    except RecordUnreadable:
        return False
    return note is not None and await shelf.swap(name, note, note.text, ends=ends)
