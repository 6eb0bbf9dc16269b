"""The routes of mini-program login. They are there where the configuration enables it."""

from __future__ import annotations

from typing import Any

from tokend.api.description.answers import ACCESS, BODY, answered, answers, body
from tokend.api.description.parameters import APP, in_path, in_query

_STRING = {"type": "string"}
_OPENID = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"}
_SESSION = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}

# Of whatever reads the store, and of whatever asks WeChat.
_KEPT = (*ACCESS, "404", "503")
_ASKED = (*_KEPT, "409", "422", "502")


def _with_body(shape: str, summary: str, answer: str, *problems: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "tags": ["mini-program login"],
        "requestBody": body(shape),
        "responses": answers({"200": answered("", answer)}, *{*BODY, *problems}),
    }


def _without(summary: str, good: dict[str, Any], *problems: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "tags": ["mini-program login"],
        "responses": answers(good, *problems),
    }


_GONE = {"204": {"description": "there is none now"}}
_SHOWN = {"200": answered("", "Session")}

_OF_SESSION = [APP, in_path("session", _SESSION)]
_OF_USER = [APP, in_path("openid", _OPENID)]

LOGINS: dict[str, dict[str, Any]] = {
    "/v1/apps/{app}/sessions": {
        "parameters": [APP],
        "post": _with_body("Code", "A session for the code of wx.login", "Begun", *_ASKED),
    },
    "/v1/apps/{app}/sessions/{session}": {
        "parameters": _OF_SESSION,
        "get": _without("Whose it is", _SHOWN, *_KEPT),
        "delete": _without("Log out", _GONE, *_KEPT),
    },
    "/v1/apps/{app}/sessions/{session}/user": {
        "parameters": _OF_SESSION,
        "put": _with_body("Bound", "Whom the business server takes them for", "User", *_KEPT),
    },
    "/v1/apps/{app}/sessions/{session}/verify": {
        "parameters": _OF_SESSION,
        "post": _with_body("Signed", "Whether the phone has signed this", "Session", *_KEPT, "422"),
    },
    "/v1/apps/{app}/sessions/{session}/decrypt": {
        "parameters": _OF_SESSION,
        "post": _with_body("Encrypted", "What the phone has encrypted", "Any", *_KEPT, "422"),
    },
    "/v1/apps/{app}/sessions/{session}/check": {
        "parameters": _OF_SESSION,
        "post": _without(
            "Whether WeChat still takes the session_key for the user's; unknown_session if not",
            _SHOWN,
            *{*BODY, *_ASKED},
        ),
    },
    "/v1/apps/{app}/sessions/{session}/reset": {
        "parameters": _OF_SESSION,
        "post": _without("Another session_key", _SHOWN, *{*BODY, *_ASKED}),
    },
    "/v1/apps/{app}/users/{openid}": {
        "parameters": _OF_USER,
        "get": _without("Whom they are taken for", {"200": answered("", "User")}, *_KEPT),
        "delete": _without("Forget them, and their sessions", _GONE, *_KEPT),
    },
    "/v1/apps/{app}/users/{openid}/sessions": {
        "parameters": _OF_USER,
        "delete": _without("Log out everywhere", _GONE, *_KEPT),
    },
    "/v1/apps/{app}/phone-number": {
        "parameters": [APP],
        "post": _with_body("Code", "The number that a button's code stands for", "Phone", *_ASKED),
    },
    "/v1/apps/{app}/paid-unionid": {
        "parameters": [APP],
        "get": {
            **_without(
                "The unionid of who has paid within five minutes",
                {"200": answered("", "Union")},
                *{*_ASKED, "400"},
            ),
            "parameters": [
                in_query("openid", _OPENID, required=True),
                in_query("transaction_id", _STRING),
                in_query("mch_id", _STRING),
                in_query("out_trade_no", _STRING),
            ],
        },
    },
}
