"""What was asked, for whom, and what came of it: what tests go by."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokend.simulator.media import Upload


class Ledger:
    """Calls by owner (an appid or a corpid) and endpoint, refused or not.

    Calls that name no owner, or come with a token nobody ever got, are counted for "".
    """

    def __init__(self) -> None:
        self.rejected_uses = 0
        self.last_upload: Upload | None = None
        self._calls: Counter[tuple[str, str]] = Counter()

    def count(self, owner: str, endpoint: str) -> None:
        self._calls[owner, endpoint] += 1

    def calls(self, owner: str, endpoint: str) -> int:
        return self._calls[owner, endpoint]

    def all_calls(self) -> dict[str, dict[str, int]]:
        """``calls`` by owner, then by endpoint."""
        counted: dict[str, dict[str, int]] = {}
        for (owner, endpoint), number in self._calls.items():
            counted.setdefault(owner, {})[endpoint] = number
        return counted
