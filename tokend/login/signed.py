"""What a phone signs and encrypts with the session_key. No I/O.

https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from tokend.errors import DataRefused, SignatureRefused

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from tokend.model import Secret


def verify(raw_data: str, signature: str, session_key: Secret) -> None:
    """Raise ``SignatureRefused`` if *signature* is not that of *raw_data*: the SHA-1 of it and the
    session_key after it, in hex.
    """
    text = (raw_data + session_key.reveal()).encode("utf-8", "surrogatepass")
    expected = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass")):
        raise SignatureRefused("rawData is not signed with this session_key")


def decrypt(encrypted_data: bytes, iv: bytes, session_key: Secret) -> dict[str, Any]:
    """The JSON in it: AES-128-CBC, PKCS#7. Raises ``DataRefused``, in the same words whatever is
    wrong with it: who learns more can find out the content by asking again and again.
    """
    try:
        cipher = Cipher(AES128(_bytes(session_key)), CBC(iv)).decryptor()
        padded = cipher.update(encrypted_data) + cipher.finalize()
        unpadder = PKCS7(AES128.block_size).unpadder()
        content = json.loads(unpadder.update(padded) + unpadder.finalize())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise DataRefused("encryptedData is not of this session_key and this iv")
    return content


def check_watermark(
    content: dict[str, Any], *, appid: str, openid: str, now: datetime, oldest: timedelta
) -> None:
    """Raise ``DataRefused`` if *content* is of another mini-program or user, or was made longer ago
    than *oldest* (or so much ahead of our clock); zero is no matter when.
    """
    watermark = content.get("watermark")
    if not isinstance(watermark, dict) or watermark.get("appid") != appid:
        raise DataRefused(f"what was encrypted is not of {appid}")
    if content.get("openId", openid) != openid:
        raise DataRefused("what was encrypted is of another user")
    if oldest and not _is_near(watermark.get("timestamp"), now, oldest):
        raise DataRefused(f"what was encrypted is not of the last {oldest.total_seconds():g} s")


def _is_near(timestamp: object, now: datetime, distance: timedelta) -> bool:
    if isinstance(timestamp, bool) or not isinstance(timestamp, int):
        return False
    return abs(int(now.timestamp()) - timestamp) <= distance.total_seconds()


def _bytes(session_key: Secret) -> bytes:
    return base64.b64decode(session_key.reveal(), validate=True)
