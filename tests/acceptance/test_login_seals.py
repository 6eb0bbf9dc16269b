"""Operators who replace the key that users and sessions are sealed with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kit.mini_users import Business, User, with_login
from kit.process import one_shot, serving

from tokend.model import Secret
from tokend.store.seal_key import parse_keys

if TYPE_CHECKING:
    from pathlib import Path

    from kit.process import Simulator

OLD, NEW = "0" * 64, "1" * 64
RESEALED = re.compile(r'"notes": (\d+), "event": "resealed"')


def sealing(path: Path, *lines: str) -> Path:
    """The same configuration, with these in its seal key file."""
    keys = path.with_name("seal.key")
    keys.touch(mode=0o600)
    keys.write_text("\n".join(lines))
    if "seal_key_file" not in path.read_text():
        told = path.read_text().replace("[store]", '[store]\nseal_key_file = "seal.key"')
        path.write_text(told)
    return path


async def findings(path: Path) -> str:
    _, said, _ = await one_shot("doctor", str(path), "--json")
    return said


async def test_a_user_who_stays_away_is_known_after_the_old_key_is_gone(
    configured, wechat: Simulator, store: str
) -> None:
    path, ann = with_login(configured(store=store)), User(wechat)
    old, new = parse_keys([Secret(OLD), Secret(NEW)]).ids
    async with serving(sealing(path, OLD, NEW)) as (_, session):
        business = Business(session)
        begun = await business.log_in(await ann.code())
        await business.ask("PUT", f"sessions/{begun['session']}/user", {"user": "ann"})

    sealing(path, NEW, OLD)
    before = await findings(path)
    async with serving(path) as (tokend, _):
        number = await tokend.said(RESEALED)
    after = await findings(path)
    too_early = await findings(sealing(path, "2" * 64))
    async with serving(sealing(path, NEW)) as (_, session):
        business = Business(session)
        known = await business.ask("GET", f"sessions/{begun['session']}")
        again = await business.log_in(await ann.code())

    assert f"3 records are sealed with key {old} still" in before
    assert number[1] == "2"
    assert f"2 records are sealed with key {new}" in after
    assert f"2 records are sealed with key {new}, for which" in too_early
    assert (known["status"], known["user"]) == (200, "ann")
    assert (again["status"], again["user"], again["new"]) == (200, "ann", False)
