"""``python -m benchmark.references.bare PORT BODY``: aiohttp at its least, on uvloop.

One route, no key, the same bytes each time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop
from aiohttp import web


def main(port: str, body: str) -> None:
    answer = Path(body).read_bytes()

    async def get(_: web.Request) -> web.Response:
        return web.Response(body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_get("/v1/apps/{app}/access_token", get)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, loop=loop)


if __name__ == "__main__":
    main(*sys.argv[1:])
