"""What a check found, and what to do about it. No I/O.

A text says where and what, and never holds a secret or a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is. A *warning* works today and should not stay; what is *bad* does not work."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """*subject* is a word, such as ``files``; *advice* says what to do, with the command."""

    verdict: Verdict
    subject: str
    text: str
    advice: str = ""
