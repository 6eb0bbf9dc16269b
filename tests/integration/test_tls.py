"""TLS on the listeners: real sockets, real certificates, OpenSSL as an outside judge."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from kit.clock import ManualClock
from kit.served import NO_PROXIES, ROOM
from kit.tls import Authority
from structlog.testing import capture_logs

from tokend import config
from tokend.api import listeners
from tokend.api.access import Access
from tokend.api.handshakes import Handshakes
from tokend.api.problems import problems
from tokend.api.warden import Warden

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tokend.clock import Clock

APP = '[apps.shop]\nappid = "wx0123456789abcdef"\nsecret_file = "shop.secret"\n'
KEYS = {name: f"canary-key-of-{name}" for name in ("keyed", "both", "stranger")}

CLIENTS = {
    "named": 'certificate = "named.internal"\n',
    "spiffe": 'certificate = "spiffe://example/spiffe"\n',
    "common": 'certificate = "Common Name"\n',
    "keyed": "{key}",
    "both": '{key}certificate = "both.internal"\n',
}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "shop.secret").touch(mode=0o600)
    (tmp_path / "shop.secret").write_text("0" * 32)
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    return authority


def clients() -> str:
    tables = []
    for name, identity in CLIENTS.items():
        digest = hashlib.sha256(KEYS.get(name, "").encode()).hexdigest()
        known_by = identity.format(key=f'key_sha256 = "{digest}"\n')
        tables.append(f'[clients.{name}]\n{known_by}apps = ["*"]\ncan = ["read"]\n')
    return "".join(tables)


class Place:
    """Tells everybody who they are; certificates and clients as configured in *folder*."""

    def __init__(self, folder: Path, server: str, more: str, clock: Clock) -> None:
        self._folder = folder
        self._server = server
        loaded = self._load(more)
        assert loaded.tls
        self.access = Access(loaded.clients.values(), clock)
        self.handshakes = Handshakes(loaded.tls.context, clock)
        self.app = web.Application(middlewares=[problems])
        self.app.router.add_get("/", self._who)
        self.url = ""

    def reload(self, more: str = "") -> None:
        loaded = self._load(more)
        assert loaded.tls
        self.access.change(loaded.clients.values())
        self.handshakes.change(loaded.tls.context)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def _load(self, more: str) -> config.Config:
        path = self._folder / "tokend.toml"
        path.write_text(f'[server]\ncert_file = "server.pem"\n{self._server}{APP}{more}')
        return config.load(path, environ={})

    async def _who(self, request: web.Request) -> web.Response:
        return web.Response(text=self.access.client(request).name)


@asynccontextmanager
async def place(
    folder: Path, server: str = "", more: str = "", clock: Clock | None = None
) -> AsyncIterator[Place]:
    made = Place(folder, server, more, clock or ManualClock())
    async with listeners.serving(
        made.app,
        addresses=[("127.0.0.1", 0)],
        unix=None,
        warden=Warden(ROOM, NO_PROXIES),
        tls=made.handshakes,
    ) as (made.url,):
        yield made


async def who(
    asked: Place,
    context: ssl.SSLContext,
    key: str = "",
    session: aiohttp.ClientSession | None = None,
) -> str:
    """The name of the client that *asked* takes us for, or the status of its refusal."""
    if session is None:
        async with aiohttp.ClientSession() as alone:
            return await who(asked, context, key, alone)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with session.get(asked.url, ssl=context, headers=headers) as response:
        return await response.text() if response.status == 200 else str(response.status)


async def openssl(asked: Place, authority: Authority, *options: str) -> str:
    """What ``openssl s_client`` says about a connection that asks for nothing."""
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{asked.port}"),
        *("-CAfile", str(authority.path), "-verify_return_error", *options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(20):
        out, _ = await process.communicate()
    return out.decode(errors="replace")


# The server's side


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["-tls1_3"], "New, TLSv1.3, Cipher is TLS_", id="1.3"),
        pytest.param(["-tls1_2"], "New, TLSv1.2, Cipher is ECDHE-", id="1.2"),
        pytest.param(["-alpn", "h2,http/1.1"], "ALPN protocol: http/1.1", id="ALPN"),
        pytest.param(["-alpn", "h2"], "No ALPN negotiated", id="no HTTP/2"),
    ],
)
async def test_openssl_agrees_that_this_is_tls_of_today(
    tmp_path: Path, authority: Authority, options: list[str], said: str
) -> None:
    async with place(tmp_path) as asked:
        told = await openssl(asked, authority, *options)

    assert said in told


@pytest.mark.parametrize(
    "offered",
    [
        pytest.param(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], id="TLS 1.1"),
        pytest.param(["-tls1", "-cipher", "ALL:@SECLEVEL=0"], id="TLS 1.0"),
        pytest.param(["-tls1_2", "-cipher", "NULL:aNULL:@SECLEVEL=0"], id="no encryption"),
        pytest.param(["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"], id="no forward secrecy"),
    ],
)
async def test_what_openssl_offers_of_yesterday_is_refused(
    tmp_path: Path, authority: Authority, offered: list[str]
) -> None:
    async with place(tmp_path) as asked:
        told = await openssl(asked, authority, "-msg", *offered)

    assert ">>> " in told
    assert "ClientHello" in told
    assert "ServerHello" not in told
    assert "Cipher is (NONE)" in told


async def test_the_address_is_https(tmp_path: Path, authority: Authority) -> None:
    async with place(tmp_path) as asked:
        answer = await who(asked, authority.context())

    assert asked.url.startswith("https://127.0.0.1:")
    assert answer == "loopback"


async def test_a_socket_that_systemd_holds_has_tls_too(
    tmp_path: Path, authority: Authority, clock: ManualClock
) -> None:
    asked = Place(tmp_path, "", "", clock)
    with socket.create_server(("127.0.0.1", 0)) as held:
        async with listeners.serving(
            asked.app,
            addresses=[held.getsockname()],
            unix=None,
            warden=Warden(ROOM, NO_PROXIES),
            tls=asked.handshakes,
            passed=[held.dup()],
        ) as (asked.url,):
            answer = await who(asked, authority.context())

    assert answer == "loopback"


# Who it is


def shown(authority: Authority, folder: Path) -> dict[str, Path]:
    """Certificates as they come."""
    stranger = Authority(folder, "stranger")
    return {
        "named": authority.issue("named", "named.internal"),
        "spiffe": authority.issue("spiffe", "10.0.0.1", "spiffe://example/spiffe"),
        "common": authority.issue("common", common_name="Common Name"),
        "address": authority.issue("address", "10.0.0.1", common_name="Common Name"),
        "hidden": authority.issue("hidden", "other.internal", common_name="Common Name"),
        "wild": authority.issue("wild", "*.internal"),
        "capital": authority.issue("capital", "NAMED.internal"),
        "nobody": authority.issue("nobody", "nobody.internal"),
        "two": authority.issue("two", "named.internal", "spiffe://example/spiffe"),
        "both": authority.issue("both", "both.internal"),
        "mixed": authority.issue("mixed", "named.internal", "both.internal"),
        "expired": authority.issue("expired", "named.internal", days=-1),
        "forged": stranger.issue("forged", "named.internal"),
    }


@pytest.mark.parametrize(
    ("certificate", "key", "client"),
    [
        pytest.param("named", "", "named", id="a DNS name"),
        pytest.param("spiffe", "", "spiffe", id="a URI"),
        pytest.param("common", "", "common", id="a common name"),
        pytest.param("address", "", "common", id="a common name beside an address"),
        pytest.param("hidden", "", "401", id="a common name behind a DNS name"),
        pytest.param("wild", "", "401", id="a pattern is a name like others"),
        pytest.param("capital", "", "401", id="names are compared as they are"),
        pytest.param("nobody", "", "401", id="a name that no client has"),
        pytest.param("two", "", "401", id="the names of two clients"),
        pytest.param("mixed", "", "401", id="the names of two, of which one needs a key as well"),
        pytest.param("mixed", "both", "both", id="the names of two, and the key of one"),
        pytest.param("", "", "401", id="neither"),
        pytest.param("", "keyed", "keyed", id="a key"),
        pytest.param("nobody", "keyed", "keyed", id="a key, and a certificate of nobody"),
        pytest.param("named", "keyed", "keyed", id="a key counts before a certificate"),
        pytest.param("named", "stranger", "401", id="a key that nobody has"),
        pytest.param("both", "both", "both", id="the two that belong together"),
        pytest.param("both", "", "401", id="a certificate without its key"),
        pytest.param("", "both", "401", id="a stolen key without the certificate"),
        pytest.param("named", "both", "401", id="a stolen key with another certificate"),
        pytest.param("both", "keyed", "keyed", id="another's key with a certificate"),
    ],
)
async def test_a_client_is_known_by_certificate_by_key_or_by_both(
    tmp_path: Path, authority: Authority, certificate: str, key: str, client: str
) -> None:
    certificates = shown(authority, tmp_path)
    server = 'client_ca_file = "ca.pem"\nclient_certificates = "optional"\n'
    async with place(tmp_path, server, clients()) as asked:
        answer = await who(
            asked, authority.context(certificates.get(certificate)), KEYS.get(key, "")
        )

    assert answer == client


@pytest.mark.parametrize("demand", ["required", "optional"])
@pytest.mark.parametrize("certificate", ["expired", "forged"])
async def test_a_certificate_that_does_not_hold_gets_nobody_in(
    tmp_path: Path, authority: Authority, demand: str, certificate: str
) -> None:
    certificates = shown(authority, tmp_path)
    server = f'client_ca_file = "ca.pem"\nclient_certificates = "{demand}"\n'
    async with place(tmp_path, server, clients()) as asked:
        with pytest.raises(aiohttp.ClientError):
            await who(asked, authority.context(certificates[certificate]), KEYS["keyed"])


async def test_where_a_certificate_is_required_a_key_alone_gets_nobody_in(
    tmp_path: Path, authority: Authority
) -> None:
    certificates = shown(authority, tmp_path)
    async with place(tmp_path, 'client_ca_file = "ca.pem"\n', clients()) as asked:
        with pytest.raises(aiohttp.ClientError):
            await who(asked, authority.context(), KEYS["keyed"])
        both = await who(asked, authority.context(certificates["nobody"]), KEYS["keyed"])

    assert both == "keyed"


async def test_a_revoked_certificate_gets_nobody_in(tmp_path: Path, authority: Authority) -> None:
    certificates = shown(authority, tmp_path)
    authority.revoke("crl", certificates["spiffe"])
    server = 'client_ca_file = "ca.pem"\nclient_crl_file = "crl.pem"\n'
    async with place(tmp_path, server, clients()) as asked:
        good = await who(asked, authority.context(certificates["named"]))
        with pytest.raises(aiohttp.ClientError):
            await who(asked, authority.context(certificates["spiffe"]))

    assert good == "named"


async def test_why_handshakes_fail_is_told_once_a_minute(
    tmp_path: Path, authority: Authority, clock: ManualClock
) -> None:
    """asyncio tells the other side nothing."""
    expired = authority.context(shown(authority, tmp_path)["expired"])
    async with place(tmp_path, 'client_ca_file = "ca.pem"\n', clients(), clock) as asked:

        async def fail(context: ssl.SSLContext) -> None:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", asked.port, ssl=context)
                await reader.read()
                writer.close()

        with capture_logs() as told:
            for _ in range(3):
                await fail(expired)
            await fail(authority.context())
            await clock.advance(60)
            for _ in range(2):
                await fail(expired)

    assert [(line["event"], line["reason"], line["times"]) for line in told] == [
        ("handshake_failed", "certificate has expired", 1),
        ("handshake_failed", "peer did not return a certificate", 1),
        ("handshake_failed", "certificate has expired", 3),
    ]


# Changes


async def test_new_handshakes_see_the_new_certificate_and_old_connections_live_on(
    tmp_path: Path, authority: Authority
) -> None:
    async with place(tmp_path) as asked, aiohttp.ClientSession() as session:
        context = authority.context()
        before = await who(asked, context, session=session)
        renewed = Authority(tmp_path, "renewed")
        renewed.issue("server", "127.0.0.1")
        asked.reload()
        still = await who(asked, context, session=session)
        after = await who(asked, renewed.context())
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await who(asked, authority.context())

    assert before == still == after == "loopback"


async def test_a_name_goes_to_another_client_at_once(tmp_path: Path, authority: Authority) -> None:
    certificates = shown(authority, tmp_path)
    context = authority.context(certificates["named"])
    server = 'client_ca_file = "ca.pem"\n'
    async with place(tmp_path, server, clients()) as asked, aiohttp.ClientSession() as session:
        before = await who(asked, context, session=session)
        asked.reload(clients().replace("[clients.named]", "[clients.heir]"))
        heir = await who(asked, context, session=session)
        asked.reload(clients().replace("named.internal", "else.internal"))
        gone = await who(asked, context, session=session)

    assert (before, heir, gone) == ("named", "heir", "401")


async def test_a_session_does_not_outlive_the_trust_it_began_with(
    tmp_path: Path, authority: Authority
) -> None:
    """A client that was revoked cannot come back by resuming."""
    certificate = shown(authority, tmp_path)["named"]
    authority.revoke("crl")
    server = 'client_ca_file = "ca.pem"\nclient_crl_file = "crl.pem"\n'
    async with place(tmp_path, server, clients()) as asked:
        context = authority.context(certificate)
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # the session is there at once

        def connect(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
            with (
                socket.create_connection(("127.0.0.1", asked.port), timeout=20) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as tls,
            ):
                return tls.session, bool(tls.session_reused)

        session, _ = await asyncio.to_thread(connect, None)
        _, resumed = await asyncio.to_thread(connect, session)
        authority.revoke("crl", certificate)
        asked.reload(clients())
        with pytest.raises(OSError, match=r"EOF|reset"):
            await asyncio.to_thread(connect, session)

    assert resumed
