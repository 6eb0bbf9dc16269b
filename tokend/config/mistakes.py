"""What is wrong with a configuration, in words, with its place. Never with a value that may be
a secret: people paste those into the strangest settings.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pydantic_core import ErrorDetails

_Settings = TypeVar("_Settings", bound=BaseModel)

_SECRET = re.compile(r"(app|client)?_?(secret|password|token|key)", re.IGNORECASE)

_WORDS = {
    "missing": "is required",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "greater_than_equal": "must be at least {ge:.10g}",
    "less_than_equal": "must be at most {le:.10g}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "value_error": "{error}",
}


# To compare with more names takes seconds for each mistake.
_MOST_GUESSED = 1000

# An operator mends the first ones first. 'tokend check' tells all.
_MOST_TOLD = 100

# What stands before the first table, and would belong to the one above it.
_AT_THE_TOP = {"include"}


def validated(
    given: object, model: type[_Settings], place: str, mistakes: list[str]
) -> _Settings | None:
    """What *model* makes of a table; or None, and *mistakes* has what is wrong with it."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        mistakes += _of_table(error, model, place)
        return None


def first(lines: Sequence[str]) -> Iterator[str]:
    """As many as a log, or an answer over HTTP, is to hold."""
    yield from lines[:_MOST_TOLD]
    if len(lines) > _MOST_TOLD:
        yield f"and {len(lines) - _MOST_TOLD} more, which 'tokend check' tells"


def unknown(name: str, known: Collection[str]) -> str:
    """What is wrong with a setting that nobody knows."""
    if name == "url" and "url_file" in known:
        return (
            "whoever has it can use it, so it does not belong in this file; put it in a file of "
            "mode 0600 and name that with url_file"
        )
    if _SECRET.fullmatch(name):
        return (
            "a secret does not belong in this file; put it in a file of mode 0600 and name that "
            "with secret_file"
        )
    if name in _AT_THE_TOP:
        return "stands at the top of the file, before the first [table]"
    return f"no such setting{guess(name, known)}"


def guess(name: str, known: Collection[str]) -> str:
    """Which of the *known* names may be meant, as the end of a sentence."""
    near = get_close_matches(name, known, n=1) if len(known) <= _MOST_GUESSED else []
    return f", did you mean '{near[0]}'?" if near else ""


def _of_table(error: ValidationError, model: type[BaseModel], place: str) -> Iterator[str]:
    """A line for each thing that pydantic found."""
    for details in error.errors(include_url=False, include_input=False):
        where = "".join(_step(step) for step in details["loc"])
        yield f"{place}{where}: {_what(details, model)}"


def _what(details: ErrorDetails, model: type[BaseModel]) -> str:
    if details["type"] == "extra_forbidden":
        return unknown(str(details["loc"][-1]), model.model_fields)
    words = _WORDS.get(details["type"])
    return words.format_map(details.get("ctx", {})) if words else details["msg"]


def _step(step: str | int) -> str:
    return f"[{step}]" if isinstance(step, int) else f".{step}"
