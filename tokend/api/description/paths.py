"""The routes, and what each takes and gives."""

from __future__ import annotations

from typing import Any

from tokend.api.description.answers import ACCESS, BODY, KEY, answered, answers, body, text
from tokend.api.description.logins import LOGINS
from tokend.api.description.parameters import APP, NAME, in_header, in_path, in_query
from tokend.model import State

Operation = dict[str, Any]

_STRING = {"type": "string"}
_GENERATION = {"type": "integer", "minimum": 0, "maximum": 10**17}


_KIND = in_path("kind", NAME, "access_token, or a kind of ticket")


def _open(summary: str, responses: dict[str, Any]) -> Operation:
    """Whoever asks."""
    return {"summary": summary, "security": [], "responses": responses}


def _wechat(summary: str, *required: str) -> Operation:
    """In WeChat's shape; who asks is said in the query."""
    return {
        **_open(summary, answers({"200": answered("as WeChat answers", "WechatToken")}, "400")),
        "tags": ["as WeChat"],
        "parameters": [in_query(name, _STRING, required=True) for name in required],
    }


PATHS: dict[str, dict[str, Any]] = LOGINS | {
    "/v1/apps": {
        "get": {
            "summary": "How every key is, without values, a page at a time",
            "parameters": [
                in_query("after", _STRING, "begin behind this key"),
                in_query("limit", {"type": "integer", "minimum": 1, "maximum": 500}),
                in_query(
                    "state",
                    {"type": "string", "enum": [*State, "expired,missing,suspect"]},
                    "these alone, with commas between them",
                ),
            ],
            "responses": answers({"200": answered("a page", "Keys")}, "400", *ACCESS),
        }
    },
    "/v1/apps/{app}/{kind}": {
        "parameters": [APP, _KIND],
        "get": {
            "summary": "The current token; with after and wait the next one as it comes",
            "parameters": [
                in_query("after", _GENERATION, "the generation that is known"),
                in_query(
                    "wait",
                    {"type": "integer", "minimum": 0, "maximum": 60},
                    "seconds, goes with after",
                ),
                in_header(
                    "If-None-Match",
                    {"type": "string", "pattern": '^[!#-~]*$|^"[0-9]+"$'},
                    'the generation that is known, in quotes: "1763683200"',
                ),
            ],
            "responses": answers(
                {
                    "200": answered(
                        "the token; events end with the connection",
                        "Token",
                        text("text/plain"),
                        text("text/event-stream"),
                    ),
                    "304": {"description": "there is no other"},
                },
                *KEY,
            ),
        },
    },
    "/v1/apps/{app}/{kind}/refresh": {
        "parameters": [APP, _KIND],
        "post": {
            "summary": "Report a token that WeChat rejected, or force a new one",
            "requestBody": body("Rejected"),
            "responses": answers(
                {"200": answered("the token to use now", "Replaced")}, *KEY, *BODY, "502"
            ),
        },
    },
    "/v1/apps/{app}/jsapi_signature": {
        "parameters": [APP],
        "post": {
            "summary": "What a web page needs for wx.config, or wx.agentConfig",
            "requestBody": body("Page"),
            "responses": answers({"200": answered("signed", "Signature")}, *KEY, *BODY),
        },
    },
    "/v1/events": {
        "get": {
            "summary": "What happens to keys, as it happens; events end with the connection",
            "parameters": [
                in_query("after", _GENERATION, "begin behind the event of this number"),
            ],
            "responses": answers(
                {
                    "200": {
                        "description": "Server-sent events, the data of each an Event; before "
                        "them, and where some are not known any more, begin and reset with the "
                        "number of the event to go on from",
                        "content": text("text/event-stream"),
                    }
                },
                "400",
                "503",
                *ACCESS,
            ),
        }
    },
    "/v1/reload": {
        "post": {
            "summary": "Read the configuration again",
            "responses": answers({"200": answered("it is in force", "Reloaded")}, *ACCESS, "409"),
        }
    },
    "/healthz": {
        "get": _open("The process is alive", {"200": answered("it is", "Alive")}),
    },
    "/readyz": {
        "get": _open(
            "Every key has a token that can be used",
            {"200": answered("it has", "Ready"), "503": answered("not every key", "Ready")},
        ),
    },
    "/status": {
        "get": {
            "summary": "The status page, for people",
            "parameters": [
                in_query("lang", {"type": "string", "enum": ["en", "zh"]}),
            ],
            "responses": answers(
                {"200": {"description": "a page", "content": text("text/html")}}, "400", *ACCESS
            ),
        }
    },
    "/status/{file}": {
        "parameters": [in_path("file", NAME, "script or style of the page")],
        "get": _open(
            "What the page is made of",
            answers(
                {
                    "200": {
                        "description": "a file",
                        "content": text("text/css") | text("text/javascript"),
                    }
                },
                "404",
            ),
        ),
    },
    "/metrics": {
        "get": {
            "summary": "What Prometheus is told",
            "responses": answers(
                {"200": {"description": "its text format", "content": text("text/plain")}},
                "503",
                *ACCESS,
            ),
        }
    },
    "/openapi.json": {
        "get": _open(
            "This",
            {
                "200": {
                    "description": "OpenAPI 3.1",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                }
            },
        ),
    },
    "/cgi-bin/token": {
        "get": _wechat("The current access_token", "grant_type", "appid", "secret"),
    },
    "/cgi-bin/stable_token": {
        "post": {
            **_open(
                "The same, whatever the method of the app",
                answers({"200": answered("as WeChat answers", "WechatToken")}, "400", "408", "413"),
            ),
            "tags": ["as WeChat"],
            "requestBody": body("StableToken"),
        },
        "get": _wechat("It takes a POST, and says so in WeChat's way"),
    },
    "/cgi-bin/ticket/getticket": {
        "get": _wechat("A ticket of that type", "access_token", "type"),
    },
    "/cgi-bin/gettoken": {
        "get": _wechat("WeCom: the current access_token", "corpid", "corpsecret"),
    },
    "/cgi-bin/get_jsapi_ticket": {
        "get": _wechat("WeCom: the jsapi_ticket of the corp", "access_token"),
    },
    "/cgi-bin/ticket/get": {
        "get": _wechat("WeCom: the ticket of the agent", "access_token", "type"),
    },
}
