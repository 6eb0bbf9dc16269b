"""HTML that is escaped because there is no other way to make it.

A template engine would be a dependency and a second language for a page of four screens; a format
string would leave it to each line to escape what others wrote.
"""

from __future__ import annotations

from html import escape
from typing import TypeAlias

# They have no content, and no end.
_VOID = {"input", "link", "meta"}


class Html(str):
    """What is markup already. Any other string is text."""

    __slots__ = ()


Attribute: TypeAlias = "str | float | bool | None"


def element(name: str, *content: str, **attributes: Attribute) -> Html:
    """``<name>``; *content* that is not ``Html`` is escaped. Of attributes, ``class_`` is class and
    ``data_in`` is data-in; True is one without a value, False and None are none.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{together(*content)}</{name}>")


def together(*content: str) -> Html:
    return Html("".join(each if isinstance(each, Html) else escape(each) for each in content))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
