"""Which part of the page is wanted, and in which language."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tokend.api.query import parameters
from tokend.errors import BadRequest
from tokend.page.census import Group
from tokend.page.words import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

_LONGEST_SEARCH = 100
_PAGE_DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Keys with *search* in their names, of one *group* or of all, the page of this *number*.

    A language that was *chosen* is that of links, too; otherwise each request says its own.
    """

    language: str
    chosen: bool = False
    search: str = ""
    group: Group | None = None
    number: int = 1

    @classmethod
    def of(cls, request: web.Request) -> Wanted:
        """``?lang=<en or zh>&q=<part of a name>&state=<group>&page=<number>``. Raises
        ``BadRequest``.
        """
        query = parameters(request, "lang", "q", "state", "page")
        return cls(
            language=_language(query.get("lang", ""), request.headers.get("Accept-Language", "")),
            chosen="lang" in query,
            search=_search(query.get("q", "")),
            group=_group(query.get("state", "")),
            number=_number(query.get("page", "1")),
        )

    def page(self, number: int) -> str:
        return replace(self, number=number).url

    def only(self, group: Group | None) -> str:
        return replace(self, group=group, number=1).url

    def spoken(self, language: str) -> str:
        return replace(self, language=language, chosen=True).url

    @property
    def url(self) -> str:
        query = urlencode(list(self._query()))
        return f"/status?{query}" if query else "/status"

    def _query(self) -> Iterator[tuple[str, str]]:
        if self.chosen:
            yield "lang", self.language
        if self.search:
            yield "q", self.search
        if self.group:
            yield "state", self.group
        if self.number > 1:
            yield "page", str(self.number)


def _language(asked: str, accepted: str) -> str:
    if asked and asked not in LANGUAGES:
        raise BadRequest(f"lang: must be one of {', '.join(LANGUAGES)}")
    return asked or _preferred(accepted)


def _preferred(accepted: str) -> str:
    """By Accept-Language, the first of ours where nothing in it is.

    https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4
    """
    weights = dict.fromkeys(LANGUAGES, 0.0)
    for each in accepted.split(","):
        tag, _, parameter = each.partition(";")
        language = tag.strip().lower().partition("-")[0]
        if language in weights:
            weights[language] = max(weights[language], _weight(parameter))
    return max(weights, key=weights.__getitem__)


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if not name:
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def _search(text: str) -> str:
    if len(text) > _LONGEST_SEARCH:
        raise BadRequest(f"q: at most {_LONGEST_SEARCH} characters")
    return text.strip().lower()


def _group(text: str) -> Group | None:
    try:
        return Group(text) if text else None
    except ValueError:
        raise BadRequest(f"state: must be one of {', '.join(Group)}") from None


def _number(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= _PAGE_DIGITS
    if not (is_number and int(text)):
        raise BadRequest("page: must be a number from 1 on")
    return int(text)
