"""What business calls answer once the token is found good.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Service_Center_messages.html
https://developers.weixin.qq.com/doc/offiaccount/Asset_Management/New_temporary_materials.html
https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/qrcode-link/qr-code/getUnlimitedQRCode.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tokend.simulator.body import json_object
from tokend.simulator.media import File
from tokend.simulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tokend.simulator.media import Answer, Upload

_MEDIA_TYPES = ("image", "voice", "video", "thumb", "file")  # the last is WeCom's
_SCENE = re.compile(r"[0-9A-Za-z!#$&'()*+,/:;=?@._~-]+")
_LONGEST_SCENE = 32

# What a JPEG begins and ends with; nobody looks at the picture.
_JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000") + bytes(1024) + b"\xff\xd9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """*rule* is what it answers to who has a good token; WeCom's refusals carry *empty* fields."""

    endpoint: str
    rule: Callable[[], Answer]
    empty: Mapping[str, Any] = field(default_factory=dict)


def addresses() -> dict[str, Any]:
    return {"ip_list": ["203.0.113.10", "203.0.113.11"]}


def send_message(body: bytes) -> dict[str, Any]:
    json_object(body)
    return {"errcode": 0, "errmsg": "ok"}


def take(query: Mapping[str, str], upload: Upload | None, now: datetime) -> dict[str, Any]:
    """*upload* is None if no file came. What is taken can be got back: as many bytes, not these."""
    kind = query.get("type", "")
    if kind not in _MEDIA_TYPES:
        raise Refusal(40004, "invalid media type")
    if upload is None:
        raise Refusal(41005, "media data missing")
    return {
        "type": kind,
        "media_id": f"bytes-{upload.size}",
        "created_at": int(now.timestamp()),
    }


def give(query: Mapping[str, str]) -> File:
    """``bytes-N`` is a file of N bytes."""
    named = re.fullmatch(r"bytes-([0-9]{1,12})", query.get("media_id", ""))
    if named is None:
        raise Refusal(40007, "invalid media_id")
    return File(content_type="image/jpeg", size=int(named[1]))


def draw_code(body: bytes) -> File:
    """The picture of a mini-program's code."""
    scene = _scene(body)
    if not 0 < len(scene) <= _LONGEST_SCENE:
        raise Refusal(40169, "invalid length for scene, or the data is not json string")
    if not _SCENE.fullmatch(scene):
        raise Refusal(40129, "invalid scene")
    return File(content_type="image/jpeg", size=len(_JPEG), pattern=_JPEG)


def _scene(body: bytes) -> str:
    """Empty if there is none; this call has one complaint for all that it cannot read."""
    try:
        scene = json_object(body).get("scene")
    except Refusal:
        return ""
    return scene if isinstance(scene, str) else ""
