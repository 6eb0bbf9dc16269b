"""People are told what to do in the language that their environment names."""

from __future__ import annotations

import pytest

from tokend.cli.language import is_chinese, spoken


@pytest.mark.parametrize(
    "environ",
    [
        {"LANG": "zh_CN.UTF-8"},
        {"LANG": "zh"},
        {"LANG": "zh_TW"},
        {"LANG": "zh-Hans-CN.UTF-8"},
        {"LANG": "zh@pinyin"},
        {"LC_MESSAGES": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"},
        {"LC_ALL": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8", "LANG": "C"},
        {"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.UTF-8"},
        {"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"},
        {"LANG": "en_US.UTF-8", "LANGUAGE": "fr:zh"},
        {"LANG": "zh_CN.UTF-8", "LANGUAGE": ""},
    ],
    ids=str,
)
def test_chinese_is_spoken(environ: dict[str, str]) -> None:
    assert is_chinese(environ)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LANG": ""},
        {"LANG": "C.UTF-8"},
        {"LANG": "POSIX"},
        {"LANG": "en_US.UTF-8"},
        {"LANG": "fr_FR.UTF-8"},
        {"LANG": "zha"},
        {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"},
        {"LC_ALL": "fr_FR.UTF-8", "LANG": "zh_CN.UTF-8"},
        {"LC_MESSAGES": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"},
        {"LC_CTYPE": "zh_CN.UTF-8"},
        {"LANG": "zh_CN.UTF-8", "LANGUAGE": "en_GB:zh"},
        {"LANG": "zh_CN.UTF-8", "LANGUAGE": "C:zh"},
        {"LANG": "zh_CN.UTF-8", "LANGUAGE": "fr"},
        {"LC_ALL": "C.UTF-8", "LANGUAGE": "zh"},
        {"LANG": "POSIX", "LANGUAGE": "zh"},
        {"LANGUAGE": "zh"},
    ],
    ids=str,
)
def test_all_others_are_told_in_english(environ: dict[str, str]) -> None:
    assert not is_chinese(environ)


def test_what_there_is_in_english_alone_is_told_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")

    assert spoken("wait", "等待") == "等待"
    assert spoken("wait", "") == "wait"
    assert spoken("", "") == ""
