"""README.md and README.zh-CN.md say the same: who changes one is told to change the other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
COMMENT = dict.fromkeys(("sh", "toml", "yaml", "console", "python"), "#") | dict.fromkeys(
    ("js", "php", "java", "go", "csharp"), "//"
)


@dataclass
class Section:
    """A heading and what stands below it, up to the next one."""

    level: str
    title: str
    tokens: list[Token] = field(default_factory=list)

    @property
    def shape(self) -> list[str]:
        """Paragraphs, items of lists, rows and cells of tables, blocks of code, as they follow."""
        return [token.type for token in self.tokens if token.nesting >= 0]

    @property
    def code(self) -> list[tuple[str, list[str]]]:
        return [
            (block.info, without_comments(block.info, block.content))
            for block in self.tokens
            if block.type == "fence"
        ]

    @property
    def text(self) -> str:
        return " ".join(part.content for part in self.parts("text"))

    @property
    def names(self) -> set[str]:
        return {part.content for part in self.parts("code_inline")}

    @property
    def numbers(self) -> set[str]:
        return set(re.findall(r"\d+(?:[.,]\d+)*", self.text))

    @property
    def links(self) -> list[str]:
        """Of pictures, too."""
        pictures = " ".join(part.content for part in self.parts("html_inline"))
        return [
            *(unquote(part.attrs["href"]) for part in self.parts("link_open")),
            *re.findall(r'src="([^"]+)"', pictures),
        ]

    def parts(self, kind: str) -> Iterator[Token]:
        for token in self.tokens:
            yield from (part for part in token.children or () if part.type == kind)


def read(name: str) -> list[Section]:
    sections = []
    tokens = iter(MarkdownIt().enable("table").parse((ROOT / name).read_text()))
    for token in tokens:
        if token.type == "heading_open":
            sections.append(Section(token.tag, next(tokens).content))
            next(tokens)  # its end
        else:
            sections[-1].tokens.append(token)
    return sections


def without_comments(language: str, code: str) -> list[str]:
    """The lines: a comment begins one, or stands behind a space."""
    if language not in COMMENT:
        return code.splitlines()
    return [re.sub(rf"(^|\s+){COMMENT[language]}.*", "", line) for line in code.splitlines()]


def anchor(title: str) -> str:
    """What GitHub makes of a heading: letters of all scripts stay, punctuation goes."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


ENGLISH, CHINESE = read("README.md"), read("README.zh-CN.md")
PAIRS = list(zip(ENGLISH, CHINESE, strict=False))  # that they are as many is a test of its own
IN_CHINESE = {
    f"#{anchor(english.title)}": f"#{anchor(chinese.title)}" for english, chinese in PAIRS
}

of_both = pytest.mark.parametrize(
    "sections",
    [pytest.param(ENGLISH, id="README.md"), pytest.param(CHINESE, id="README.zh-CN.md")],
)
of_each_section = pytest.mark.parametrize(
    ("english", "chinese"), [pytest.param(*pair, id=pair[0].title) for pair in PAIRS]
)


def test_headings_have_the_same_levels_in_the_same_order() -> None:
    assert [section.level for section in CHINESE] == [section.level for section in ENGLISH]


@of_each_section
def test_paragraphs_lists_and_rows_of_tables_are_as_many(
    english: Section, chinese: Section
) -> None:
    assert chinese.shape == english.shape


@of_each_section
def test_code_is_the_same_but_for_comments(english: Section, chinese: Section) -> None:
    assert chinese.code == english.code


@of_each_section
def test_commands_settings_and_codes_are_the_same(english: Section, chinese: Section) -> None:
    assert chinese.names == english.names


@of_each_section
def test_no_number_is_left_out(english: Section, chinese: Section) -> None:
    """There may be more: numbers that are words in English."""
    assert english.numbers - chinese.numbers == set()


@of_each_section
def test_links_lead_to_the_same_places(english: Section, chinese: Section) -> None:
    places = {**IN_CHINESE, "README.zh-CN.md": "README.md"}

    assert sorted(chinese.links) == sorted(places.get(link, link) for link in english.links)


@of_both
def test_links_lead_to_headings_and_files_that_are_there(sections: list[Section]) -> None:
    anchors = {f"#{anchor(section.title)}" for section in sections}
    links = {link for section in sections for link in section.links if "://" not in link}

    assert {link for link in links - anchors if not (ROOT / link).is_file()} == set()


def test_each_begins_with_a_link_to_the_other() -> None:
    assert ENGLISH[0].links[0] == "README.zh-CN.md"
    assert CHINESE[0].links[0] == "README.md"


@of_both
def test_no_mark_of_emphasis_is_left_standing(sections: list[Section]) -> None:
    """As where ``**`` stands between punctuation and a letter, which closes nothing."""
    assert [section.title for section in sections if "**" in section.text] == []
