"""A token as the JSON of an answer, written once for all who ask in the same second."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tokend.api import wire

if TYPE_CHECKING:
    from datetime import datetime

    from tokend.keeper import Keeper
    from tokend.model import Answer

_SECOND = timedelta(seconds=1)


class Rendered:
    """What was written last for each keeper, and of what."""

    def __init__(self) -> None:
        self._last: WeakKeyDictionary[Keeper, tuple[object, bytes]] = WeakKeyDictionary()

    def json(self, keeper: Keeper, answer: Answer, now: datetime) -> bytes:
        """*answer* of *keeper*, *now* by the wall clock; on one line."""
        facts = (
            answer.token.value,
            answer.token.generation,
            answer.state,
            answer.expires_in // _SECOND,
            (now + answer.expires_in).replace(microsecond=0),
        )
        last = self._last.get(keeper)
        if last is None or last[0] != facts:
            written = json.dumps(wire.token_json(keeper.key, answer, now)).encode()
            last = self._last[keeper] = (facts, written)
        return last[1]
