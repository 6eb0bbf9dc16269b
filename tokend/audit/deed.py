"""What somebody asks for, and what comes of it. Never a value, never a key of a client."""

from __future__ import annotations

from dataclasses import dataclass, fields

OK = "ok"

# Nothing had to be done: the token that was reported is not the current one.
UNNEEDED = "unneeded"

# Somebody who may not, or may not now.
DENIALS = frozenset(
    {
        "unauthorized",
        "forbidden",
        "proxied",
        "refresh_limited",
        "too_many_wrong_keys",
        "too_many_polls",
        "crowded",
    }
)

# Each of these is told, where reads are told by the first and a number.
_ACTS = frozenset({"refresh", "force", "reload", "replaced"})

_LONGEST = 120


@dataclass(slots=True, kw_only=True)
class Deed:
    """Filled in while it is being done; what is empty is not known, or does not apply.

    *who* is a client, ``socket uid=1000``, ``loopback``, ``SIGHUP`` or ``tokend`` itself; empty for
    a stranger. *key* is one that is configured, *path* that of a call which is passed on.
    *generation* is the token's that is given or now current, *before* that of the one it replaced,
    or was to replace.
    A deed *of_power* is told each time, although most of its kind are not.
    """

    where: str = ""
    route: str = ""
    what: str = ""
    who: str = ""
    key: str = ""
    path: str = ""
    before: int = 0
    generation: int = 0
    outcome: str = ""
    of_power: bool = False

    @property
    def is_act(self) -> bool:
        """Tell if it changes something for others than who does it."""
        return self.what in _ACTS or self.of_power or self.has_replaced

    @property
    def has_failed(self) -> bool:
        """Tell if somebody may not, or if what would have changed something came to nothing."""
        is_attempt = self.is_act or bool(self.before)
        return self.outcome != OK and (is_attempt or self.outcome in DENIALS)

    @property
    def has_replaced(self) -> bool:
        return bool(self.before) and self.before != self.generation

    def facts(self) -> dict[str, object]:
        """What there is to tell, harmless in any log."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        del told["of_power"]
        return {name: _harmless(value) for name, value in told.items() if value}


def _harmless(value: object) -> object:
    """On one line, not too long, and nothing that a terminal or a log viewer would act on."""
    return ascii(str(value))[1:-1][:_LONGEST] if isinstance(value, str) else value
