"""One key's record in a store, and how acquire, save and release change it.

Pure: times are microseconds of the store's own clock. The Lua scripts of the Redis store follow
the same rules, step by step; the contract tests hold all stores to them.

The rules, and what they are there for:

* A *lease* is held by one owner until a time. Its *fence* is greater than every fence before it,
  from the clock rather than a counter: a counter repeats numbers when a failover loses a write.
* Acquiring leaves an *intent* in the record before WeChat is asked. If the holder dies, the next
  one finds it and knows that WeChat may have given a token nobody stored.
* What remains silent: a node that asks WeChat after its lease was overtaken twice, and then dies.
  The guard before the call and the quarantine after it keep that from happening.
* Saving is refused under an overtaken fence. A different value that arrives when anybody else
  may have asked WeChat in between is kept as *suspect*: one of the two has superseded the other.
* Values are compared by their digest: what is written of them may be sealed, differently each time.
* A generation is never greater than the fence it is saved under; ``seals`` relies on that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

LONGEST_LEASE = 600 * 1_000_000

# Fences are microseconds of a clock. One that is ten years ahead is nobody's; going on from there
# would come to 2^53, from where on Lua cannot count by one.
_FARTHEST = 10 * 365 * 86400 * 1_000_000
_LARGEST_NUMBER = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is kept of one key. *value*, as it is written, is None until the first save; *digest*
    is empty before that.
    """

    value: str | None = field(default=None, repr=False)
    digest: str = ""
    generation: int = 0
    fence: int = 0
    expires_at: int = 0
    stored_at: int = 0
    doubted_at: int = 0
    suspect: bool = False
    intent: int = 0
    inherited: int = 0
    lease_owner: str = ""
    lease_fence: int = 0
    lease_until: int = 0
    spent: tuple[int, ...] = ()

    @classmethod
    def parse(cls, given: Any) -> Record:
        """Of a dictionary that tokend wrote. Raises ``ValueError`` or ``TypeError`` of others."""
        record = cls(**{**given, "spent": tuple(given.get("spent", ()))})
        if not all(_fits(getattr(record, field.name), field.default) for field in fields(cls)):
            raise ValueError("a field of another type or size")
        return record

    def is_credible(self, now: int) -> bool:
        """Tell if its numbers may be tokend's."""
        numbers = (self.generation, self.fence, self.lease_fence, self.intent, self.stored_at)
        return max(numbers) <= now + _FARTHEST

    def is_leased(self, now: int) -> bool:
        """Tell if somebody holds the lease. One that ends too late, or never, is none of ours:
        it was made under a wrong clock, or by somebody else.
        """
        return bool(self.lease_owner) and now < self.lease_until <= now + LONGEST_LEASE

    def is_refreshed(self, now: int) -> bool:
        """Tell if the holder of the lease is about to."""
        return bool(self.intent) and self.is_leased(now)

    def is_suspect(self, now: int) -> bool:
        """Tell if the value may have been superseded. So it may by a holder who died: the lease
        has run out, and nobody has settled the intent.
        """
        return self.suspect or (bool(self.intent) and not self.is_leased(now))

    def shows(self) -> tuple[object, ...]:
        """What readers can see; a change of it is worth telling other nodes."""
        return (self.value, self.expires_at, self.suspect, bool(self.intent))


def _fits(value: object, default: object) -> bool:
    """Tell if a field may have this *value*. Truth is no number here, though Python counts it."""
    if isinstance(value, tuple):
        return isinstance(default, tuple) and all(_fits(each, 0) for each in value)
    if default is None:
        return value is None or isinstance(value, str)
    is_small = not isinstance(value, int) or 0 <= value <= _LARGEST_NUMBER
    return type(value) is type(default) and is_small


def acquire(
    record: Record, *, owner: str, ttl: int, above: int, quarantine: int, now: int
) -> Record:
    """Give *owner* the lease for *ttl*, with a fence greater than *above*, unless it is taken.

    Whoever asks again with the same *owner* (the answer was lost) gets the same lease again. An
    intent older than *quarantine* makes the kept value suspect, but not the next one: a call made
    under it has been acted on by now. A record that nobody can have written counts as none.
    """
    if not record.is_credible(now):
        record = Record()
    if record.is_leased(now):
        return record
    fence = max(now, record.lease_fence + 1, record.fence + 1, record.generation + 1, above + 1)
    leased = replace(
        record,
        lease_owner=owner,
        lease_fence=fence,
        lease_until=now + ttl,
        intent=fence,
        inherited=0,
    )
    if not record.intent:
        return leased
    is_young = now - record.intent < quarantine
    return replace(leased, suspect=True, inherited=record.intent if is_young else 0)


def save(
    record: Record,
    *,
    owner: str,
    fence: int,
    generation: int,
    value: str,
    digest: str,
    expires_at: int,
    suspect: bool,
    now: int,
) -> Record:
    """Keep *value* under *fence* unless that fence or a greater one has stored another.

    Its *generation* is that fence, or an older one where a lost value is restored; such a one may
    have been *suspect* before.
    """
    if fence <= record.fence:
        return _refuse(record, fence=fence, digest=digest, now=now)
    same = digest == record.digest
    return replace(
        record,
        value=value,
        digest=digest,
        generation=record.generation if same else max(generation, record.generation + 1),
        fence=fence,
        expires_at=expires_at,
        stored_at=now,
        suspect=suspect or (not same and _is_doubtful(record, owner=owner, fence=fence, now=now)),
        intent=0 if record.intent == fence else record.intent,
        inherited=0 if record.intent == fence else record.inherited,
    )


def _refuse(record: Record, *, fence: int, digest: str, now: int) -> Record:
    """Overtaken. But if WeChat has served us after the winner, the winner's value is dead; and so
    may be the one that somebody is about to store who holds the lease by now.
    """
    settled = replace(record, intent=0, inherited=0) if record.intent == fence else record
    return settled if record.digest == digest else replace(settled, suspect=True, doubted_at=now)


def _is_doubtful(record: Record, *, owner: str, fence: int, now: int) -> bool:
    stored_since_acquired = max(record.stored_at, record.doubted_at) > fence
    acquired_since = record.intent != fence
    lease_lost = record.lease_owner != owner or not record.is_leased(now)
    return stored_since_acquired or acquired_since or lease_lost or bool(record.inherited)


def release(record: Record, *, owner: str, fence: int, hold: int, now: int) -> Record:
    """Give the lease back; or, with *hold*, keep everybody from asking WeChat for that long.

    Without *hold* the outcome is known and the intent is settled, which leaves the one that was
    inherited; with it, it stays.
    """
    mine = record.lease_owner == owner and record.is_leased(now)
    if hold:
        return replace(record, lease_until=now + hold) if mine else record
    settled = record
    if record.intent == fence:
        settled = replace(record, intent=record.inherited, inherited=0)
    return replace(settled, lease_owner="", lease_until=0) if mine else settled
