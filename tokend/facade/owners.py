"""Whose access_token this is: the current ones, and the ones that WeChat still honours."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tokend.model import ACCESS_TOKEN

if TYPE_CHECKING:
    from tokend.keeper import Keeper
    from tokend.model import Secret

# Of each app: the current one, and the one before it, which some servers still use.
_REMEMBERED = 2


class Owners:
    """By digest, like the keys of clients: a look-up tells nobody anything by its timing."""

    def __init__(self) -> None:
        self._records: dict[bytes, str] = {}
        self._digests: dict[str, list[bytes]] = {}

    def learn(self, keeper: Keeper) -> None:
        """*keeper* may have another token now."""
        token, record = keeper.status().token, keeper.key.record
        if token is None or keeper.key.kind != ACCESS_TOKEN:
            return
        digest = _digest(token.value)
        known = self._digests.setdefault(record, [])
        if digest not in known:
            known.append(digest)
            self._records[digest] = record
        for old in known[:-_REMEMBERED]:
            self._records.pop(old, None)
        del known[:-_REMEMBERED]

    def record(self, value: Secret) -> str | None:
        """The name in the store of the key whose token this is, or lately was."""
        return self._records.get(_digest(value))


def _digest(value: Secret) -> bytes:
    return hashlib.sha256(value.reveal().encode("utf-8", "surrogatepass")).digest()
