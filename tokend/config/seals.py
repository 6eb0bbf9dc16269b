"""From ``store.seal_key_file`` to what tokens are sealed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokend.store.seals import UNSEALED

if TYPE_CHECKING:
    from tokend.config.secrets import SecretFiles
    from tokend.config.settings import StoreSettings
    from tokend.store.seals import Seals

_PLACE = "store.seal_key_file"


def read_seals(store: StoreSettings, files: SecretFiles) -> Seals:
    """Raises ``ValueError`` with the place of what is wrong, and not with what stands there."""
    if not store.seal_key_file:
        return UNSEALED
    # Not everybody seals, and it takes a while to import.
    from tokend.store.seal_key import parse_keys  # noqa: PLC0415

    path = files.path(store.seal_key_file)
    try:
        lines = files.read_lines(store.seal_key_file, place=_PLACE)
    except ValueError as error:
        raise ValueError(f"{_PLACE}: {error}") from None
    try:
        seals = parse_keys(lines)
    except ValueError as error:
        raise ValueError(f"{_PLACE}: {path}: {error}") from None
    if seals.is_plain:
        raise ValueError(f"{_PLACE}: {path}: needs a key; 'tokend seal-key' makes one")
    if store.mirror or store.mirror_json:
        files.warnings.append(
            "store.mirror: writes tokens as they are into the same Redis in which they are sealed"
        )
    return seals
