"""What the README shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tokend.api.problems import PROBLEMS
from tokend.cli import COMMANDS
from tokend.config import load

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
def test_its_configurations_load(tmp_path: Path, example: str) -> None:
    for name in ("shop.secret", "blog.secret", "redis.password"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text("0123456789abcdef0123456789abcdef")
    (tmp_path / "tokend.toml").write_text(example)

    config = load(tmp_path / "tokend.toml", environ={})

    assert config.warnings == ()


def test_it_lists_every_command() -> None:
    assert set(re.findall(r"^\| `tokend (\w+)", README, re.MULTILINE)) == set(COMMANDS)


def test_it_lists_every_problem_code() -> None:
    listed = set(re.findall(r"`([a-z_]+)`", README))

    assert {problem.code for _, problem in PROBLEMS} <= listed
