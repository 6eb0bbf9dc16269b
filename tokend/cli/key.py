"""``tokend key``."""

from __future__ import annotations

import hashlib
import re
import secrets

import click

_KEY_BYTES = 32


@click.command
@click.argument("client")
def key(client: str) -> None:
    """Make a key for the program CLIENT.

    The key goes to stdout, once: 'tokend key order-service > order-service.key'. What belongs into
    the configuration goes to stderr; it does not reveal the key.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", client):
        raise click.UsageError(f"{client}: a client is named like order-service")
    value = secrets.token_urlsafe(_KEY_BYTES)
    click.echo(
        f"[clients.{client}]\n"
        f'key_sha256 = "{hashlib.sha256(value.encode()).hexdigest()}"\n'
        'apps = ["*"]\n'
        'can = ["read", "refresh"]',
        err=True,
    )
    click.echo(value)
