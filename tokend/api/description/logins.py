"""The routes of mini-program login. They are there where the configuration enables it."""

from __future__ import annotations

from typing import Any

from tokend.api.description.answers import ACCESS, BODY, answered, answers, body

_STRING = {"type": "string"}
_OPENID = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"}
_SESSION = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}

# Of whatever reads the store, and of whatever asks WeChat.
_KEPT = (*ACCESS, "404", "503")
_ASKED = (*_KEPT, "409", "422", "502")


def _in(where: str, name: str, shape: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"name": name, "in": where, "required": required, "schema": shape}


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

_APP = _in("path", "app", {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"})
_OF_SESSION = [_APP, _in("path", "session", _SESSION)]
_OF_USER = [_APP, _in("path", "openid", _OPENID)]

LOGINS: dict[str, dict[str, Any]] = {
    "/v1/apps/{app}/sessions": {
        "parameters": [_APP],
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
        "parameters": [_APP],
        "post": _with_body("Code", "The number that a button's code stands for", "Phone", *_ASKED),
    },
    "/v1/apps/{app}/paid-unionid": {
        "parameters": [_APP],
        "get": {
            **_without(
                "The unionid of who has paid within five minutes",
                {"200": answered("", "Union")},
                *{*_ASKED, "400"},
            ),
            "parameters": [
                _in("query", "openid", _OPENID),
                _in("query", "transaction_id", _STRING, required=False),
                _in("query", "mch_id", _STRING, required=False),
                _in("query", "out_trade_no", _STRING, required=False),
            ],
        },
    },
}
