"""Alerts and dashboard are about metrics that there are; promtool, Prometheus' own, says so."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit import canaries
from kit.metrics import Scraped
from kit.process import at_rest, serving

from tokend.metrics.causes import CAUSES
from tokend.model import State
from tokend.wechat.recipes import ACCESS_TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config/prometheus-rules.yml"
CASES = ROOT / "tests/alerts/prometheus-rules.test.yml"
DASHBOARD = ROOT / "config/grafana-dashboard.json"
README = (ROOT / "README.md").read_text()

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None and os.getuid() != 0,
    reason="promtool is not there, and only root can install it: apt-get install prometheus",
)

ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())
METRIC = re.compile(r"\b(?:tokend|process)_\w+")

# Which words there are for these labels.
WORDS = {
    "state": set(State),
    "error": set(CAUSES),
    "endpoint": {recipe.path for recipe in ACCESS_TOKENS.values()},
}


async def promtool(*arguments: str, given: str = "") -> None:
    """Raises what it complains of."""
    assert PROMTOOL, "apt-get install prometheus"
    process = await asyncio.create_subprocess_exec(
        PROMTOOL,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(given.encode())
    assert process.returncode == 0, said.decode()


def expressions() -> Iterator[str]:
    """All that the dashboard asks Prometheus."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


ASKED = {"rules": RULES.read_text(), "dashboard": "\n".join(expressions())}


@pytest.fixture
async def scraped(configured: Callable[..., Path]) -> Scraped:
    """Of a real tokend."""
    async with serving(configured()) as (_, session):
        await at_rest(session)
        async with session.get("/metrics") as response:
            assert response.status == 200
            text = await response.text()
        canaries.look_at("a scrape", text)
        return Scraped(text)


@needs_promtool
async def test_the_rules_are_rules() -> None:
    await promtool("check", "rules", str(RULES))


@needs_promtool
async def test_each_alert_fires_when_it_is_to_and_not_before() -> None:
    await promtool("test", "rules", str(CASES))


@needs_promtool
async def test_promtool_finds_nothing_wrong_with_a_scrape(scraped: Scraped) -> None:
    await promtool("check", "metrics", given=scraped.text)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tried_both_ways(alert: str) -> None:
    cases = CASES.read_text()

    assert re.search(rf"alertname: {alert}, exp_alerts: \[\]", cases)
    assert re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", cases)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_what_to_do_and_has_a_runbook(alert: str) -> None:
    """Under a heading of its own. Nobody knows the address at which that is read, and a link that
    leads nowhere helps nobody at night.
    """
    rule = RULES.read_text().partition(f"- alert: {alert}\n")[2].partition("- alert:")[0]

    assert f"\n#### {alert}\n" in README
    assert re.search(r"^ +description: >-\n +\S", rule, re.MULTILINE)
    assert "_url:" not in rule
    assert re.search(r"severity: (page|ticket)\n", rule)


def test_each_runbook_is_of_an_alert() -> None:
    assert re.findall(r"^#### (Tokend\w+)$", README, re.MULTILINE) == ALERTS


@pytest.mark.parametrize(
    "text", [RULES.read_text(), "\n".join(expressions())], ids=["rules", "dashboard"]
)
async def test_only_metrics_that_there_are_are_asked_for(scraped: Scraped, text: str) -> None:
    asked = set(METRIC.findall(text))

    assert asked
    assert asked <= scraped.names


@pytest.mark.parametrize(
    "text", [RULES.read_text(), "\n".join(expressions())], ids=["rules", "dashboard"]
)
def test_only_words_that_labels_have_are_asked_for(text: str) -> None:
    asked = re.findall(r'\b(state|error|endpoint)=~?"([^"$]+)"', text)

    assert asked
    for label, words in asked:
        assert set(words.split("|")) <= WORDS[label]


async def test_the_readme_has_every_metric_and_no_other(scraped: Scraped) -> None:
    listed = set(re.findall(r"^\| `(tokend_\w+)", README, re.MULTILINE))

    assert listed == {name for name in scraped.declared if name.startswith("tokend_")}
