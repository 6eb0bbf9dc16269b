"""Faults on the way to WeChat and back, as data."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one request. What is not set happens as it should.

    *endpoint*: only there (``token``, ``stable_token``, …); anywhere if empty.
    *delay*, *late*: seconds before the world acts, and after it has acted.
    *cut*: close the connection instead of answering: ``before`` or ``after`` the world acts.
    *reply*: answer this and let the world know nothing. *merge*: add this to what it answers.
    *body*, *status*, *headers*: answer these. *drip*: seconds between the bytes of the body.
    """

    endpoint: str = ""
    delay: float = 0.0
    late: float = 0.0
    cut: str = ""
    reply: dict[str, Any] | None = None
    merge: dict[str, Any] = field(default_factory=dict)
    body: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip: float = 0.0

    @classmethod
    def parse(cls, given: object) -> Fault:
        """From a JSON object. Raises ``ValueError`` for what no fault has."""
        if not isinstance(given, dict):
            raise ValueError("a fault is a JSON object")  # noqa: TRY004, bad input, not a bug
        known = {each.name for each in fields(cls)}
        if unknown := set(given) - known:
            raise ValueError(f"{min(unknown)}: no fault has this; there are {sorted(known)}")
        if given.get("cut", "") not in {"", "before", "after"}:
            raise ValueError("cut: must be before or after")
        return cls(**given)


FAIR = Fault()


@dataclass(slots=True)
class Weather:
    """*coming* strikes once each, in order; *standing* strikes every request that is left."""

    coming: deque[Fault] = field(default_factory=deque)
    standing: Fault = FAIR
    struck: int = 0

    def strike(self, endpoint: str) -> Fault:
        """The fault that this request meets."""
        for fault in self.coming:
            if fault.endpoint in {"", endpoint}:
                self.coming.remove(fault)
                self.struck += 1
                return fault
        if self.standing != FAIR and self.standing.endpoint in {"", endpoint}:
            self.struck += 1
            return self.standing
        return FAIR
