"""``python -m benchmark.references.homemade PORT BODY REDIS``: the token server that most write.

aiohttp and a Redis: each request is one GET there, its answer made from what comes back. No key.
"""

from __future__ import annotations

import sys
from pathlib import Path

from aiohttp import web
from redis.asyncio import Redis


def main(port: str, body: str, redis: str) -> None:
    answer = Path(body).read_bytes()
    app = web.Application()

    async def connected(_: web.Application) -> None:
        app[REDIS] = Redis(unix_socket_path=redis)
        await app[REDIS].set("access_token:app-0", answer)

    app.on_startup.append(connected)
    app.router.add_get("/v1/apps/{app}/access_token", get)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None)


REDIS: web.AppKey[Redis] = web.AppKey("redis", Redis)


async def get(request: web.Request) -> web.Response:
    body = await request.app[REDIS].get(f"access_token:{request.match_info['app']}")
    return web.Response(body=body, content_type="application/json")


if __name__ == "__main__":
    main(*sys.argv[1:])
