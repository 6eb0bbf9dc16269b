"""What is asked of tokend about users, read. All raise ``BadRequest``."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from tokend.api import wire
from tokend.errors import BadRequest, UnknownUser
from tokend.model import Secret
from tokend.wechat.identity import is_id

if TYPE_CHECKING:
    from aiohttp import web

_CODE = re.compile(r"[\x21-\x7e]{1,512}")
_ORDER_NUMBER = re.compile(r"[\x21-\x7e]{1,64}")
_LONGEST_USER = 256
_BLOCK = 16

# Of a payment: its own number, or that of the shop and the order.
_ORDERS = ({"transaction_id"}, {"mch_id", "out_trade_no"})


class Signed(NamedTuple):
    raw_data: str
    signature: str


class Encrypted(NamedTuple):
    data: bytes
    iv: bytes


async def code(request: web.Request) -> Secret:
    """``{"code": …}``, of ``wx.login`` or of a button."""
    (text,) = await _texts(request, "code")
    if not _CODE.fullmatch(text):
        raise BadRequest(
            "code: must be 1 to 512 visible ASCII characters, as wx gave it; WeChat's developer "
            "tools give no code without an appid"
        )
    return Secret(text)


async def user(request: web.Request) -> str:
    """``{"user": …}``: what the business server calls them."""
    (text,) = await _texts(request, "user")
    if not (0 < len(text) <= _LONGEST_USER and text.isprintable()):
        raise BadRequest(f"user: must be 1 to {_LONGEST_USER} characters that can be printed")
    return text


async def signed(request: web.Request) -> Signed:
    """``{"rawData": …, "signature": …}`` as the phone gave them."""
    return Signed(*await _texts(request, "rawData", "signature"))


async def encrypted(request: web.Request) -> Encrypted:
    """``{"encryptedData": …, "iv": …}`` as the phone gave them."""
    data, iv = await _texts(request, "encryptedData", "iv")
    decoded = Encrypted(_decoded("encryptedData", data), _decoded("iv", iv))
    if not decoded.data or len(decoded.data) % _BLOCK or len(decoded.iv) != _BLOCK:
        raise BadRequest(f"encryptedData must be blocks of {_BLOCK} bytes, iv one of them")
    return decoded


async def nothing(request: web.Request) -> None:
    """No body, or ``{}``."""
    if request.can_read_body and await wire.json_object(request):
        raise BadRequest("the body must be empty, or {}")


def order(request: web.Request) -> tuple[str, dict[str, str]]:
    """``?openid=…`` and ``&transaction_id=…`` or ``&mch_id=…&out_trade_no=…``."""
    query = request.query
    openid, numbers = query.get("openid", ""), {n: v for n, v in query.items() if n != "openid"}
    if len(query) > len(set(query)) or set(numbers) not in _ORDERS or not is_id(openid):
        raise BadRequest("there must be openid, and transaction_id or mch_id and out_trade_no")
    if bad := [name for name, value in numbers.items() if not _ORDER_NUMBER.fullmatch(value)]:
        raise BadRequest(f"{bad[0]}: must be 1 to 64 visible ASCII characters")
    return openid, numbers


def openid(request: web.Request) -> str:
    """That in the path. Raises ``UnknownUser`` for what is none."""
    text = request.match_info["openid"]
    if not is_id(text):
        raise UnknownUser("nobody has such an openid")
    return text


async def _texts(request: web.Request, *names: str) -> list[str]:
    """A body with these *names* and no others."""
    body: dict[str, Any] = await wire.json_object(request)
    if set(body) != set(names) or not all(isinstance(value, str) for value in body.values()):
        wanted = ", ".join(f'"{name}": "…"' for name in names)
        raise BadRequest(f"the body must be {{{wanted}}}")
    return [body[name] for name in names]


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise BadRequest(f"{name}: is not base64; was a + taken for a space?") from None
