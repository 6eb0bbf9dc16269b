"""``/openapi.json`` says what tokend does: schemathesis asks a live one whatever fits it, and more.

https://schemathesis.readthedocs.io
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.house import House
from kit.process import serving

from tokend.api.description import document

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "operator-canary-key"
CLIENTS = f"""
[clients.operator]
key_sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"
apps = ["*"]
can = ["read", "refresh", "force", "status", "reload", "sign", "login"]

[login]
enabled = true
"""

# Names that are there are drawn too rarely.
THERE = """
[[operations]]
include-path-regex = ".*[{]kind[}].*"
parameters = { "path.app" = "shop", "path.kind" = "access_token" }

[[operations]]
include-path-regex = ".*(jsapi_signature|sessions|users|phone-number|paid-unionid).*"
parameters = { "path.app" = "shop" }
"""

# What is no mistake here: WeChat's routes answer 200 to everything, ``wait`` goes with ``after``
# alone, and the path of signatures is that of a kind, too, for a GET.
# Nor that after thirty wrong keys in a minute even their refusal is refused.
CHECKS = {
    "negative_data_rejection",
    "positive_data_acceptance",
    "allow_header_conformance",
    "missing_required_header",
    "ignored_auth",
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(THERE, id="of names that are there"),
        pytest.param("", id="of any names"),
    ],
)
async def test_no_answer_is_an_error_of_ours_or_undocumented(
    configured: Callable[..., Path], tmp_path: Path, names: str
) -> None:
    path = configured()
    path.write_text(f'{path.read_text()}kinds = ["access_token", "jsapi_ticket"]\n{CLIENTS}')
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(names)
    async with serving(path) as (_, session):
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", str(settings)),
            "run",
            f"{session._base_url}/openapi.json",  # noqa: SLF001, it has no other name
            *("--header", f"Authorization: Bearer {KEY}"),
            *("--max-examples", "25", "--seed", "7", "--workers", "1"),
            *("--phases", "examples,coverage,fuzzing"),
            *("--exclude-checks", ",".join(CHECKS)),
            *("--exclude-path", "/v1/events"),  # which does not end
            "--no-color",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told = (await process.communicate())[0].decode()

    assert process.returncode == 0, told
    left_out = {("get", "/v1/events"), ("get", "/openapi.json")}  # the latter by itself
    assert f"Tested: {len(operations() - left_out)}" in told


def operations() -> set[tuple[str, str]]:
    return {
        (method, path)
        for path, item in json.loads(document())["paths"].items()
        for method in item
        if method != "parameters"
    }


def test_every_route_is_described_and_no_other(folder: Path) -> None:
    """But what is passed on to WeChat, which is WeChat's to describe."""
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in House(folder).app.router.routes()
        if route.method != "HEAD"
    }

    assert routes == operations()
