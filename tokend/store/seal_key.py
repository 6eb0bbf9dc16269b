"""A key that tokens are sealed with: AES-256-GCM."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tokend.model import Secret
from tokend.store import seals

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_BYTES = 32
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")

# Random ones do not meet before 2^32 tokens are sealed with one key, with a chance of 2^-32.
# https://nvlpubs.nist.gov/nistpubs/Legacy/SP/nistspecialpublication800-38d.pdf (8.3)
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class SealKey:
    """*id* is public: it tells keys apart, and does not reveal them."""

    id: str
    _aead: AESGCM = field(repr=False, compare=False)

    @classmethod
    def parse(cls, line: Secret) -> SealKey:
        """32 bytes in hex or base64. Raises ``ValueError``, which does not show them."""
        key = _bytes(line.reveal())
        return cls(hashlib.sha256(b"tokend seal key\0" + key).hexdigest()[:8], AESGCM(key))

    def close(self, value: Secret, *, name: str, ends: int) -> str:
        head = seals.envelope(id=self.id, ends=ends, box="")
        nonce = os.urandom(_NONCE_BYTES)
        box = self._aead.encrypt(nonce, value.reveal().encode(), (head + name).encode())
        return head + _encode(nonce + box)

    def open(self, text: str, *, name: str) -> Secret:
        head, box = seals.box_of(text)
        sealed = _decode(box)
        nonce, sealed = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return Secret(self._aead.decrypt(nonce, sealed, (head + name).encode()).decode())
        except InvalidTag:
            raise ValueError(f"it was altered, or moved here (key {self.id})") from None


def parse_keys(lines: Iterable[Secret]) -> seals.Seals:
    """What the lines of a file stand for. Raises ``ValueError`` with the number of the line."""
    keys: list[seals.Seal] = []
    for number, line in enumerate(lines, 1):
        try:
            key = _parse(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if key.id in {other.id for other in keys}:
            raise ValueError(f"line {number}: stands there twice")
        keys.append(key)
    return seals.Seals(tuple(keys))


def _parse(line: Secret) -> seals.Seal:
    return seals.Plain() if line.reveal() == seals.PLAIN else SealKey.parse(line)


def _bytes(text: str) -> bytes:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        return base64.urlsafe_b64decode(text.rstrip("=").translate(_URL_SAFE) + "=")
    raise ValueError("must be a key as 'tokend seal-key' makes it: 32 bytes in hex or base64")


_URL_SAFE = str.maketrans("+/", "-_")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    """There is but one text for each sequence of bytes."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        data = b""
    if len(data) <= _NONCE_BYTES or _encode(data) != text:
        raise ValueError("it is no sealed value")
    return data
