"""WeRoBot, given another ``grant_token``. The URLs of its other calls are fixed."""

from __future__ import annotations

import re
import sys
from functools import cached_property

from conversation import converse
from werobot import WeRoBot
from werobot.client import Client

URL, APPID, SECRET = sys.argv[1:]


class TokendClient(Client):
    def grant_token(self):
        form = {"grant_type": "client_credential", "appid": self.appid, "secret": self.appsecret}
        return self.get(f"{URL}/cgi-bin/token", params=form)


class Robot(WeRoBot):
    @cached_property
    def client(self):
        return TokendClient(self.config)


robot = Robot(token="for_messages")
robot.config["APP_ID"] = APPID
robot.config["APP_SECRET"] = SECRET


def call():
    robot.client.get(f"{URL}/cgi-bin/get_api_domain_ip")
    return {"ok": True}


def errcode(error):
    """It raises ``ClientException("40001: invalid credential, …")``."""
    found = re.match(r"(-?\d+): ", str(error))
    return int(found[1]) if found else None


converse({"token": lambda: {"token": robot.client.token}, "call": call}, errcode)
