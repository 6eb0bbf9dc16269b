"""The current token of a key, as it is asked for and printed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tokend.cli.failure import Failure

if TYPE_CHECKING:
    from tokend.cli.connection import Connection


def show(connection: Connection, key: str) -> int:
    """The bare value; a newline follows only on a terminal."""
    value = connection.ask("GET", path(key), accept="text/plain")
    print(value, end="\n" if sys.stdout.isatty() else "", flush=True)
    return os.EX_OK


def path(key: str) -> str:
    """Where tokend has it. A name holds nothing that would have to be quoted there."""
    app, _, kind = key.partition("/")
    if not (_is_name(app) and _is_name(kind)):
        hint = f"{app if _is_name(app) else 'shop'}/access_token is one"
        raise Failure(f"{key}: not a key", hint=hint, code=os.EX_USAGE)
    return f"/v1/apps/{app}/{kind}"


def _is_name(text: str) -> bool:
    return text.isascii() and text.replace("_", "0").replace("-", "0").isalnum()
