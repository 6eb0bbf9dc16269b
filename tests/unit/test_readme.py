"""What the README shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp import web
from kit.tls import Authority

from tokend.api.problem_table import PROBLEMS
from tokend.cli.commands import COMMANDS
from tokend.config import load
from tokend.facade import errcodes
from tokend.facade.errcodes import Refused
from tokend.facade.routes import Facade
from tokend.forward.target import read_target
from tokend.model import Permission

README = (Path(__file__).parents[2] / "README.md").read_text()
SDKS = README.partition("\n### What to write\n")[2].partition("\n## ")[0]
DRIVERS = Path(__file__).parents[1] / "sdks"

SECRETS = ("shop.secret", "blog.secret", "robot.secret", "redis.password", "dingtalk.secret")
WEBHOOKS = ("wecom.url", "dingtalk.url", "feishu.url", "slack.url", "pager.url")


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
def test_its_configurations_load(tmp_path: Path, example: str) -> None:
    (tmp_path / "apps.d").mkdir()
    for names, content in ((SECRETS, "0123456789abcdef" * 2), (WEBHOOKS, "https://h/hook")):
        for name in names:
            (tmp_path / name).touch(mode=0o600)
            (tmp_path / name).write_text(content)
    authority = Authority(tmp_path, "clients")
    authority.issue("privkey", "tokend.internal")
    (tmp_path / "fullchain.pem").write_bytes((tmp_path / "privkey.pem").read_bytes())
    (tmp_path / "tokend.toml").write_text(example)

    config = load(tmp_path / "tokend.toml", environ={})

    assert config.warnings == ()


def test_it_lists_every_command() -> None:
    assert set(re.findall(r"^\| `tokend ([\w-]+)", README, re.MULTILINE)) == set(COMMANDS)


def test_it_lists_every_problem_code() -> None:
    listed = set(re.findall(r"`([a-z_]+)`", README))

    assert {problem.code for _, problem in PROBLEMS} <= listed


def test_it_lists_every_permission() -> None:
    assert set(first_cells("| permission |")) == {f"`{each}`" for each in Permission}


def test_its_audit_trail_tells_of_every_permission() -> None:
    what = README.partition("\n- **What**: ")[2].partition("\n- ")[0]

    assert set(Permission) <= set(re.findall(r"`(\w+)`", what))


def test_it_lists_every_route_of_wechats() -> None:
    router = web.UrlDispatcher()
    Facade({}, callers=None, handles=None, follower=None, clock=None).add_to(router)
    routes = {f"`{route.method} {route.resource.canonical}`" for route in router.routes()}
    # Answered as WeChat does: there is no such call.
    no_calls = {"`GET /cgi-bin/stable_token`"}

    listed = set(first_cells("| route |"))

    assert listed == {route for route in routes if not route.startswith("`HEAD ")} - no_calls


def test_its_errcodes_are_those_of_the_wechat_shaped_routes() -> None:
    known = {value for value in vars(errcodes).values() if isinstance(value, int)}

    listed = re.findall(r"`(-?\d+)`", " ".join(first_cells("| errcode |")))

    assert listed
    assert {int(errcode) for errcode in listed} <= known


@pytest.mark.parametrize(
    "path", re.findall(r"`(/\S+)`", " ".join(re.findall(r"^\| `/.*$", README, re.MULTILINE)))
)
def test_what_it_calls_never_passed_on_is_refused(path: str) -> None:
    with pytest.raises(Refused) as refusal:
        read_target(f"{path}/below?access_token=x")

    assert refusal.value.errcode == errcodes.UNAUTHORIZED


@pytest.mark.parametrize(("language", "comment"), [("python", "#"), ("js", "//")])
def test_its_lines_for_sdks_are_those_that_tests_run(language: str, comment: str) -> None:
    drivers = {"python": "python/*_driver.py", "js": "node/*.cjs"}[language]
    run = {code(line, comment) for path in DRIVERS.glob(drivers) for line in lines_of(path)}

    shown = re.findall(rf"```{language}\n(.*?)```", SDKS, re.DOTALL)
    lines = [code(line, comment) for block in shown for line in block.splitlines()[1:]]

    assert lines
    assert set(lines) <= run | {""}


def first_cells(head: str) -> list[str]:
    """Of the rows of the table with this head."""
    rows = README.partition(f"\n{head}")[2].partition("\n\n")[0].splitlines()[2:]
    return [row.split(" | ")[0].removeprefix("| ") for row in rows]


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


def code(line: str, comment: str) -> str:
    """Without what is said about it: a comment stands alone, or two spaces or one behind."""
    return re.sub(rf"(^|\s+){comment}.*", "", line).strip()
