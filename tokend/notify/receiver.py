"""Who is told, and of what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokend.model import Secret


class Topic(StrEnum):
    """What a change is about, in the order in which it is told."""

    REFUSED = "refused"  # WeChat refuses, and only an operator can change that
    EXPIRED = "expired"  # there is no token that can be used
    FAILING = "failing"  # refreshes fail, one after the other
    QUOTA = "quota"  # half, four fifths, all of a day's new tokens are spent
    RECOVERED = "recovered"  # what was told of is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A webhook of this *format*. Its *url* is a secret, and the *secret* is what calls are signed
    with, if they are. *apps* None means every app.
    """

    name: str
    url: Secret
    format: str
    topics: frozenset[Topic]
    apps: frozenset[str] | None = None
    language: str = "en"
    secret: Secret | None = None

    def wants(self, topic: Topic) -> bool:
        return topic in self.topics

    def has(self, app: str) -> bool:
        return self.apps is None or app in self.apps
