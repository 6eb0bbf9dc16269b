"""What may be said of logins in the configuration, and what takes a restart."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from tokend.config import load
from tokend.errors import ConfigError
from tokend.reload import Reload

if TYPE_CHECKING:
    from pathlib import Path

    from tokend.config import Config

_APP = '[apps.shop]\nappid = "wx0123456789abcdef"\nsecret_file = "shop.secret"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    secret = tmp_path / "shop.secret"
    secret.touch(mode=0o600)
    secret.write_text("0" * 32)
    return tmp_path


def read(folder: Path, login: str) -> Config:
    path = folder / "tokend.toml"
    path.write_text(f"{_APP}[login]\n{login}\n")
    return load(path, environ={})


@pytest.mark.parametrize(
    ("login", "mistake"),
    [
        ("enable = true", "login.enable: no such setting, did you mean 'enabled'?"),
        ('enabled = "yes"', "login.enabled: must be true or false"),
        ("session_seconds = 299", "login.session_seconds: must be at least 300"),
        ("session_seconds = 31536001", "login.session_seconds: must be at most 31536000"),
        ("session_seconds = 3600.5", "login.session_seconds: must be a whole number"),
        ("sliding = 1", "login.sliding: must be true or false"),
        ("data_age_seconds = -1", "login.data_age_seconds: must be at least 0"),
        ('data_age_seconds = "5m"', "login.data_age_seconds: must be a whole number"),
    ],
)
def test_a_mistake_is_told_with_its_place(folder: Path, login: str, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(folder, login)

    assert caught.value.mistakes == (mistake,)


def test_who_may_log_users_in_before_that_is_enabled_is_warned_about(folder: Path) -> None:
    client = f'[clients.server]\nkey_sha256 = "{"0" * 64}"\napps = ["*"]\ncan = ["login"]\n'

    assert read(folder, f"enabled = false\n{client}").warnings == (
        "clients.server.can: 'login' does nothing until login.enabled is true",
    )
    assert read(folder, f"enabled = true\n{client}").warnings == ()


@pytest.mark.parametrize(
    "changed",
    ["enabled = false", "session_seconds = 300", "sliding = false", "data_age_seconds = 0"],
)
async def test_a_change_takes_a_restart(folder: Path, changed: str) -> None:
    before = read(folder, "enabled = true")
    after = changed if changed.startswith("enabled") else f"enabled = true\n{changed}"
    reload = Reload(
        before,
        read=lambda: read(folder, after),
        apply=lambda _: pytest.fail("taken over"),
        reloading=nullcontext,
        on_signal=lambda _: None,
    )

    with pytest.raises(ConfigError, match=r"^login: a change here takes a restart"):
        await reload.reload()
