"""wechatpy, pointed at another base URL by a subclass."""

from __future__ import annotations

import sys

from conversation import converse
from wechatpy import WeChatClient

URL, APPID, SECRET = sys.argv[1:]


class Client(WeChatClient):
    API_BASE_URL = f"{URL}/cgi-bin/"

    def fetch_access_token(self):
        form = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
        return self._fetch_access_token(f"{URL}/cgi-bin/token", form)


client = Client(APPID, SECRET)


def call():
    client.get("get_api_domain_ip")
    return {"ok": True}


converse(
    {
        "token": lambda: {"token": client.access_token},
        "ticket": lambda: {"ticket": client.jsapi.get_jsapi_ticket()},
        "call": call,
    },
    errcode=lambda error: getattr(error, "errcode", None),
)
