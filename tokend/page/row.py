"""One key, as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tokend.happening import What
from tokend.page.census import group_of
from tokend.page.drawing import drawn
from tokend.page.html import Html, element, together
from tokend.page.line import Beginning, life_line
from tokend.plan import Purpose
from tokend.remedy import remedy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from tokend.chronicle import Event
    from tokend.clock import Clock
    from tokend.errors import TokendError
    from tokend.model import Status

_MOST_EVENTS = 10

# With these another token came.
_BEGINNINGS = {What.REFRESHED, What.ADOPTED}

_SIGNS = {
    "expired": "✕",
    "missing": "○",
    "failing": "!",
    "suspect": "?",
    "stale": "↻",
    "fresh": "✓",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who shows a key: *say* and *language* are of ``words``, *daily* is the budget of a day. Times
    are told in those of this host, in which a browser counts.
    """

    say: Callable[..., str]
    language: str
    clock: Clock
    daily: int

    def seconds(self, duration: timedelta) -> float:
        return self.clock.deadline(duration) - self.clock.seconds()

    def countdown(self, duration: timedelta) -> Html:
        seconds = max(self.seconds(duration), 0.0)
        return element("time", _clock_face(seconds), data_in=f"{seconds:.1f}")

    def beginning(self, events: Sequence[Event]) -> Beginning | None:
        """Of the token, as far as *events*, the newest first, tell."""
        for number, event in enumerate(events, start=1):
            if event.happening.what in _BEGINNINGS:
                ago = max(self.clock.now() - self.clock.from_wall(event.at), timedelta(0))
                return Beginning(ago, any(older.status.token for older in events[number:]))
        return None


def row(
    status: Status, events: Sequence[Event], *, spent: int, can_force: bool, by: Speaker
) -> Html:
    """*events* are those of the key, the newest first; *spent* of its budget this node has."""
    say, key, group = by.say, str(status.key), group_of(status)
    state = element(
        "p",
        element("span", _SIGNS[group], class_="sign", aria_hidden="true"),
        element("strong", say(group)),
        " ",
        element("span", say(f"{group} is"), class_="meaning"),
        class_="state",
    )
    button = element("button", say("force"), type="button", class_="force", data_force=key)
    return element(
        "li",
        element("h3", key),
        state,
        _line(status, events, by=by),
        _facts(status, spent, by=by),
        together(*_trouble(status, by=by)),
        _history(events, by=by),
        button if can_force else "",
        id=key,
        class_=f"key {group}",
    )


def _line(status: Status, events: Sequence[Event], *, by: Speaker) -> Html:
    line = life_line(status, by.beginning(events))
    label = by.say(
        "line",
        state=by.say(group_of(status)),
        left=_clock_face(by.seconds(status.expires_in)),
        refresh=_clock_face(by.seconds(status.next_refresh_in)),
    )
    return drawn(line, label=label, lasts=by.seconds(line.shown.end - line.shown.begin))


def _facts(status: Status, spent: int, *, by: Speaker) -> Html:
    say, token = by.say, status.token
    facts = {
        "expires in": by.countdown(status.expires_in) if token else say("nothing"),
        "refresh in": by.countdown(status.next_refresh_in),
        "refreshing": _node(status, by=by),
        "failures": str(status.failures),
        "spent": say("of", number=spent, most=by.daily),
        "generation": str(token.generation) if token else say("nothing"),
        "appid": status.key.appid,
    }
    return element(
        "dl",
        *(
            element("div", element("dt", say(name)), element("dd", value))
            for name, value in facts.items()
        ),
    )


def _node(status: Status, *, by: Speaker) -> str:
    return status.refreshing_elsewhere or by.say("here" if status.refreshing else "nothing")


def _trouble(status: Status, *, by: Speaker) -> Iterator[Html]:
    if error := status.error:
        advice = remedy(error).said(by.language)
        yield element(
            "div",
            element("p", element("strong", by.say("error")), ": ", str(error)),
            element("p", element("strong", by.say("advice")), ": ", advice),
            class_="error",
        )
    if trouble := status.record_trouble:
        yield element("p", by.say("record", text=trouble), class_="error")


def _history(events: Sequence[Event], *, by: Speaker) -> Html:
    told = [event for event in events if not _is_as_ever(event)][:_MOST_EVENTS]
    if not told:
        return Html()
    headings = (element("th", by.say(each), scope="col") for each in ("when", "what", "took"))
    return element(
        "details",
        element("summary", by.say("history")),
        element(
            "table",
            element("thead", element("tr", *headings)),
            element("tbody", *(_event(event, by=by) for event in told)),
        ),
    )


def _is_as_ever(event: Event) -> bool:
    """Every few minutes a token is compared with WeChat's."""
    happening = event.happening
    return happening.what is What.UNCHANGED and happening.purpose is Purpose.CONFIRM


def _event(event: Event, *, by: Speaker) -> Html:
    happening = event.happening
    took = "" if happening.took is None else f"{by.seconds(happening.took):.1f}"
    return element(
        "tr",
        element("td", _moment(event.at)),
        element("td", by.say(f"what {happening.what}"), *_why(happening.error)),
        element("td", by.say("seconds", number=took) if took else ""),
    )


def _why(error: TokendError | None) -> tuple[str, ...]:
    return (": ", str(error)) if error else ()


def _moment(when: datetime) -> Html:
    return element("time", f"{when:%H:%M:%S}", datetime=f"{when:%Y-%m-%dT%H:%M:%SZ}")


def _clock_face(seconds: float) -> str:
    """1:54:07, which is read alike in all languages; the script writes the same."""
    minutes, left = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}"
