"""If what is kept in the store is sealed, and with which keys. Nothing is changed there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from tokend.errors import RecordUnreadable, StoreError
from tokend.findings import Finding, Verdict
from tokend.login.records import SESSION, USER
from tokend.store.seals import PLAIN, seal_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokend.config import Config
    from tokend.contracts import Shelf
    from tokend.model import TokenKey
    from tokend.store.seals import Seals, Written

_SUBJECT = "store"
_FILE = "store.seal_key_file"


class Sealed(Protocol):
    """What can be looked into."""

    @property
    def shelf(self) -> Shelf: ...

    async def written(self, key: TokenKey) -> Written | None: ...


async def examine(store: Sealed, config: Config) -> list[Finding]:
    """How the records of all configured keys are sealed, and those of users and sessions. Raises
    ``StoreError``.
    """
    used: Counter[str] = Counter()
    found = [*_about(config)]
    for key in config.keys:
        try:
            written = await store.written(key)
            if written is not None:
                config.store_seals.open(written)
                used[seal_of(written.text)] += 1
        except RecordUnreadable as error:
            advice = "find out who wrote it; tokend does not serve it, and replaces it"
            found.append(Finding(Verdict.WARNING, _SUBJECT, str(error), advice))
    if config.login.enabled:
        try:
            await _count_notes(store.shelf, used)
        except StoreError as error:
            return [*found, _uncounted(error)]
    return [*found, *_in_use(config.store_seals, used)]


async def _count_notes(shelf: Shelf, used: Counter[str]) -> None:
    for kind in (SESSION, USER):
        async for _, seal in shelf.sealed(kind):
            used[seal] += 1


def _uncounted(error: StoreError) -> Finding:
    text = f"which keys users and sessions are sealed with is not known: {error}"
    advice = f"leave all lines in {_FILE}; tokend's user in Redis needs +scan"
    return Finding(Verdict.WARNING, _SUBJECT, text, advice)


def _about(config: Config) -> Iterator[Finding]:
    seals = config.store_seals
    if seals.is_plain:
        text = f"tokens are not sealed: {_FILE} is not set"
        more = ", and the session_keys of whoever has logged in" if config.login.enabled else ""
        advice = f"without it, who reads the store has the tokens{more}"
        yield Finding(Verdict.OK, _SUBJECT, text, advice)
        return
    first = seals.ids[0]
    if first == PLAIN:
        text = f"tokens are not sealed: the first line of {_FILE} is 'plain'"
        advice = "once every node has the file, put that line last"
        yield Finding(Verdict.WARNING, _SUBJECT, text, advice)
    else:
        yield Finding(Verdict.OK, _SUBJECT, f"tokens are sealed with key {first}")
    if PLAIN in seals.ids[1:]:
        text = f"{_FILE} has the line 'plain': who writes to the store can have a token served"
        yield Finding(Verdict.WARNING, _SUBJECT, text, "take it out once no record is in plain")
    if config.store.mirror or config.store.mirror_json:
        text = "store.mirror writes tokens as they are into the Redis in which they are sealed"
        advice = "let the programs that read them ask tokend, and take the mirror out"
        yield Finding(Verdict.WARNING, _SUBJECT, text, advice)


def _in_use(seals: Seals, used: Counter[str]) -> Iterator[Finding]:
    first, *others = seals.ids
    if used[first]:
        yield Finding(Verdict.OK, _SUBJECT, f"{_records(used[first])} {_how(first)}")
    for other in others:
        if used[other]:
            text = f"{_records(used[other])} {_how(other)} still"
            advice = f"its line stays in {_FILE} until that many have been saved again"
            yield Finding(Verdict.WARNING, _SUBJECT, text, advice)
        else:
            text = f"no record is {_how(other)} any more"
            advice = f"once no node has it for its first, its line can leave {_FILE}"
            yield Finding(Verdict.OK, _SUBJECT, text, advice)
    for unknown in sorted(used.keys() - seals.ids):
        text = f"{_records(used[unknown])} {_how(unknown)}, for which {_FILE} has no line"
        advice = "put that line back: whose they are cannot log in, and is not known"
        yield Finding(Verdict.WARNING, _SUBJECT, text, advice)


def _records(number: int) -> str:
    return "1 record is" if number == 1 else f"{number} records are"


def _how(id: str) -> str:  # noqa: A002, what it is
    return "in plain" if id == PLAIN else f"sealed with key {id}"
