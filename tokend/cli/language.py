"""In which language people are told what to do about a key that fails; all else is English.

https://www.gnu.org/software/gettext/manual/html_node/Locale-Environment-Variables.html
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The first that is set and not empty names the locale.
_LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")

_NONE = {"C", "POSIX"}
_SPOKEN = {"en", "zh"} | _NONE


def spoken(english: str, chinese: str) -> str:
    """The one of the two that the environment asks for; English where that is all there is."""
    return (chinese if is_chinese(os.environ) else "") or english


def is_chinese(environ: Mapping[str, str]) -> bool:
    """Tell if Chinese is asked for before English.

    ``LANGUAGE`` is a list, the best first; it counts before the locale, unless that is C.
    """
    locale = next((environ[name] for name in _LOCALE if environ.get(name)), "C")
    asked = "" if _language(locale) in _NONE else environ.get("LANGUAGE", "")
    wanted = map(_language, (asked or locale).split(":"))
    return next((each for each in wanted if each in _SPOKEN), "en") == "zh"


def _language(locale: str) -> str:
    """``zh`` of ``zh_CN.UTF-8``, ``C`` of ``C.UTF-8``."""
    for mark in "_-.@":
        locale = locale.partition(mark)[0]
    return locale
