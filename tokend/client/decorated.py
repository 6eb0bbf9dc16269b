"""Functions that ``calls`` decorates: they take the token first, and their callers do not."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from tokend.client.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., object]")

_OF_METHODS = ("self", "cls")


def refuse_method(fn: Callable[..., object]) -> None:
    """Its instance would come second. Raises ``UsageError``."""
    first = next(iter(_parameters(fn)), None)
    if first in _OF_METHODS:
        raise UsageError(
            f"{_name(fn)}: calls() is for functions; a method uses call(key, lambda token: …)"
        )


def refuse_coroutine_function(fn: Callable[..., object]) -> None:
    """Whose answer a client for threads would never see. Raises ``UsageError``."""
    if inspect.iscoroutinefunction(fn):
        raise UsageError(f"{_name(fn)}: is a coroutine function, which AsyncClient calls")


def without_token(called: F) -> F:
    """*called* shows the signature that it has, not that of the function in it."""
    first, *rest = [*_parameters(called).values()] or [None]
    if first is not None and first.kind is not inspect.Parameter.VAR_POSITIONAL:
        signature = inspect.signature(called).replace(parameters=rest)
        called.__signature__ = signature  # type: ignore[attr-defined]
    return called


def _parameters(fn: Callable[..., object]) -> dict[str, Any]:
    """None of what is written in C and does not say."""
    try:
        return dict(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        return {}


def _name(fn: Callable[..., object]) -> str:
    return getattr(fn, "__qualname__", type(fn).__name__)
