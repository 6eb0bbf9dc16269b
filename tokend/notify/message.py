"""Many changes as one text, and as data. What others have said cannot break out of either."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from tokend.errors import UpstreamRefused
from tokend.notify.phrases import PHRASES
from tokend.notify.receiver import Topic
from tokend.remedy import remedy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokend.notify.news import News
    from tokend.notify.phrases import Phrases

# WeCom takes 2048 bytes of text, and the others more.
# https://developer.work.weixin.qq.com/document/path/91770
LONGEST = 2048

_MOST_NAMES = 5
_MOST_CAUSES = 3
_LONGEST_CAUSE = 200
# Among these many of a topic causes are looked for; nobody reads more.
_MOST_LOOKED_AT = 100

_MINUTE = timedelta(minutes=1)

# Mentions, links and markup are made of these, in one format or another. Each is still to be read
# in what stands for it.
_HARMLESS = str.maketrans("<>@&`*[]", "‹›＠＆'∗［］")


@dataclass(frozen=True, slots=True)
class Message:
    """What is told at once: as *text*, and as *data* that is JSON."""

    text: str
    data: dict[str, Any]


def compose(news: Sequence[News], *, host: str, language: str, dropped: int = 0) -> Message:
    """In the words of *language*, from the node on *host*; *dropped* went before and were never
    told.
    """
    words, host = PHRASES[language], _harmless(host)
    groups = list(_by_topic(news))
    paragraphs = [_paragraph(each, words) for each in groups]
    title = words.title.format(host=host)
    end = [words.dropped.format(number=dropped)] if dropped else []
    data = {
        "host": host,
        "counts": _counts(groups),
        "changes": [_change(each, words) for each in islice(news, _MOST_LOOKED_AT)],
        "dropped": dropped,
    }
    return Message(_fitted(title, paragraphs, end), data)


def _by_topic(news: Sequence[News]) -> Iterator[list[News]]:
    """In the order of topics, and of spent budgets the fuller ones first."""
    for topic in Topic:
        group = [each for each in news if each.topic is topic]
        for percent in sorted({each.percent for each in group}, reverse=True):
            yield [each for each in group if each.percent == percent]


def _counts(groups: list[list[News]]) -> Counter[Topic]:
    counts: Counter[Topic] = Counter()
    for group in groups:
        counts[group[0].topic] += len(group)
    return counts


def _paragraph(news: list[News], words: Phrases) -> list[str]:
    """Its first line says all that must be said."""
    topic = news[0].topic
    first = words.topics[topic].format(what=_what(news, words), percent=news[0].percent)
    return [first, *_left(news, words), *_causes(news[:_MOST_LOOKED_AT], words)]


def _what(news: list[News], words: Phrases) -> str:
    names = _names(news, words)
    if len(news) == 1:
        return names
    apps = len({each.key.app for each in news})
    return words.keys.format(keys=len(news), apps=_Counted(apps), names=names)


def _names(news: list[News], words: Phrases) -> str:
    names = words.names.join(str(each.key) for each in news[:_MOST_NAMES])
    more = len(news) - _MOST_NAMES
    return names + (words.more.format(more=more) if more > 0 else "")


class _Counted(int):
    """``{apps:app}`` is the noun for so many."""

    def __format__(self, noun: str) -> str:
        return (noun if self == 1 else f"{noun}s") if noun else str(int(self))


def _left(news: list[News], words: Phrases) -> Iterator[str]:
    if news[0].topic not in {Topic.REFUSED, Topic.FAILING}:
        return
    first = min(each.left for each in news)
    if first > timedelta(0):
        yield words.left.format(minutes=max(first // _MINUTE, 1))


def _causes(news: list[News], words: Phrases) -> Iterator[str]:
    """Each of the most frequent ones with what to do; what is to be done for several once."""
    causes = Counter((_why(each, words), _todo(each, words)) for each in news)
    said = ""
    for (why, todo), _ in causes.most_common(_MOST_CAUSES):
        if why:
            yield f"- {words.why.format(text=why)}"
        if todo and todo != said:
            yield f"- {words.todo.format(text=todo)}"
            said = todo


def _why(news: News, words: Phrases) -> str:
    if news.ended:
        return words.ended[news.ended]
    return _harmless(str(news.error))[:_LONGEST_CAUSE] if news.error else ""


def _todo(news: News, words: Phrases) -> str:
    if news.topic is Topic.QUOTA:
        return words.quota_advice
    if news.topic is Topic.RECOVERED or news.error is None:
        return ""
    return _harmless(remedy(news.error).said(words.language))


def _change(news: News, words: Phrases) -> dict[str, Any]:
    told = {
        "topic": news.topic,
        "at": news.at.isoformat(timespec="seconds"),
        "app": news.key.app,
        "appid": news.key.appid,
        "kind": news.key.kind,
        "expires_in": max(news.left // timedelta(seconds=1), 0),
        "errcode": news.error.errcode if isinstance(news.error, UpstreamRefused) else None,
        "why": _why(news, words) or None,
        "todo": _todo(news, words) or None,
        "percent": news.percent or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _fitted(title: str, paragraphs: list[list[str]], end: list[str]) -> str:
    """Short enough for everybody: the last details go first."""
    while True:
        text = "\n".join([title, *(line for each in paragraphs for line in each), *end])
        if len(text.encode()) <= LONGEST:
            return text
        longest = next((each for each in reversed(paragraphs) if len(each) > 1), None)
        if longest is None:
            return text.encode()[: LONGEST - 3].decode(errors="ignore") + "…"
        longest.pop()


def _harmless(text: str) -> str:
    printable = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return printable.translate(_HARMLESS)
