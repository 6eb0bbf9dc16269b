"""``python -m benchmark.prompt PORT``: as much of WeChat as a login needs, answering at once.

All codes are good, as often as they come: what is measured is not WeChat.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# They have logged in before, but for the first time.
USERS = 1000

_CODE = re.compile(rb"[?&]js_code=(\d+)")
_TOKEN = {"access_token": "92_" + "a" * 147, "expires_in": 7200}


class Prompt(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._came = b""

    def data_received(self, data: bytes) -> None:
        self._came += data
        if self._came.endswith(b"\r\n\r\n"):
            self._transport.write(_answer(self._came))
            self._came = b""


def _answer(request: bytes) -> bytes:
    code = _CODE.search(request)
    body = json.dumps(identity(int(code[1])) if code else _TOKEN).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def identity(number: int) -> Mapping[str, str]:
    """What the code of this *number* stands for."""
    user = number % USERS
    return {"openid": f"o{user:027}", "session_key": f"{number:022}=="}


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Prompt, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
