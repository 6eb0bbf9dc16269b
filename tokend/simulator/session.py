"""The session_key that a login is about: what WeChat signs and encrypts with it.

https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from hashlib import sha1
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

# Base64 of six bytes: so each session_key that a simulator gives begins.
MARK = "SESSKEY+"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKey:
    """*value* is base64 of 16 bytes. Signatures take it as it is written, AES as bytes."""

    value: str = field(repr=False)
    expires_at: datetime

    def lives(self, now: datetime) -> bool:
        return now < self.expires_at

    def signature(self, raw_data: str) -> str:
        """Of what a phone shows its user's data in."""
        return sha1((raw_data + self.value).encode(), usedforsecurity=False).hexdigest()

    def hmac_sha256(self, text: str) -> str:
        """Of what a server asks WeChat."""
        return hmac.digest(self.value.encode(), text.encode(), "sha256").hex()

    def encrypt(self, text: str, iv: bytes) -> str:
        """Base64, of AES-128-CBC with PKCS#7."""
        # Not imported by a simulator whose phones have nothing to encrypt: it starts in less time.
        from cryptography.hazmat.primitives.ciphers import Cipher  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.algorithms import AES128  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.modes import CBC  # noqa: PLC0415
        from cryptography.hazmat.primitives.padding import PKCS7  # noqa: PLC0415

        padder = PKCS7(AES128.block_size).padder()
        padded = padder.update(text.encode()) + padder.finalize()
        encryptor = Cipher(AES128(b64decode(self.value)), CBC(iv)).encryptor()
        return b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def key_value(random: Random) -> str:
    """WeChat's look like nothing; these are known wherever they get to, as its tokens are, and
    have a plus that is lost on the way through a URL if nobody quotes it.
    """
    return MARK + b64encode(random.randbytes(10)).decode()
