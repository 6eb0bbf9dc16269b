"""The JSON that goes over the wire, as https://json-schema.org/draft/2020-12 describes such."""

from __future__ import annotations

from typing import Any

from tokend.api.problem_table import CODES
from tokend.happening import What
from tokend.model import State
from tokend.plan import Purpose

Shape = dict[str, Any]

_INTEGER: Shape = {"type": "integer"}
_STRING: Shape = {"type": "string"}
_SECONDS: Shape = {"type": "integer", "description": "seconds"}
_TIME: Shape = {"type": "string", "format": "date-time"}
_GENERATION: Shape = {"type": "integer", "minimum": 0, "description": "grows with each new value"}
_STATE: Shape = {"type": "string", "enum": [state.value for state in State]}
_SERVED = [State.FRESH.value, State.STALE.value, State.SUSPECT.value]


def named(name: str) -> Shape:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(shape: Shape) -> Shape:
    return {"anyOf": [shape, {"type": "null"}]}


def _object(required: dict[str, Shape], optional: dict[str, Shape] | None = None) -> Shape:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


_TOKEN = {
    "app": _STRING,
    "appid": _STRING,
    "kind": _STRING,
    "expires_in": _SECONDS,
    "expires_at": _TIME,
    "generation": _GENERATION,
    "state": {"type": "string", "enum": _SERVED},
}
_VALUES = {"access_token": _STRING, "ticket": _STRING}

_ERROR = _object(
    {"message": _STRING, "advice": _STRING, "advice_zh": _STRING}, {"errcode": _INTEGER}
)

# Of a user of a mini-program; what is not known is not there.
_KNOWN = {"unionid": _STRING, "user": _STRING}

SHAPES: dict[str, Shape] = {
    "Token": {
        **_object(_TOKEN, _VALUES),
        "description": "An access_token, or a ticket, by the name that WeChat gives it.",
        "oneOf": [{"required": [name]} for name in _VALUES],
    },
    "Replaced": {
        **_object({**_TOKEN, "refreshed": {"type": "boolean"}}, _VALUES),
        "description": "The token to use from now on; refreshed: it took a refresh.",
        "oneOf": [{"required": [name]} for name in _VALUES],
    },
    "Rejected": {
        **_object(
            {},
            {
                "rejected": {
                    "anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}]
                }
            },
        ),
        "description": "What WeChat rejected, a token or a generation; without it a new token in "
        "any case, which takes the permission force.",
    },
    "Key": {
        **_object(
            {
                "app": _STRING,
                "appid": _STRING,
                "kind": _STRING,
                "state": _STATE,
                "generation": _or_null(_GENERATION),
                "expires_in": _SECONDS,
                "expires_at": _or_null(_TIME),
                "refreshing": {"type": "boolean", "description": "by the node that answers"},
                "refreshing_elsewhere": _or_null(
                    {"type": "string", "description": "the other node that is at it: host/pid"}
                ),
                "next_refresh_in": _SECONDS,
                "next_refresh_at": _TIME,
                "failures": _INTEGER,
                "error": _or_null(_ERROR),
                "record_trouble": _or_null(_STRING),
            }
        ),
        "description": "How a key is, without its value.",
    },
    "Keys": _object(
        {
            "keys": {"type": "array", "items": named("Key")},
            "next": _or_null({"type": "string", "description": "where the next page is"}),
            "configuration_mistakes": {"type": "array", "items": _STRING},
            "store_trouble": _or_null(_STRING),
        }
    ),
    "Event": {
        **_object(
            {
                "number": _INTEGER,
                "at": _TIME,
                "app": _STRING,
                "appid": _STRING,
                "kind": _STRING,
                "what": {"type": "string", "enum": [what.value for what in What]},
                "purpose": _or_null(
                    {"type": "string", "enum": [purpose.value for purpose in Purpose]}
                ),
                "took": _or_null({"type": "number", "description": "seconds"}),
                "error": _or_null(_ERROR),
                "status": named("Key"),
            }
        ),
        "description": "What happened to a key, and how it was then.",
    },
    "Page": _object(
        {
            "url": {
                "type": "string",
                "minLength": 1,
                "maxLength": 4096,
                "examples": ["https://a.b/"],
            }
        },
        {"kind": {"type": "string", "enum": ["jsapi_ticket", "agent_config_ticket"]}},
    ),
    "Signature": _object(
        {"appId": _STRING, "timestamp": _INTEGER, "nonceStr": _STRING, "signature": _STRING}
    ),
    "Reloaded": _object({"keys": _INTEGER}),
    "Alive": _object({"status": {"const": "ok"}}),
    "Ready": _object(
        {
            "ready": {"type": "boolean"},
            "not_ready": {"type": "object", "additionalProperties": _STATE},
            "not_ready_keys": _INTEGER,
        }
    ),
    "Code": _object({"code": {"type": "string", "pattern": "^[!-~]{1,512}$"}}),
    "Begun": {
        **_object(
            {
                "session": _STRING,
                "openid": _STRING,
                "new": {"type": "boolean"},
                "expires_in": _SECONDS,
            },
            _KNOWN,
        ),
        "description": "A session, by an id that nobody is told a second time.",
    },
    "Session": _object(
        {"openid": _STRING, "age": _SECONDS, "expires_in": _SECONDS},
        _KNOWN,
    ),
    "User": _object(
        {
            "openid": _STRING,
            "since": {"type": "integer", "description": "Unix time"},
        },
        _KNOWN,
    ),
    "Bound": _object({"user": {"type": "string", "minLength": 1, "maxLength": 256}}),
    "Signed": _object({"rawData": _STRING, "signature": _STRING}),
    "Encrypted": _object({"encryptedData": _STRING, "iv": _STRING}),
    "Any": {"type": "object", "description": "As WeChat's manual describes it."},
    "Phone": _object(
        {}, {"phoneNumber": _STRING, "purePhoneNumber": _STRING, "countryCode": _STRING}
    ),
    "Union": _object({"openid": _STRING, "unionid": _STRING}),
    "Problem": {
        "type": "object",
        "description": "RFC 9457. code is stable, advice says what to do. Of what WeChat refused "
        "advice_zh is the same in Chinese.",
        "properties": {
            "type": _STRING,
            "title": _STRING,
            "status": _INTEGER,
            "code": {"type": "string", "enum": list(CODES)},
            "detail": _STRING,
            "advice": _STRING,
            "advice_zh": _STRING,
            "retry_after": _SECONDS,
            "errcode": _INTEGER,
            "errmsg": _STRING,
        },
        "required": ["type", "title", "status", "code", "detail", "advice"],
    },
    "WechatToken": {
        "type": "object",
        "description": "As WeChat answers, and like WeChat errors too with status 200.",
        "properties": {
            "access_token": _STRING,
            "ticket": _STRING,
            "expires_in": _SECONDS,
            "errcode": _INTEGER,
            "errmsg": _STRING,
        },
    },
    "StableToken": {
        "type": "object",
        "properties": {
            "grant_type": {"const": "client_credential"},
            "appid": _STRING,
            "secret": {"type": "string", "description": "the client key"},
            "force_refresh": {"type": "boolean"},
        },
        "required": ["grant_type", "appid", "secret"],
    },
}
