"""``python -m kit.wrong_keys URL SECONDS``: wrong client keys, as many as are answered, up to
10,000 a second.

Each connection sends some at once and waits for the answers. In the end it says how many there
were: ``{"401": 30, "429": 4711}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import count
from urllib.parse import urlsplit

CONNECTIONS, AT_ONCE = 10, 10
A_SECOND = 10_000


async def attack(host: str, port: int, until: float, met: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    pause = CONNECTIONS * AT_ONCE / A_SECOND
    numbers = count()
    while (began := time.monotonic()) < until:
        for _ in range(AT_ONCE):
            writer.write(
                b"GET /v1/apps/shop/access_token HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Authorization: Bearer wrong-%d\r\n\r\n" % next(numbers)
            )
        await writer.drain()
        for _ in range(AT_ONCE):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
            met[head.split()[1]] += 1
        await asyncio.sleep(max(0.0, began + pause - time.monotonic()))
    writer.close()


async def main(url: str, seconds: str) -> None:
    to, met, until = urlsplit(url), Counter[str](), time.monotonic() + float(seconds)
    assert to.hostname
    assert to.port
    await asyncio.gather(*(attack(to.hostname, to.port, until, met) for _ in range(CONNECTIONS)))
    sys.stdout.write(json.dumps(met))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
