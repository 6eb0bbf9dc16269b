"""The Python client by https: whom it trusts, and what it says of certificates that are no good."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import TYPE_CHECKING

import pytest
from kit.stranger import saying, stranger
from kit.tls import Authority

if TYPE_CHECKING:
    from pathlib import Path

ISSUED = {"app": "shop", "kind": "access_token", "access_token": "92_1", "generation": 1}

# In a process of its own, because aiohttp reads whom to trust when it is imported.
_READING = """\
import asyncio, sys
from datetime import timedelta
from tokend.client import AsyncClient, Away, Client

how = {"url": sys.argv[1], "key_file": sys.argv[2], "patience": timedelta(seconds=1)}

def read():
    with Client(**how) as client:
        return client.token("shop/access_token")

async def read_by_aiohttp():
    async with AsyncClient(**how) as client:
        return await client.token("shop/access_token")

for reading in (read, lambda: asyncio.run(read_by_aiohttp())):
    try:
        print(reading())
    except Away as error:
        print(error)
"""


async def read(folder: Path, trusted: Path, certificate: Path) -> tuple[str, list[str]]:
    """The URL, and what the two clients print that show a key there."""
    (folder / "key").write_text("canary")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    body = json.dumps({**ISSUED, "expires_in": 7200})
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    with stranger(saying(answer), tls=context) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _READING, url, str(folder / "key")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"SSL_CERT_FILE": str(trusted)},
        )
        async with asyncio.timeout(30):
            out, _ = await process.communicate()
    assert b"canary" not in out
    return url, out.decode().splitlines()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_ca_that_the_machine_trusts_is_trusted(
    tmp_path: Path, authority: Authority
) -> None:
    certificate = authority.issue("server", "127.0.0.1")
    _, printed = await read(tmp_path, authority.path, certificate)

    assert printed == ["92_1", "92_1"]


@pytest.mark.parametrize(
    ("names", "days", "words"),
    [
        (["127.0.0.2"], 30, "IP address mismatch, certificate is not valid for '127.0.0.1'."),
        (["127.0.0.1"], -1, "certificate has expired"),
    ],
    ids=["another name", "expired"],
)
async def test_a_certificate_that_is_not_good_is_said_to_be(
    tmp_path: Path, authority: Authority, names: list[str], days: int, words: str
) -> None:
    certificate = authority.issue("server", *names, days=days)
    url, printed = await read(tmp_path, authority.path, certificate)

    assert printed == [f"{url}: its certificate is not good: {words}"] * 2


async def test_a_certificate_of_an_unknown_ca_is_said_to_be(
    tmp_path: Path, authority: Authority
) -> None:
    certificate = Authority(tmp_path, "unknown").issue("server", "127.0.0.1")
    url, printed = await read(tmp_path, authority.path, certificate)

    words = "unable to get local issuer certificate"
    assert printed == [f"{url}: its certificate is not good: {words}"] * 2
