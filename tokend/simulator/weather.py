"""Faults on the way to WeChat and back, as data."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tokend.simulator.media import File

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokend.simulator.media import Answer

ENDPOINTS = (
    "token",
    "stable_token",
    "getticket",
    "gettoken",
    "get_jsapi_ticket",
    "ticket_get",
    "get_api_domain_ip",
    "custom_send",
    "media_upload",
    "media_get",
    "getwxacodeunlimit",
    "jscode2session",
    "checksession",
    "resetusersessionkey",
    "getuserphonenumber",
    "getpaidunionid",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one request. What is not set happens as it should.

    *endpoint*       strike only there; anywhere if empty
    *delay_seconds*  before the world acts
    *late_seconds*   after it has acted
    *reply*, *body*  answer this JSON, or these bytes, in place of the world
    *cut*            close the connection in place of an answer
    *when*           these three take the place ``before`` the world acts: it never hears of the
                     request; or ``after``: it has acted, and nobody is told
    *merge*          put these fields into the JSON; a file stays as it is
    *status*, *headers*  go with the answer, whoever gave it
    *drip_seconds*   between one byte of the body and the next

    A redirect is a status, a ``Location`` among the headers, and an empty body.
    """

    endpoint: str = ""
    delay_seconds: float = 0.0
    late_seconds: float = 0.0
    reply: dict[str, Any] | None = None
    body: bytes | None = None
    cut: bool = False
    when: str = "before"
    merge: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip_seconds: float = 0.0

    @property
    def reaches_the_world(self) -> bool:
        takes_its_place = self.cut or self.reply is not None or self.body is not None
        return self.when == "after" or not takes_its_place

    def answer(self, reply: Answer) -> bytes | File:
        """The body to send where the world answers *reply*."""
        if self.body is not None:
            return self.body
        given = reply if self.reply is None else self.reply
        if isinstance(given, File):
            return given
        return json.dumps({**given, **self.merge}).encode()


FAIR = Fault()


@dataclass(slots=True)
class Weather:
    """*coming* strikes once each, in order; *standing* strikes every request that is left."""

    coming: deque[Fault] = field(default_factory=deque)
    standing: Fault = FAIR
    struck: int = 0

    def strike(self, endpoint: str) -> Fault:
        """The fault that this request meets; ``FAIR`` if none."""
        fault = self._take(endpoint)
        self.struck += fault != FAIR
        return fault

    def _take(self, endpoint: str) -> Fault:
        for fault in self.coming:
            if fault.endpoint in {"", endpoint}:
                self.coming.remove(fault)
                return fault
        return self.standing if self.standing.endpoint in {"", endpoint} else FAIR


def read_fault(given: object) -> Fault:
    """A fault from JSON. Raises ``ValueError`` saying what is wrong with it."""
    if not isinstance(given, dict):
        raise ValueError("a fault is a JSON object")  # noqa: TRY004, bad input and not a bug
    return Fault(**{name: _read_field(name, value) for name, value in given.items()})


def _read_field(name: str, value: Any) -> Any:
    if name not in _FIELDS:
        raise ValueError(f"{name}: no fault has this; there are {', '.join(_FIELDS)}")
    fits, wanted = _FIELDS[name]
    if not fits(value):
        raise ValueError(f"{name}: must be {wanted}")
    return _bytes(value) if name == "body" else value


def _bytes(text: str) -> bytes:
    r"""JSON has no bytes: text is sent as UTF-8, and ``\udcff`` as the byte ff."""
    return text.encode("utf-8", "surrogateescape")


def _is_duration(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and bool(0 <= value <= _LONGEST_SECONDS)


def _is_status(value: object) -> bool:
    """Below 200 are no answers: a client goes on waiting."""
    return isinstance(value, int) and value in range(200, 600)


def _are_headers(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


_LONGEST_SECONDS = 3600
_DURATION = (_is_duration, f"a number of seconds from 0 to {_LONGEST_SECONDS}")
_OBJECT = (_is_object, "an object")

_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "endpoint": (lambda value: value in ENDPOINTS, f"one of {', '.join(ENDPOINTS)}"),
    "delay_seconds": _DURATION,
    "late_seconds": _DURATION,
    "reply": _OBJECT,
    "body": (lambda value: isinstance(value, str), "a text"),
    "cut": (lambda value: isinstance(value, bool), "true or false"),
    "when": (lambda value: value in ("before", "after"), "before or after"),
    "merge": _OBJECT,
    "status": (_is_status, "an HTTP status from 200 to 599"),
    "headers": (_are_headers, "an object of texts"),
    "drip_seconds": _DURATION,
}
