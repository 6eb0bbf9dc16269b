"""How to log in to Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tokend.model import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """By password, by client certificate, or both.

    Sentinels have a password of their own. *ca_file* is trusted besides what the host trusts;
    the key may stand in *cert_file*. All files are PEM. *timeout_seconds* is for each connecting,
    sending and answering.
    """

    username: str = ""
    password: Secret | None = None
    sentinel_password: Secret | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    timeout_seconds: float = 1.0


ANONYMOUS = Login()
