"""Under which names of their own SDKs find a token that they share through Redis. No I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokend.model import Secret, TokenKey

PLACEHOLDERS = ("{appid}", "{app}", "{kind}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Patterns of names: where a value is written as it is, and where as a JSON string."""

    plain: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()

    def names(self, keys: Iterable[TokenKey]) -> list[str]:
        patterns = (*self.plain, *self.quoted)
        if not patterns:  # and the keys may be very many
            return []
        return [name_of(pattern, key) for key in keys for pattern in patterns if _of(pattern, key)]

    def copies(self, key: TokenKey, value: Secret) -> dict[str, str]:
        """What to write under which name. Of a suspect token as well: it is served, and where SDKs
        find none they fetch one, which ends the life of ours for sure.
        """
        plain, quoted = value.reveal(), json.dumps(value.reveal())
        return {name_of(pattern, key): plain for pattern in self.plain if _of(pattern, key)} | {
            name_of(pattern, key): quoted for pattern in self.quoted if _of(pattern, key)
        }


NO_MIRROR = Mirror()


def name_of(pattern: str, key: TokenKey) -> str:
    return pattern.format(appid=key.appid, app=key.app, kind=key.kind)


def _of(pattern: str, key: TokenKey) -> bool:
    """Other kinds than this one are mirrored only where a pattern tells them apart."""
    return key.kind == "access_token" or "{kind}" in pattern
