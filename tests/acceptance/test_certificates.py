"""TLS as operators have it: the real process, its files, SIGHUP, curl and the command line."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kit.process import SERVING, one_shot, running
from kit.tls import Authority

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from kit.process import Running

    Configured = Callable[..., Path]

TOKEN = "/v1/apps/shop/access_token"
RELOADED = re.compile(r'"event": "reloaded"')
REFUSED = re.compile(r'"event": "reload_refused"')


@pytest.fixture
def authority(folder: Path) -> Authority:
    authority = Authority(folder)
    authority.issue("server", "127.0.0.1", "localhost")
    return authority


@pytest.fixture
def encrypted(configured: Configured, authority: Authority):
    """Write a configuration with a certificate, with what else of ``[server]``, and who may ask."""

    def write(server: str = "", clients: str = "") -> Path:
        path = configured()
        text = path.read_text()
        tls = f'[server]\ncert_file = "server.pem"\n{server}'
        path.write_text(text.replace("[server]\n", tls) + clients)
        assert authority.path.exists()
        return path

    return write


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[Running, str]]:
    """The process, and its URL."""
    async with running("serve", str(path)) as tokend:
        yield tokend, (await tokend.said(SERVING))[1]


async def until(said: re.Pattern[str], tokend: Running, times: int) -> None:
    async with asyncio.timeout(20):
        while len(said.findall("".join(tokend.lines))) < times:
            await asyncio.sleep(0.02)


async def reads(url: str, context: ssl.SSLContext) -> bool:
    """Tell if a new connection gets the token."""
    async with aiohttp.ClientSession(url) as session:
        try:
            async with session.get(TOKEN, ssl=context) as response:
                return "access_token" in await response.json()
        except aiohttp.ClientError:
            return False


def spoil(folder: Path, name: str) -> None:
    """Put something of no use in the place of the certificate."""
    server = folder / "server.pem"
    content = server.read_bytes()
    at = content.index(b"-----BEGIN CERTIFICATE")
    Authority(folder, "spoiler").issue("spoilt", "127.0.0.1", passphrase=b"canary")
    other = (folder / "spoilt.pem").read_bytes()
    bad = {
        "missing": None,
        "empty": b"",
        "half": content[: at + 200],
        "key alone": content[:at],
        "certificate alone": content[at:],
        "encrypted": other,
        "another's certificate": content[:at] + other[other.index(b"-----BEGIN CERT") :],
        "noise": b"\x00\xff" * 999,
    }[name]
    if bad is None:
        server.unlink()
    else:
        server.write_bytes(bad)


SPOILT = [
    *("missing", "empty", "half", "key alone", "certificate alone", "encrypted"),
    *("another's certificate", "noise"),
]


@pytest.mark.parametrize("name", SPOILT)
async def test_it_does_not_start_with_a_certificate_of_no_use(
    encrypted: Configured, folder: Path, name: str
) -> None:
    path = encrypted()
    spoil(folder, name)

    code, _, err = await one_shot("serve", str(path))

    assert code == 78
    assert err.startswith(f"tokend: error: server.cert_file: {folder}/server.pem: ")
    assert len(err.splitlines()) == 1
    assert "PRIVATE" not in err


async def test_a_bad_file_refuses_the_reload_and_a_good_one_is_used_at_once(
    encrypted: Configured, authority: Authority, folder: Path
) -> None:
    path = encrypted()
    good = (folder / "server.pem").read_bytes()
    async with serving(path) as (tokend, url):
        served = {}
        for number, name in enumerate(SPOILT, start=1):
            spoil(folder, name)
            tokend.send(signal.SIGHUP)
            await until(REFUSED, tokend, number)
            served[name] = await reads(url, authority.context())
            (folder / "server.pem").touch(mode=0o600)
            (folder / "server.pem").write_bytes(good)
        renewed = Authority(folder, "renewed")
        renewed.issue("server", "127.0.0.1")
        tokend.send(signal.SIGHUP)
        await until(RELOADED, tokend, 1)
        after = await reads(url, renewed.context()), await reads(url, authority.context())

    assert served == dict.fromkeys(SPOILT, True)
    assert after == (True, False)


async def test_an_expired_certificate_is_told_of_and_served(
    encrypted: Configured, authority: Authority
) -> None:
    """Clients refuse it; to refuse to start would take the socket away as well."""
    authority.issue("server", "127.0.0.1", days=-1)
    async with running("serve", str(encrypted())) as tokend:
        told = '"found": "server.cert_file: .*: expired on .*renew it.*"configuration_doubtful"'
        await tokend.said(re.compile(told))
        await tokend.said(re.compile('"urls"'))
        tokend.send(signal.SIGHUP)
        await tokend.said(re.compile(f"{told}.*{told}", re.DOTALL))


async def test_no_request_fails_while_certificates_change(
    encrypted: Configured, authority: Authority
) -> None:
    """Twenty reloads; half of the clients open a connection for each request."""
    path = encrypted()
    context = authority.context()
    answers, stop = 0, False

    async def client(url: str, *, alone: bool) -> None:
        nonlocal answers
        connector = aiohttp.TCPConnector(force_close=alone, ssl=context)
        async with aiohttp.ClientSession(url, connector=connector) as session:
            while not stop:
                async with session.get(TOKEN) as response:
                    assert "access_token" in await response.json()
                answers += 1

    async with serving(path) as (tokend, url), asyncio.TaskGroup() as clients:
        for number in range(6):
            clients.create_task(client(url, alone=number % 2 == 0))
        for number in range(1, 21):
            authority.issue("server", "127.0.0.1")
            tokend.send(signal.SIGHUP)
            await until(RELOADED, tokend, number)
        stop = True

    assert answers > 100


async def test_two_hundred_handshakes_that_are_held_open_hold_up_nobody(
    encrypted: Configured, authority: Authority
) -> None:
    """They are cut after five seconds; those that come back are cut again."""
    async with serving(encrypted()) as (tokend, url):
        port = int(url.rpartition(":")[2])
        over = asyncio.get_running_loop().time() + 10
        cut: list[float] = []

        async def hold() -> None:
            while (now := asyncio.get_running_loop().time()) < over:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"\x16\x03\x01\x02\x00\x01")
                with suppress(ConnectionError):
                    await reader.read()
                cut.append(asyncio.get_running_loop().time() - now)
                writer.close()

        slowest, context = 0.0, authority.context()
        async with asyncio.TaskGroup() as held:
            for _ in range(200):
                held.create_task(hold())
            while asyncio.get_running_loop().time() < over:
                started = time.perf_counter()
                assert await reads(url, context)
                slowest = max(slowest, time.perf_counter() - started)
                await asyncio.sleep(0.1)

    assert len(cut) >= 400
    assert min(cut) > 4
    assert max(cut) < 9
    assert slowest < 2
    assert len(tokend.lines) < 30


@pytest.mark.parametrize("file", ["good", "forged", "expired", "nobody", None])
async def test_the_command_line_shows_its_certificate(
    encrypted: Configured, authority: Authority, folder: Path, file: str | None
) -> None:
    """Who has the right one may do what the client of that name may, and nothing else."""
    authority.issue("good", "order.internal")
    authority.issue("nobody", "nobody.internal")
    authority.issue("expired", "order.internal", days=-1)
    Authority(folder, "stranger").issue("forged", "order.internal")
    client = '[clients.order]\ncertificate = "order.internal"\napps = ["shop"]\ncan = ["read"]\n'
    path = encrypted('client_ca_file = "ca.pem"\n', client)
    async with serving(path) as (_, url):
        env = {"TOKEND_URL": url, "TOKEND_CA_FILE": str(authority.path)}
        if file:
            env["TOKEND_CERT_FILE"] = f"{folder}/{file}.pem"
        read, token, told = await one_shot("get", "shop/access_token", env=env)
        forced, _, _ = await one_shot("refresh", "shop/access_token", env=env)

    if file == "good":
        assert (read, forced) == (0, 77)
        assert token
    elif file == "nobody":
        assert (read, forced) == (77, 77)
    else:
        assert (read, forced) == (69, 69)
        assert told.startswith("tokend: error: https://127.0.0.1:")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        pytest.param([], 69, "--ca-file says who signs", id="a CA that nobody named"),
        pytest.param(["--ca-file", "none.pem"], 66, "No such file", id="no such CA"),
        pytest.param(["--ca-file", "shop.secret"], 66, "no certificate in PEM", id="not a CA"),
        pytest.param(["--cert-file", "ca.pem"], 66, "not its key", id="no key beside it"),
    ],
)
async def test_the_command_line_says_which_file_is_of_no_use(
    encrypted: Configured, folder: Path, options: list[str], code: int, said: str
) -> None:
    async with serving(encrypted()) as (_, url):
        files = [f"{folder}/{each}" if "." in each else each for each in options]
        ended, _, told = await one_shot("get", "shop/access_token", "--url", url, *files)

    assert ended == code
    assert said in told


async def test_curl_reads_a_token_as_the_readme_shows(
    encrypted: Configured, authority: Authority
) -> None:
    certificate = authority.issue("client", "order-service.internal")
    client = (
        '[clients.order-service]\ncertificate = "order-service.internal"\n'
        'apps = ["shop"]\ncan = ["read"]\n'
    )
    path = encrypted('client_ca_file = "ca.pem"\n', client)
    async with serving(path) as (_, url):
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "--cacert", str(authority.path), "--cert", str(certificate)),
            f"{url}{TOKEN}",
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(20):
            out, _ = await process.communicate()

    assert process.returncode == 0
    assert json.loads(out)["state"] == "fresh"


async def test_check_and_serve_warn_of_an_address_without_tls(configured: Configured) -> None:
    path = configured()
    client = f"[clients.x]\nkey_sha256 = '{'a' * 64}'\napps = ['*']\ncan = ['read']\n"
    text = path.read_text().replace("127.0.0.1:0", "0.0.0.0:0") + client
    path.write_text(text)
    refused = await one_shot("check", str(path))
    path.write_text(text.replace("[server]\n", "[server]\ninsecure_http = true\n"))

    allowed = await one_shot("check", str(path))
    async with running("serve", str(path)) as tokend:
        await tokend.said(re.compile('"urls"'))
        started = "".join(tokend.lines)

    warning = "server.insecure_http: 0.0.0.0:0 is not loopback and has no TLS"
    assert refused[0] == 78
    assert "set server.insecure_http = true" in refused[2]
    assert allowed[0] == 0
    assert allowed[2].startswith(f"tokend: warning: {warning}")
    assert f'"found": "{warning}' in started
