"""What is told of a key, and of what happens to it, has the shape that ``/openapi.json`` says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema_rs import Draft202012Validator

from tokend.api import wire
from tokend.api.description.shapes import SHAPES, named
from tokend.chronicle import Event
from tokend.errors import TokendError, UpstreamRefused
from tokend.happening import Happening, What
from tokend.model import Secret, State, Status, Token, TokenKey
from tokend.plan import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 11, 21, 20, 0, 56, 789_000, UTC)
KEY = TokenKey(app="shop", appid="wx0123456789abcdef", kind="access_token")


def shape(name: str) -> Draft202012Validator:
    components = {"components": {"schemas": SHAPES}}
    return Draft202012Validator({**named(name), **components}, validate_formats=True)


def kinds(of: type[TokendError] = TokendError) -> Iterator[type[TokendError]]:
    """All errors that there are."""
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


def error(kind: type[TokendError]) -> TokendError:
    if issubclass(kind, UpstreamRefused):
        return kind(40164, "invalid ip 203.0.113.9", advice="add it to the whitelist")
    return kind.__new__(kind, "nobody is there")


ERRORS = [None, *map(error, kinds())]
TOKENS = [
    None,
    *(
        Token(value=Secret("a token"), generation=generation, fence=generation, expires_at=NOW)
        for generation in (0, 1_795_291_256)
    ),
]


def status(
    state: State = State.FRESH,
    token: Token | None = None,
    failed: TokendError | None = None,
    *,
    refreshing: bool = False,
    trouble: str | None = None,
    seconds: float = 3449.9,
) -> Status:
    return Status(
        key=KEY,
        state=state,
        token=token,
        expires_in=timedelta(seconds=seconds),
        refreshing=refreshing,
        next_refresh_in=timedelta(seconds=seconds / 2),
        failures=3 if failed else 0,
        error=failed,
        record_trouble=trouble,
    )


STATUSES = [
    *(status(*each) for each in product(State, TOKENS, ERRORS)),
    status(refreshing=True),
    status(trouble="the record is not tokend's"),
    status(seconds=0),
]
HAPPENINGS = [
    Happening(what=what, purpose=purpose, took=took, error=failed)
    for what, purpose, took, failed in product(
        What, [None, *Purpose], [None, timedelta(0), timedelta(seconds=0.131_4)], ERRORS
    )
]


def events() -> list[dict[str, Any]]:
    return [
        wire.event_json(Event(number=17, at=NOW, happening=happening, status=status()))
        for happening in HAPPENINGS
    ]


def statuses() -> list[dict[str, Any]]:
    return [wire.status_json(each, NOW) for each in STATUSES]


@pytest.mark.parametrize(("name", "told"), [("Key", statuses()), ("Event", events())])
def test_whatever_is_told_has_its_shape(name: str, told: list[dict[str, Any]]) -> None:
    fits = shape(name)

    assert len(told) > 300
    for each in told:
        fits.validate(each)


@pytest.mark.parametrize(("name", "told"), [("Key", statuses()), ("Event", events())])
def test_all_that_stands_in_the_shape_is_told(name: str, told: list[dict[str, Any]]) -> None:
    in_errors = {field for each in told for field in each["error"] or ()}

    assert {field for each in told for field in each} == set(SHAPES[name]["properties"])
    assert in_errors == set(SHAPES[name]["properties"]["error"]["anyOf"][0]["properties"])
