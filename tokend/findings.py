"""What a check found, and what to do about it. No I/O.

A text says where and what, and never holds a secret or a token.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Of one subject and as bad as each other; nobody reads more.
_MOST_ALIKE = 20


class Verdict(StrEnum):
    """How bad it is. A *warning* works today and should not stay; what is *bad* does not work."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """*subject* is a word, such as ``files``; *advice* says what to do, with the command. What to
    do about a refusal of WeChat's is there in Chinese as well, as *advice_zh*.
    """

    verdict: Verdict
    subject: str
    text: str
    advice: str = ""
    advice_zh: str = ""


def shortened(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The first of each sort, and how many more there are of it."""
    number: Counter[tuple[Verdict, str]] = Counter()
    for finding in findings:
        number[finding.verdict, finding.subject] += 1
        if number[finding.verdict, finding.subject] <= _MOST_ALIKE:
            yield finding
    for (verdict, subject), found in number.items():
        if found > _MOST_ALIKE:
            yield Finding(verdict, subject, f"and {found - _MOST_ALIKE} more, which --json tells")
