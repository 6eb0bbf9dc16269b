"""What is wrong with a configuration, in words, with its place. Never with a value that may be
a secret: people paste those into the strangest settings.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

_SECRET = re.compile(r"(app|client)?_?(secret|password|token|key)", re.IGNORECASE)

_WORDS = {
    "missing": "is required",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "tuple_type": "must be a list",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "value_error": "{error}",
}


def of_section(error: ValidationError, model: type[BaseModel], place: str) -> Iterator[str]:
    """A line for each thing that pydantic found."""
    for details in error.errors(include_url=False, include_input=False):
        where = "".join(_step(step) for step in details["loc"])
        yield f"{place}{where}: {_what(details, model)}"


def unknown(name: str, known: Iterable[str]) -> str:
    """What is wrong with a setting that nobody knows."""
    if _SECRET.fullmatch(name):
        return (
            "a secret does not belong in this file; put it in a file of mode 0600 and name that "
            "with secret_file"
        )
    near = get_close_matches(name, list(known), n=1)
    return f"no such setting, did you mean '{near[0]}'?" if near else "no such setting"


def _what(details: ErrorDetails, model: type[BaseModel]) -> str:
    if details["type"] == "extra_forbidden":
        return unknown(str(details["loc"][-1]), model.model_fields)
    words = _WORDS.get(details["type"])
    return words.format_map(details.get("ctx", {})) if words else details["msg"]


def _step(step: str | int) -> str:
    return f"[{step}]" if isinstance(step, int) else f".{step}"
