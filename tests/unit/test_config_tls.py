"""The listener's certificate and those of clients: every mistake with its file, nothing half."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from kit.tls import Authority

from tokend.config import load
from tokend.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tokend.config import Config

APP = '[apps.shop]\nappid = "wx0123456789abcdef"\nsecret_file = "shop.secret"\n'
KEY = "ab" * 32
CLIENT = '[clients.order]\n{identity}apps = ["*"]\ncan = ["read"]\n'
READER = CLIENT.format(identity=f'key_sha256 = "{KEY}"\n')
OPEN = 'listen = ["127.0.0.1:1", "0.0.0.0:8390", "[::]:8390"]\n'


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """With files of each kind: good, and of no use."""
    (tmp_path / "shop.secret").touch(mode=0o600)
    (tmp_path / "shop.secret").write_text("0" * 32)
    (tmp_path / "empty.pem").touch()
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    authority.issue("other", "127.0.0.1")
    authority.issue("encrypted", "127.0.0.1", passphrase=b"canary")
    authority.revoke("crl")
    server = (tmp_path / "server.pem").read_bytes()
    at = server.index(b"-----BEGIN CERTIFICATE")
    (tmp_path / "key.pem").write_bytes(server[:at])
    (tmp_path / "key.pem").chmod(0o600)
    (tmp_path / "cert.pem").write_bytes(server[at:])
    (tmp_path / "half.pem").write_bytes(server[: at + 300])
    (tmp_path / "half.pem").chmod(0o600)
    return authority


def read(folder: Path, server: str, more: str = "") -> Config:
    path = folder / "tokend.toml"
    path.write_text(f"[server]\n{server}{APP}{more}")
    return load(path, environ={})


def mistakes(folder: Path, server: str, more: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, server, more)
    return list(caught.value.mistakes)


def settings(**files: str) -> str:
    return "".join(f'{name} = "{value}"\n' for name, value in files.items())


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"cert_file": "server.pem"}, id="in one file"),
        pytest.param({"cert_file": "cert.pem", "key_file": "key.pem"}, id="in two"),
    ],
)
def test_a_certificate_and_its_key_make_tls_of_today(tmp_path: Path, files: dict[str, str]) -> None:
    config = read(tmp_path, settings(**files))

    assert config.tls
    assert config.tls.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert config.tls.context.options & ssl.OP_NO_RENEGOTIATION
    assert config.tls.context.verify_mode is ssl.CERT_NONE
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("more", "demand"),
    [
        ("", ssl.CERT_REQUIRED),
        ('client_certificates = "required"\n', ssl.CERT_REQUIRED),
        ('client_certificates = "optional"\n', ssl.CERT_OPTIONAL),
    ],
)
def test_a_ca_of_clients_means_that_a_certificate_is_required(
    tmp_path: Path, authority: Authority, more: str, demand: ssl.VerifyMode
) -> None:
    files = settings(cert_file="server.pem", client_ca_file=authority.path.name)

    config = read(tmp_path, files + more)

    assert config.tls
    assert config.tls.context.verify_mode is demand


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize(
    ("files", "told"),
    [
        pytest.param(
            {"cert_file": "no.pem"},
            "cert_file: {0}/no.pem: No such file or directory",
            id="no such certificate",
        ),
        pytest.param({"cert_file": "."}, "cert_file: {0}: not a regular file", id="a folder"),
        pytest.param(
            {"cert_file": "shop.secret"},
            "cert_file: {0}/shop.secret: holds no certificate in PEM",
            id="not a certificate",
        ),
        pytest.param(
            {"cert_file": "half.pem"},
            "cert_file: {0}/half.pem: holds no certificate in PEM",
            id="half of a certificate",
        ),
        pytest.param(
            {"cert_file": "empty.pem"},
            "cert_file: {0}/empty.pem: holds no certificate in PEM",
            id="empty",
        ),
        pytest.param(
            {"cert_file": "cert.pem"},
            "cert_file: {0}/cert.pem: holds no private key in PEM",
            id="no key beside it",
        ),
        pytest.param(
            {"cert_file": "cert.pem", "key_file": "no.pem"},
            "key_file: {0}/no.pem: No such file or directory",
            id="no such key",
        ),
        pytest.param(
            {"cert_file": "cert.pem", "key_file": "shop.secret"},
            "key_file: {0}/shop.secret: holds no private key in PEM",
            id="not a key",
        ),
        pytest.param(
            {"cert_file": "cert.pem", "key_file": "other.pem"},
            "key_file: {0}/other.pem: not the key of the certificate in {0}/cert.pem",
            id="another's key",
        ),
        pytest.param(
            {"cert_file": "encrypted.pem"},
            "cert_file: {0}/encrypted.pem: the key is encrypted, and nobody is there to type its "
            "passphrase",
            id="encrypted key",
        ),
        pytest.param(
            {"cert_file": "server.pem", "client_ca_file": "key.pem"},
            "client_ca_file: {0}/key.pem: holds no certificate in PEM",
            id="not a CA",
        ),
        pytest.param(
            {"cert_file": "server.pem", "client_ca_file": "ca.pem", "client_crl_file": "ca.pem"},
            "client_crl_file: {0}/ca.pem: holds no certificate revocation list in PEM",
            id="not a list",
        ),
    ],
)
def test_a_file_of_no_use_is_named_with_what_is_wrong(
    tmp_path: Path, files: dict[str, str], told: str
) -> None:
    assert mistakes(tmp_path, settings(**files)) == ["server." + told.format(tmp_path)]


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize(
    ("server", "told"),
    [
        (settings(key_file="key.pem"), "server: key_file needs cert_file"),
        (settings(client_ca_file="ca.pem"), "server: client_ca_file needs cert_file"),
        (
            settings(cert_file="server.pem", client_crl_file="crl.pem"),
            "server: client_crl_file needs client_ca_file",
        ),
        (
            settings(cert_file="server.pem") + "insecure_http = true\n",
            (
                "server: insecure_http is for addresses without TLS, and cert_file gives it to all "
                "of them; take one of the two away"
            ),
        ),
    ],
)
def test_settings_that_would_do_nothing_are_mistakes(
    tmp_path: Path, server: str, told: str
) -> None:
    assert mistakes(tmp_path, server) == [told]


@pytest.mark.parametrize("setting", ["cert_file", "key_file"])
@pytest.mark.usefixtures("authority")
def test_a_key_that_everyone_can_read_is_a_warning(tmp_path: Path, setting: str) -> None:
    holder = "server.pem" if setting == "cert_file" else "key.pem"
    (tmp_path / holder).chmod(0o644)
    files = {"cert_file": "server.pem", "key_file": "key.pem"}
    if setting == "cert_file":
        del files["key_file"]

    (warning,) = read(tmp_path, settings(**files)).warnings

    assert warning == (
        f"server.{setting}: {tmp_path}/{holder}: readable by everyone (mode 0644); chmod 600 it"
    )


def test_what_has_expired_is_a_warning(tmp_path: Path, authority: Authority) -> None:
    authority.issue("old", "127.0.0.1", days=-1)
    authority.revoke("old-crl", days=-1)

    config = read(
        tmp_path,
        settings(cert_file="old.pem", client_ca_file="ca.pem", client_crl_file="old-crl.pem"),
    )

    ours, lists = config.warnings
    assert ours.startswith(f"server.cert_file: {tmp_path}/old.pem: expired on 2")
    assert ours.endswith(": clients refuse it; renew it")
    assert lists.startswith(f"server.client_crl_file: {tmp_path}/old-crl.pem: expired on 2")
    assert lists.endswith(": all clients are refused; renew it")


def test_of_several_lists_the_first_to_end_counts(tmp_path: Path, authority: Authority) -> None:
    late, soon = authority.revoke("late", days=9), authority.revoke("soon", days=3)
    late.write_bytes(late.read_bytes() + soon.read_bytes())
    files = {"cert_file": "server.pem", "client_ca_file": "ca.pem"}

    both = read(tmp_path, settings(**files, client_crl_file="late.pem"))
    first = read(tmp_path, settings(**files, client_crl_file="soon.pem"))

    assert both.tls
    assert first.tls
    assert both.tls.lists_until == first.tls.lists_until


# Without TLS


@pytest.mark.usefixtures("authority")
def test_without_tls_only_loopback_may_be_listened_on(tmp_path: Path) -> None:
    told = mistakes(tmp_path, OPEN, READER)

    assert told == [
        f"server.listen: {address} is not loopback, and without TLS whoever is on the way reads "
        "keys and tokens; name a certificate in server.cert_file. In a container whose port this "
        "host alone or a proxy with TLS reaches, set server.insecure_http = true"
        for address in ("0.0.0.0:8390", "[::]:8390")
    ]
    assert read(tmp_path, OPEN + settings(cert_file="server.pem"), READER).warnings == ()


@pytest.mark.usefixtures("authority")
def test_who_wants_it_without_tls_is_warned(tmp_path: Path) -> None:
    warnings = read(tmp_path, OPEN + "insecure_http = true\n", READER).warnings

    assert warnings == tuple(
        f"server.insecure_http: {address} is not loopback and has no TLS: whoever is on the way "
        "reads keys and tokens; name a certificate in server.cert_file instead"
        for address in ("0.0.0.0:8390", "[::]:8390")
    )


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize("server", ["insecure_http = true\n", settings(cert_file="server.pem")])
def test_neither_tls_nor_leave_to_go_without_makes_up_for_clients(
    tmp_path: Path, server: str
) -> None:
    told = mistakes(tmp_path, 'listen = ["0.0.0.0:8390"]\n' + server)

    assert len(told) == 1
    assert "without [clients] whoever reaches it could read every token" in told[0]


# Clients


MTLS = settings(cert_file="server.pem", client_ca_file="ca.pem")


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize(
    "identity",
    [
        'certificate = "order.internal"\n',
        'certificate = "spiffe://example/order"\n',
        'certificate = "Order Service"\n',
        f'certificate = "order.internal"\nkey_sha256 = "{KEY}"\n',
    ],
)
def test_a_client_may_be_known_by_its_certificate(tmp_path: Path, identity: str) -> None:
    client = read(tmp_path, MTLS, CLIENT.format(identity=identity)).clients["order"]

    assert f'certificate = "{client.certificate}"' in identity
    assert (client.key_sha256 == KEY) == (KEY in identity)


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize(
    ("server", "clients", "told"),
    [
        pytest.param(
            MTLS,
            CLIENT.format(identity=""),
            "clients.order: needs key_sha256 ('tokend key' makes one), certificate, or both",
            id="known by nothing",
        ),
        pytest.param(
            settings(cert_file="server.pem"),
            CLIENT.format(identity='certificate = "x"\n'),
            "clients.order.certificate: needs server.client_ca_file, which says who signs the "
            "certificates of clients",
            id="signed by nobody",
        ),
        pytest.param(
            MTLS,
            CLIENT.format(identity='certificate = "x"\n')
            + CLIENT.format(identity=f'certificate = "x"\nkey_sha256 = "{KEY}"\n').replace(
                "order", "other"
            ),
            "clients.other.certificate: is that of clients.order too",
            id="two of one name",
        ),
        pytest.param(
            MTLS,
            CLIENT.format(identity='certificate = ""\n'),
            "clients.order.certificate: : must be a name as certificates have it, in ASCII",
            id="empty",
        ),
    ],
)
def test_who_a_client_is_must_be_clear(
    tmp_path: Path, server: str, clients: str, told: str
) -> None:
    assert mistakes(tmp_path, server, clients) == [told]
