"""Text is text: nothing that anybody says becomes markup; and what the page says is in all its
languages.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokend.happening import What
from tokend.page.census import Group
from tokend.page.html import element, together
from tokend.page.words import LANGUAGES, WORDS


class Read(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


# HTML knows neither a carriage return nor NUL.
TEXT = st.text(st.characters(exclude_characters="\r\0", codec="utf-8"))


@given(TEXT)
@pytest.mark.parametrize("seed", ["<script>alert(1)</script>", "\"'><img src=x onerror=y>", "&lt;"])
def test_what_others_say_stays_text_in_content_and_attributes(seed: str, text: str) -> None:
    said = seed + text

    read = Read(element("p", said, title=said))

    assert read.tags == [("p", {"title": said})]
    assert read.text == said


def test_markup_within_markup_is_escaped_once() -> None:
    inner = element("b", "1 < 2")

    assert together(inner, " & ", inner) == "<b>1 &lt; 2</b> &amp; <b>1 &lt; 2</b>"


def test_attributes_are_there_with_a_value_without_one_or_not_at_all() -> None:
    made = element("input", name_="q", data_in=1.5, autofocus=True, value=None, hidden=False)

    assert made == '<input name="q" data-in="1.5" autofocus>'


@pytest.mark.parametrize("word", WORDS)
def test_each_text_is_there_in_all_languages_and_takes_the_same(word: str) -> None:
    texts = WORDS[word]

    assert len(texts) == len(LANGUAGES)
    assert {frozenset(name for _, name, _, _ in Formatter().parse(t) if name) for t in texts}
    assert word == "appid" or re.search("[\u4e00-\u9fff{]", texts[1])
    assert not re.search("[\u4e00-\u9fff]", texts[0])


def test_whatever_happens_to_a_key_there_is_a_word_for_it() -> None:
    assert {f"what {what}" for what in What} <= set(WORDS)
    assert {word for group in Group for word in (group, f"{group} is")} <= set(WORDS)
