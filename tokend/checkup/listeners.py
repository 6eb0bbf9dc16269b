"""If others on the network can listen in, and until when the certificates are good."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tokend.findings import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tokend.config import Config
    from tokend.config.settings import ServerSettings

_SUBJECT = "listen"
_SOON = timedelta(days=14)


def examine(config: Config, *, now: datetime) -> Iterator[Finding]:
    """*now* by the wall clock, which certificates go by."""
    server, tls = config.server, config.tls
    yield from _addresses(server)
    if tls is None:
        return
    yield _lasting("server.cert_file", "the certificate", tls.valid_until, now)
    if server.client_ca_file:
        demand = f"a certificate of clients is {server.client_certificates}"
        yield Finding(Verdict.OK, _SUBJECT, f"server.client_ca_file: {demand}")
    if tls.lists_until:
        what = "the list of revoked certificates"
        yield _lasting("server.client_crl_file", what, tls.lists_until, now)


def _addresses(server: ServerSettings) -> Iterator[Finding]:
    for address in server.listen:
        text = f"server.listen: {address}"
        if server.cert_file:
            yield Finding(Verdict.OK, _SUBJECT, f"{text}: TLS")
        elif address in server.readable_on:
            advice = "name a certificate in server.cert_file, if others than a proxy reach it"
            text = f"{text}: no TLS, whoever is on the way reads keys and tokens"
            yield Finding(Verdict.WARNING, _SUBJECT, text, advice)
        else:
            yield Finding(Verdict.OK, _SUBJECT, f"{text}: no TLS, and this host alone")


def _lasting(setting: str, what: str, until: datetime, now: datetime) -> Finding:
    days = (until - now) // timedelta(days=1)
    text = f"{setting}: {what} is good until {until:%Y-%m-%d %H:%M} UTC, {days} days"
    if until - now > _SOON:
        return Finding(Verdict.OK, _SUBJECT, text)
    if until > now:
        return Finding(Verdict.WARNING, _SUBJECT, text, "renew it, then: tokend reload")
    text = f"{setting}: {what} has expired on {until:%Y-%m-%d %H:%M} UTC"
    return Finding(Verdict.BAD, _SUBJECT, text, "renew it, then: tokend reload")
