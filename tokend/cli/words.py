"""How the state of keys is told to people. What came from WeChat may hold anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokend.cli.language import spoken

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVED = {"fresh", "stale", "suspect"}


def name(key: dict[str, Any]) -> str:
    return plain(f"{key['app']}/{key['kind']}")


def elsewhere(key: dict[str, Any]) -> str:
    """The other node that refreshes it; "" if there is none."""
    return plain(key.get("refreshing_elsewhere") or "")


def error_lines(key: dict[str, Any]) -> list[str]:
    """What is wrong with a key, and what to do about it."""
    error, trouble = key["error"] or {}, key["record_trouble"]
    lines = [f"{name(key)}: {plain(said)}" for said in (error.get("message"), trouble) if said]
    if advice := spoken(error.get("advice", ""), error.get("advice_zh", "")):
        lines.insert(1, f"  {plain(advice)}")
    return lines


def notes(page: dict[str, Any]) -> list[str]:
    """What is wrong with all of tokend."""
    found = [f"not in force: {plain(mistake)}" for mistake in page["configuration_mistakes"]]
    trouble = page["store_trouble"]
    return [f"the store is away: {plain(trouble)}", *found] if trouble else found


def duration(seconds: int) -> str:
    """As an operator reads it: 1h 54m, 4m 59s, 12s."""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {seconds:02d}s" if minutes else f"{seconds}s"


def plain(text: object) -> str:
    """On one line, and with nothing in it that a terminal obeys."""
    said = str(text)
    if said.isprintable():
        return said
    return "".join(char if char.isprintable() else "?" for char in said)


def wrapped(text: str, width: int) -> Iterator[str]:
    """*text* in lines of so many columns, parted between words if there are any; as far as a
    character has room.
    """
    while columns(text) > width:
        line = cut(text, width)
        if not line:
            return
        before, _, _ = line.rpartition(" ")
        if text[len(line)] != " " and before.strip():
            line = before
        yield line
        text = text[len(line) :].lstrip()
    yield text


def cut(text: str, width: int) -> str:
    """As much of it as *width* columns hold."""
    if text.isascii():
        return text[:width]
    taken = 0
    for number, char in enumerate(text):
        taken += columns(char)
        if taken > width:
            return text[:number]
    return text


def columns(text: str) -> int:
    """How many of a terminal's columns it takes: Chinese characters take two."""
    if text.isascii():
        return len(text)
    from unicodedata import east_asian_width  # noqa: PLC0415, of use to few

    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)
