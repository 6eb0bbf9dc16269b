"""wechatpy with its tokens from ``tokend.client``: of the simulator's account, or of its agent."""

from __future__ import annotations

import io
import os
import sys
import traceback

from conversation import converse

from tokend.client import Client
from tokend.client.for_wechatpy import WeChatClient, WeComClient

KIND, URL, SOCKET = sys.argv[1:]


class Official(WeChatClient):
    API_BASE_URL = f"{URL}/cgi-bin/"


class Agent(WeComClient):
    API_BASE_URL = f"{URL}/cgi-bin/"


tokens = Client(socket=SOCKET)
if KIND == "wecom":
    client = Agent(tokens, "sales", corp_id="ww0123456789abcdef")
    more_tickets = client.jsapi.get_agent_jsapi_ticket
    raw_ticket = client.jsapi.get_agent_ticket
else:
    client = Official(tokens, "shop", appid="wx0123456789abcdef")
    more_tickets = client.jsapi.get_jsapi_card_ticket
    raw_ticket = client.jsapi.get_ticket


def call():
    return {"ip_list": client.get("get_api_domain_ip")["ip_list"]}


def upload():
    """What was read before the call is no part of it."""
    file = io.BytesIO(b"head" + bytes(3_000))
    file.name = "picture.jpg"
    file.seek(4)
    return client.media.upload("image", file)


def upload_pipe():
    """What can be read once."""
    reading, writing = os.pipe()
    os.write(writing, bytes(3_000))
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        return client.media.upload("image", ("picture.jpg", file))


def download():
    return {"size": len(client.media.download("bytes-70000").content)}


def own_query():
    """As customservice.delete_account() does."""
    return client.get("get_api_domain_ip", params=f"a=1&access_token={client.access_token}&b=2")


def own_params():
    """As material.add() does."""
    return client.get("get_api_domain_ip", params={"access_token": client.access_token})


def unreachable():
    """What is told, down to the last cause, when WeChat is not to be reached."""
    try:
        client.get("get_api_domain_ip", api_base_url="http://127.0.0.1:1/")
    except Exception as error:  # noqa: BLE001, what it raises is the answer
        return {"kind": type(error).__name__, "told": traceback.format_exc()}


def unwell():
    """The same when WeChat answers an HTTP status that is not 200."""
    try:
        client.get("get_api_domain_ip")
    except Exception as error:  # noqa: BLE001, what it raises is the answer
        return {"kind": type(error).__name__, "told": traceback.format_exc()}


converse(
    {
        "token": lambda: {"token": client.access_token},
        "ticket": lambda: {"ticket": client.jsapi.get_jsapi_ticket()},
        "more tickets": lambda: {"ticket": more_tickets()},
        "raw ticket": raw_ticket,
        "fetch": client.fetch_access_token,
        "secret": lambda: {"secret": client.secret},
        "call": call,
        "upload": upload,
        "upload a pipe": upload_pipe,
        "download": download,
        "own query": own_query,
        "own params": own_params,
        "unreachable": unreachable,
        "unwell": unwell,
    },
    errcode=lambda error: getattr(error, "errcode", None),
)
