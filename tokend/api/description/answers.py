"""What is answered: by status, and what may keep a route from its answer."""

from __future__ import annotations

from typing import Any

from tokend.api.description.shapes import named

Answers = dict[str, Any]

_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}

_PROBLEMS = {
    "400": "the request has to change",
    "401": "no client key, or none that is known",
    "403": "this client may not do this, or has no such app; or a browser, or a proxy, asks",
    "404": "no such key, session or user",
    "408": "the body did not come within five seconds",
    "409": "what was sent is of no use: the configuration has mistakes, or the code is used up",
    "413": "the body is too large",
    "415": "the body is not plain application/json",
    "422": "what a phone sent is not what it should be",
    "429": "too often; later",
    "502": "WeChat said no",
    "503": "later",
}
_LATER = {"429", "503"}


def _problem(status: str) -> Answers:
    return {
        "description": _PROBLEMS[status],
        "content": {"application/problem+json": {"schema": named("Problem")}},
        "headers": _RETRY_AFTER if status in _LATER else {},
    }


def answered(description: str, shape: str, *others: Answers) -> Answers:
    """JSON of that *shape*; *others* are further media types."""
    content = {"application/json": {"schema": named(shape)}}
    for other in others:
        content |= other
    return {"description": description, "content": content}


def body(shape: str) -> Answers:
    """What is sent: JSON of that *shape*."""
    return {"required": True, "content": {"application/json": {"schema": named(shape)}}}


def text(media_type: str) -> Answers:
    return {media_type: {"schema": {"type": "string"}}}


def answers(good: dict[str, Answers], *problems: str) -> Answers:
    return good | {status: _problem(status) for status in sorted(problems)}


# Of whatever asks who asks.
ACCESS = ("401", "403", "429")

# Of whatever reads a body.
BODY = ("400", "408", "413", "415")

# Of whatever is about one key.
KEY = (*ACCESS, "400", "404", "503")
