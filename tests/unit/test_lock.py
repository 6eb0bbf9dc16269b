"""What ``systemd/install.sh`` installs is what was locked, and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
LOCK = (PROJECT / "systemd" / "requirements.lock").read_text()
DEPENDENCIES = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]


def locked() -> dict[str, str]:
    """Versions by name."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, re.MULTILINE))


@pytest.mark.parametrize("dependency", DEPENDENCIES)
def test_what_is_locked_is_what_the_project_needs(dependency: str) -> None:
    wanted = Requirement(dependency)

    assert wanted.specifier.contains(locked()[canonicalize_name(wanted.name)])
    assert all(extra in locked() for extra in wanted.extras)


def test_everything_locked_has_a_version_and_a_hash_and_comes_from_nowhere_in_particular() -> None:
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    package = r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; [^\\]+)? \\(\n    --hash=sha256:[0-9a-f]{64}( \\)?)+"

    assert re.fullmatch(f"({package}\n)+", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", ["aiohttp", "redis"])
def test_no_known_hole_may_be_installed(name: str) -> None:
    """CVE-2023-28859: answers of one client for another; PYSEC-2026-4371: smuggled requests."""
    last_with_a_hole = {"aiohttp": "3.14.3", "redis": "4.5.4"}[name]
    (wanted,) = (each for each in map(Requirement, DEPENDENCIES) if each.name == name)

    assert not wanted.specifier.contains(last_with_a_hole)
