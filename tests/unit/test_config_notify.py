"""[notify.NAME]: who is told, and that nothing of its URL is ever seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tokend.config import load
from tokend.errors import ConfigError
from tokend.model import Secret
from tokend.notify.receiver import Receiver, Topic

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=canary-robot-key"
APP = '[apps.shop]\nappid = "wx0123456789abcdef"\nsecret_file = "shop.secret"\n'
OPS = '[notify.ops]\nformat = "wecom"\nurl_file = "ops.url"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    secrets = {"shop.secret": "0" * 32, "ops.url": URL, "ops.secret": "canary-robot-secret"}
    for name, content in secrets.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(content + "\n")
    return tmp_path


def read(folder: Path, *content: str):
    (folder / "tokend.toml").write_text("".join((APP, *content)))
    return load(folder / "tokend.toml", environ={"CREDENTIALS_DIRECTORY": str(folder)})


def mistakes(folder: Path, *content: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, *content)
    assert "canary" not in str(caught.value)
    return list(caught.value.mistakes)


def test_the_smallest_table_is_told_everything_of_every_app(folder: Path) -> None:
    config = read(folder, OPS)

    assert config.notify == {
        "ops": Receiver(
            name="ops", url=Secret(URL), format="wecom", topics=frozenset(Topic), language="en"
        )
    }
    assert config.warnings == ()
    assert "canary" not in repr(config)


def test_nobody_is_told_unless_that_is_configured(folder: Path) -> None:
    assert read(folder).notify == {}


def test_a_table_may_say_which_apps_and_what_of_them(folder: Path) -> None:
    more = 'apps = ["shop"]\non = ["expired", "refused"]\nlanguage = "zh"\n'
    ops = read(folder, OPS, more).notify["ops"]

    assert (ops.apps, ops.language) == (frozenset({"shop"}), "zh")
    assert ops.topics == {Topic.EXPIRED, Topic.REFUSED}


def test_the_url_and_the_secret_of_signatures_may_be_credentials(folder: Path) -> None:
    ops = read(
        folder,
        '[notify.ops]\nformat = "feishu"\nurl_credential = "ops.url"\n',
        'secret_credential = "ops.secret"\n',
    ).notify["ops"]

    assert (ops.url, ops.secret) == (Secret(URL), Secret("canary-robot-secret"))


def test_such_tables_may_stand_in_files_that_are_included(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "ops.toml").write_text(OPS)
    (folder / "tokend.toml").write_text('include = "more"\n' + APP)

    assert list(load(folder / "tokend.toml", environ={}).notify) == ["ops"]


def test_the_files_are_among_those_that_doctor_looks_at(folder: Path) -> None:
    config = read(folder, OPS.replace("wecom", "dingtalk"), 'secret_file = "ops.secret"\n')

    assert config.secret_files["notify.ops.url_file"] == str(folder / "ops.url")
    assert config.secret_files["notify.ops.secret_file"] == str(folder / "ops.secret")


def test_a_file_that_everyone_can_read_is_warned_about(folder: Path) -> None:
    (folder / "ops.url").chmod(0o644)

    (warning,) = read(folder, OPS).warnings

    assert warning.startswith("notify.ops.url_file: ")
    assert "readable by everyone" in warning


WRONG = {
    f'url = "{URL}"': "notify.ops.url: whoever has it can use it, so it does not belong in this",
    'sekret_file = "x"': "notify.ops.sekret_file: no such setting, did you mean 'secret_file'?",
    'secret = "canary"': "notify.ops.secret: a secret does not belong in this file",
    'secret_file = "ops.secret"': (
        "notify.ops: secret_file and secret_credential are for robots that want signatures"
    ),
    'url_credential = "x"': "notify.ops: needs either url_file or url_credential",
    'apps = ["shopp"]': "notify.ops.apps: 'shopp': no such app, did you mean 'shop'?",
    "apps = []": "notify.ops.apps: must not be empty",
    "on = []": "notify.ops.on: must not be empty",
    'on = ["broken"]': (
        "notify.ops.on[0]: must be 'refused', 'expired', 'failing', 'quota' or 'recovered'"
    ),
    'language = "de"': "notify.ops.language: must be 'en' or 'zh'",
}


@pytest.mark.parametrize("setting", WRONG)
def test_what_is_wrong_is_said_with_its_place(folder: Path, setting: str) -> None:
    (mistake,) = mistakes(folder, OPS, setting)

    assert mistake.startswith(WRONG[setting])


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    told = mistakes(
        folder,
        OPS,
        'language = "de"\n',
        '[notify.one]\nformat = "wecom"\nurl_file = "none.url"\n',
        '[notify.two]\nurl_file = "ops.url"\n',
    )

    assert [mistake.partition(": ")[0] for mistake in told] == [
        "notify.ops.language",
        "notify.one.url_file",
        "notify.two.format",
    ]


@pytest.mark.parametrize(
    "table",
    [
        f'[notify.ops]\nformat = "wecom"\nurl_file = "{URL}"\n',
        f'[notify.ops]\nformat = "wecom"\nurl_credential = "{URL}"\n',
    ],
)
def test_a_url_in_place_of_a_file_is_refused_and_not_shown(folder: Path, table: str) -> None:
    (mistake,) = mistakes(folder, table)

    assert "must name a file; a URL does not belong in this one" in mistake


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("http://hooks.internal/canary", "begins with https://; who can read it"),
        ("hooks.internal/canary", "must hold a URL that begins with https://"),
        ("https:///canary", "must hold a URL that begins with https://"),
        ("https://user:canary@h/", "must hold no user name or password"),
        ("https://h:99999999/canary", "not a URL"),
        ("https://h/canary two", "must hold the secret alone, on one line"),
        ("", "empty"),
    ],
)
def test_a_file_without_a_url_for_it_is_refused_and_not_shown(
    folder: Path, content: str, words: str
) -> None:
    (folder / "ops.url").write_text(content)

    (mistake,) = mistakes(folder, OPS)

    assert mistake.startswith("notify.ops.url_file: ")
    assert words in mistake


def test_plain_http_is_for_loopback(folder: Path) -> None:
    (folder / "ops.url").write_text("http://127.0.0.1:9093/hook")

    assert read(folder, OPS).notify["ops"].url.reveal() == "http://127.0.0.1:9093/hook"
