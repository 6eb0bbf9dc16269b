"""What tokend doctor finds in the network: hosts that answer or not, and a real Redis."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.upstream import http, upstream

from tokend.checkup import reach, store
from tokend.config import load
from tokend.findings import Finding, Verdict
from tokend.wechat.transport import open_transport

if TYPE_CHECKING:
    from pathlib import Path

    from kit.clock import ManualClock

DATED = http(b"", headers="Date: Fri, 20 Nov 2026 07:59:50 GMT\r\n")
REDIS = """\
[store]
url = "{url}"
[apps.shop]
appid = "wx0123456789abcdef"
secret_file = "shop.secret"
"""


@pytest.fixture
def closed() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def visits(clock: ManualClock, *urls: str, proxy: str = "") -> list[reach.Visit]:
    async with open_transport(urls, deadline=timedelta(seconds=8), proxy=proxy) as transport:
        return await reach.visit(urls, transport, clock)


async def found(clock: ManualClock, *urls: str, proxy: str = "") -> list[Finding]:
    return list(reach.examine(await visits(clock, *urls, proxy=proxy), proxy=proxy))


async def test_a_host_that_answers_is_ok_and_tells_its_time(clock: ManualClock) -> None:
    async with upstream(DATED) as wechat:
        (visit,) = await visits(clock, wechat.url)

    (finding,) = reach.examine([visit], proxy="")
    assert (finding.verdict, finding.text) == (Verdict.OK, f"{wechat.url}: answers in 0.00 s")
    assert visit.ahead == timedelta(seconds=10)


@pytest.mark.parametrize("status", ["302 Found", "404 Not Found", "502 Bad Gateway"])
async def test_any_answer_shows_that_it_is_there(clock: ManualClock, status: str) -> None:
    answer = http(b"", status=status, headers="Location: http://127.0.0.1:1/\r\n")
    async with upstream(answer) as wechat:
        (finding,) = await found(clock, wechat.url)

    assert finding.verdict is Verdict.OK
    assert len(wechat.requests) == 1


async def test_a_host_that_is_away_is_bad_and_says_why(clock: ManualClock, closed: str) -> None:
    (finding,) = await found(clock, closed)

    assert finding.verdict is Verdict.BAD
    assert finding.text.startswith(f"{closed}: Connect call failed")
    assert closed in finding.advice


async def test_it_is_a_warning_while_another_one_answers(clock: ManualClock, closed: str) -> None:
    async with upstream(DATED) as wechat:
        verdicts = [finding.verdict for finding in await found(clock, closed, wechat.url)]

    assert verdicts == [Verdict.WARNING, Verdict.OK]


async def test_a_host_is_visited_through_the_proxy(clock: ManualClock) -> None:
    async with upstream(DATED) as proxy:
        (finding,) = await found(clock, "http://api.weixin.example", proxy=proxy.url)

    assert proxy.requests[0].startswith(b"HEAD http://api.weixin.example/ ")
    assert finding.text.endswith(f" s (through {proxy.url})")


async def test_a_proxy_that_refuses_is_told(clock: ManualClock) -> None:
    async with upstream(http(b"", status="403 Forbidden")) as proxy:
        (finding,) = await found(clock, "https://api.weixin.example", proxy=proxy.url)

    assert finding.verdict is Verdict.BAD
    assert finding.text == (
        f"https://api.weixin.example: the proxy did not let it through (through {proxy.url})"
    )


def configured(folder: Path, url: str) -> Path:
    (folder / "shop.secret").touch(mode=0o600)
    (folder / "shop.secret").write_text("0123456789abcdef0123456789abcdef")
    path = folder / "tokend.toml"
    path.write_text(REDIS.format(url=url))
    return path


async def test_a_redis_that_answers_is_examined(
    folder: Path, clock: ManualClock, redis_socket: Path
) -> None:
    config = load(configured(folder, f"unix://{redis_socket}"), environ={})

    reached, *examined = await store.examine(config, clock)

    assert reached.verdict is Verdict.OK
    assert any("every script runs" in finding.text for finding in examined)
    assert all(finding.verdict is not Verdict.BAD for finding in examined)


async def test_the_keys_of_a_mirror_are_tried(
    folder: Path, clock: ManualClock, redis_socket: Path
) -> None:
    path = configured(folder, f"unix://{redis_socket}")
    mirror = 'mirror = ["wx:{appid}"]\n[apps.shop]'
    path.write_text(path.read_text().replace("[apps.shop]", mirror))

    _, *examined = await store.examine(load(path, environ={}), clock)

    assert any("the keys of the mirror may be written" in finding.text for finding in examined)


async def test_a_redis_that_is_away_is_bad(folder: Path, clock: ManualClock) -> None:
    config = load(configured(folder, "unix:///nowhere.sock"), environ={})

    (finding,) = await store.examine(config, clock)

    assert finding.verdict is Verdict.BAD
    assert finding.text.startswith("store.url: unix:///nowhere.sock: redis: ")
