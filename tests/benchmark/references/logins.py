"""``python -m benchmark.references.logins PORT WECHAT REDIS``: the logins that most write.

aiohttp and a Redis: a code is exchanged, and what came of it kept under a random name. No key, no
seal, no users.
"""

from __future__ import annotations

import json
import secrets
import sys

from aiohttp import ClientSession, web
from redis.asyncio import Redis

from benchmark.accounts import SECRET, appid
from benchmark.node import SESSIONS

_LIFE_SECONDS = 30 * 86_400
_APP = {"appid": appid(0), "secret": SECRET, "grant_type": "authorization_code"}

WECHAT: web.AppKey[ClientSession] = web.AppKey("wechat", ClientSession)
REDIS: web.AppKey[Redis] = web.AppKey("redis", Redis)


def main(port: str, wechat: str, redis: str) -> None:
    app = web.Application()

    async def connected(_: web.Application) -> None:
        app[WECHAT] = ClientSession(wechat)
        app[REDIS] = Redis(unix_socket_path=redis)

    app.on_startup.append(connected)
    app.router.add_post(SESSIONS, login)
    app.router.add_get(f"{SESSIONS}/{{session}}", show)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None)


async def login(request: web.Request) -> web.Response:
    query = {**_APP, "js_code": (await request.json())["code"]}
    async with request.app[WECHAT].get("/sns/jscode2session", params=query) as answer:
        identity = await answer.json()
    session = secrets.token_urlsafe(32)
    await request.app[REDIS].set(f"session:{session}", json.dumps(identity), ex=_LIFE_SECONDS)
    return web.json_response({"session": session, "openid": identity["openid"]})


async def show(request: web.Request) -> web.Response:
    text = await request.app[REDIS].get(f"session:{request.match_info['session']}")
    if text is None:
        raise web.HTTPNotFound
    return web.json_response({"openid": json.loads(text)["openid"]})


if __name__ == "__main__":
    main(*sys.argv[1:])
