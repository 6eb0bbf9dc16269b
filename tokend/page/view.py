"""The whole page around the keys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokend.happening import What
from tokend.page.census import Group
from tokend.page.html import Html, element, together
from tokend.page.words import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tokend.page.wanted import Wanted
    from tokend.terms import Terms

# What the script says by itself.
_SAID_BY_SCRIPT = ("live", "polling", "away", "forced", "force title")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What there is to be seen: how many keys of each group, those that are shown, of how many
    pages these are one, and what is wrong with all of it.
    """

    wanted: Wanted
    say: Callable[..., str]
    numbers: Mapping[Group, int]
    rows: Sequence[Html]
    pages: int
    mistakes: Sequence[str]
    store_trouble: str | None
    terms: Terms


def page(view: View) -> str:
    say, wanted = view.say, view.wanted
    main = element(
        "main",
        element("p", say("still"), id="connection"),
        element("p", id="news", role="status"),
        element("p", id="outcome", role="status"),
        element("div", *_alarms(view), id="alarms"),
        _summary(view),
        _search(view),
        element(
            "section",
            element("h2", say("keys"), id="keys-heading"),
            _legend(view),
            element("ul", *view.rows, class_="keys") if view.rows else element("p", say("none")),
            _pages(view),
            id="keys",
            aria_labelledby="keys-heading",
        ),
    )
    body = element(
        "body",
        element("a", say("skip"), href="#keys", class_="skip"),
        _header(view),
        main,
        _dialog(view),
        data_words=_words(view),
    )
    return "<!DOCTYPE html>" + element("html", _head(view), body, lang=wanted.language)


def _head(view: View) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("title", view.say("title")),
        element("link", rel="icon", href="/status/icon.svg"),
        element("link", rel="stylesheet", href="/status/page.css"),
        element("script", src="/status/page.js", defer=True),
    )


def _header(view: View) -> Html:
    links = (
        element(
            "a",
            name,
            href=view.wanted.spoken(language),
            lang=language,
            hreflang=language,
            aria_current="true" if language == view.wanted.language else None,
        )
        for language, name in LANGUAGES.items()
    )
    return element(
        "header",
        element("h1", view.say("title")),
        element("nav", *links, aria_label=view.say("language"), class_="languages"),
    )


def _alarms(view: View) -> Iterator[Html]:
    for mistake in view.mistakes:
        yield element("p", view.say("mistake", text=mistake), class_="alarm")
    if view.store_trouble:
        yield element("p", view.say("store away", text=view.store_trouble), class_="alarm")


def _summary(view: View) -> Html:
    """The worst first; what is not there is not told, but for what is good."""
    groups = (group for group in Group if view.numbers[group] or group is Group.FRESH)
    links = [
        _filter(view, None, sum(view.numbers.values()), "all"),
        *(_filter(view, group, view.numbers[group], group) for group in groups),
    ]
    return element(
        "nav",
        element("ul", *(element("li", link) for link in links)),
        id="summary",
        aria_label=view.say("summary"),
    )


def _filter(view: View, group: Group | None, number: int, word: str) -> Html:
    return element(
        "a",
        element("strong", str(number)),
        " ",
        view.say(word),
        href=view.wanted.only(group),
        class_=f"group {word}",
        aria_current="true" if group == view.wanted.group else None,
    )


def _search(view: View) -> Html:
    kept = {"lang": view.wanted.language if view.wanted.chosen else "", "state": view.wanted.group}
    return element(
        "form",
        element("label", view.say("name"), for_="q"),
        element(
            "input", type="search", id="q", name_="q", value=view.wanted.search, maxlength="100"
        ),
        *(
            element("input", type="hidden", name_=name, value=value)
            for name, value in kept.items()
            if value
        ),
        element("button", view.say("find"), type="submit"),
        action="/status",
        role="search",
    )


def _legend(view: View) -> Html:
    """Of the life lines."""
    kinds = ("before", "token", "overlap", "next", "now", "refresh")
    items = (
        element("li", element("span", class_=kind, aria_hidden="true"), view.say(f"line {kind}"))
        for kind in kinds
    )
    return element("ul", *items, class_="legend")


def _pages(view: View) -> Html:
    number = view.wanted.number
    if view.pages <= 1:
        return Html()
    before = element("a", view.say("previous"), href=view.wanted.page(number - 1), rel="prev")
    after = element("a", view.say("following"), href=view.wanted.page(number + 1), rel="next")
    return element(
        "nav",
        before if number > 1 else "",
        element("span", view.say("page", number=number, last=view.pages)),
        after if number < view.pages else "",
        aria_label=view.say("pages"),
        class_="pages",
    )


def _dialog(view: View) -> Html:
    """What the button asks before it does anything. What does nothing comes first and
    has the focus.
    """
    say, terms = view.say, view.terms
    budget = say(
        "force budget",
        pause=round(terms.pause.total_seconds()),
        daily=terms.daily,
        reserve=terms.reserve,
    )
    buttons = together(
        element("button", say("cancel"), value="cancel"),
        element("button", say("force"), value="force", class_="force"),
    )
    return element(
        "dialog",
        element("h2", id="question"),
        element("p", say("force cost")),
        element("p", budget),
        element("form", buttons, method="dialog"),
        id="ask",
        aria_labelledby="question",
    )


def _words(view: View) -> str:
    """What the script says itself, and of which happenings."""
    said = {word: view.say(word, key="{key}") for word in _SAID_BY_SCRIPT}
    return json.dumps({**said, "what": {what: view.say(f"what {what}") for what in What}})
