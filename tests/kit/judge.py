"""What is promised, looked at whenever something happens."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from tokend.policy import OVERLAP, forbids_reports
from tokend.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from kit.week import Node
    from tokend.keeper import Keeper

TERMS = Terms()
DAY = timedelta(days=1)
NEVER = timedelta(days=-100)

# After so long without trouble all is well again, but for what WeChat has refused.
HEALED = TERMS.takeover + TERMS.quarantine + timedelta(seconds=120)

# By all nodes together, while they have one store. Without one each counts for itself.
MOST_FORCED_A_DAY = TERMS.daily + TERMS.reserve
MOST_CALLS_A_MINUTE = 20


@dataclass
class Judge:
    """*broken* promises, each with its time; *seen* counts what happened.

    A token may be dead without tokend's knowing after what *hides* that: somebody else got one,
    WeChat acted on a call and its answer was lost, or others replaced it whom a node cannot hear.
    Then it is found out once there is no trouble, within ``OVERLAP`` (for so long the old one lives
    on) and ``HEALED``; or, where WeChat has refused with 45009 or the like, once it may be asked
    again.
    """

    nodes: int
    broken: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    troubles: set[str] = field(default_factory=set)
    dead_since: dict[tuple[Node, str, int], timedelta] = field(default_factory=dict)
    longest_dead: tuple[timedelta, str] = (timedelta(0), "")
    _quiet_since: timedelta = NEVER
    _hidden_at: timedelta = NEVER
    _refused_at: timedelta = NEVER
    _store_lost_at: timedelta = NEVER
    _leases_unsure_at: timedelta = NEVER
    _forced: deque[timedelta] = field(default_factory=deque)
    _calls: dict[tuple[int, str], deque[timedelta]] = field(default_factory=dict)
    _asking: dict[str, int] = field(default_factory=dict)
    _generations: dict[tuple[Node, str], int] = field(default_factory=dict)
    _good_until: dict[tuple[Node, str], datetime] = field(default_factory=dict)
    _history: object = field(default_factory=sha256)

    # What happens

    @contextmanager
    def during(self, trouble: str, *, hides: bool, shakes_store: bool) -> Iterator[None]:
        self.note(f"{trouble} begins")
        self.troubles.add(trouble)
        self._mark(hides=hides, shakes_store=shakes_store)
        try:
            yield
        finally:
            self._mark(hides=hides, shakes_store=shakes_store)
            self.troubles.discard(trouble)
            self._quiet_since = _now()
            self.note(f"{trouble} ends")

    def _mark(self, *, hides: bool, shakes_store: bool) -> None:
        now = _now()
        self._hidden_at = now if hides else self._hidden_at
        self._leases_unsure_at = now if shakes_store else self._leases_unsure_at

    def store_lost(self) -> None:
        self._store_lost_at = _now()

    def forget(self, node: Node) -> None:
        """It was killed; another one begins anew."""
        for kept in (self._generations, self._good_until, self.dead_since):
            for each in [key for key in kept if key[0] is node]:
                del kept[each]

    def note(self, what: str) -> None:
        """The history says if two runs were the same."""
        self._history.update(f"{_now()} {what}\n".encode())

    @property
    def history(self) -> str:
        return self._history.hexdigest()[:16]

    # What is promised

    def got(self, node: Node, keeper: Keeper, *, is_valid: bool) -> None:
        self._count("tokens used")
        token, place = keeper.current().token, (node, str(keeper.key))
        self.note(f"{node.number} {keeper.key} {token.generation} {is_valid}")
        if token.generation < self._generations.get(place, 0):
            self._break(f"{keeper.key} went back in generation", node)
        self._generations[place] = token.generation
        self._good_until[place] = token.expires_at
        may_be_unknown = self._may_be_unknown(keeper)
        if is_valid:
            return
        self._count("dead ones")
        since = self.dead_since.setdefault((*place, token.generation), _now())
        told = f"{keeper.key} at node {node.number} from {since}"
        self.longest_dead = max(self.longest_dead, (_now() - since, told))
        if not may_be_unknown:
            self._break(f"{keeper.key} is dead", node)

    def got_nothing(self, node: Node, keeper: Keeper, now: datetime) -> None:
        """What was good is not lost before its end."""
        self._count("times without a token")
        until = self._good_until.get((node, str(keeper.key)))
        if until and now < until - timedelta(seconds=1):
            self._break(f"{keeper.key} was lost before its end", node)

    @contextmanager
    def asking(self, node: Node, endpoint: str, *, is_costly: bool) -> Iterator[None]:
        """One node at a time, and no more often than is allowed."""
        self._count(f"calls of {endpoint}")
        self.note(f"{node.number} asks {endpoint}")
        other = self._asking.get(endpoint)
        if other not in {None, node.number} and not self._leases_are_unsure():
            self._break(f"{endpoint} was asked by {other} as well", node)
        self._spend(node, endpoint, is_costly=is_costly)
        self._asking[endpoint] = node.number
        try:
            yield
        finally:
            self._asking.pop(endpoint, None)

    def _spend(self, node: Node, endpoint: str, *, is_costly: bool) -> None:
        now = _now()
        minute = self._calls.setdefault((node.number, endpoint), deque())
        minute.append(now)
        while minute[0] <= now - timedelta(minutes=1):
            minute.popleft()
        if len(minute) > MOST_CALLS_A_MINUTE:
            self._break(f"{endpoint} was asked {len(minute)} times in a minute", node)
        if not is_costly:
            return
        self._count("forced")
        self._forced.append(now)
        while self._forced[0] <= now - DAY:
            self._forced.popleft()
        each_counts = now - self._store_lost_at < DAY
        if len(self._forced) > MOST_FORCED_A_DAY * (self.nodes if each_counts else 1):
            self._break(f"{len(self._forced)} forced in a day", node)
        apart = now - self._forced[-2] if len(self._forced) > 1 else DAY
        if apart < TERMS.pause and not each_counts:
            self._break(f"forced {apart} after the one before", node)

    def _may_be_unknown(self, keeper: Keeper) -> bool:
        """What was hidden is known some time after the last trouble, and hides nothing later."""
        if forbids_reports(keeper.status().error):
            self._refused_at = _now()
        since = max(self._quiet_since, self._hidden_at + OVERLAP, self._refused_at)
        if not self.troubles and _now() > since + HEALED:
            self._hidden_at = NEVER
        return self._hidden_at > NEVER

    def _leases_are_unsure(self) -> bool:
        """Who cannot reach the store asks without a lease where that is harmless; a lease that the
        store lost is given twice, and ends by itself.
        """
        shaken = any(trouble.startswith("store") for trouble in self.troubles)
        return shaken or _now() - self._leases_unsure_at < TERMS.takeover

    def _break(self, promise: str, node: Node) -> None:
        others = f" during {', '.join(sorted(self.troubles))}" if self.troubles else ""
        self.broken.append(f"{_now()} node {node.number}: {promise}{others}")

    def _count(self, what: str) -> None:
        self.seen[what] = self.seen.get(what, 0) + 1


def _now() -> timedelta:
    return timedelta(seconds=round(asyncio.get_running_loop().time(), 6))
