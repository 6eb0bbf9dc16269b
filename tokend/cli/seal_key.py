"""``tokend seal-key``."""

from __future__ import annotations

import secrets

import click

from tokend.model import Secret


@click.command("seal-key")
def seal_key() -> None:
    """Make a key that tokens are sealed with in the store.

    The key goes to stdout, once: 'tokend seal-key > seal.key'. Its id, by which logs and 'tokend
    doctor' call it, goes to stderr, with what belongs into the configuration.
    """
    from tokend.store.seal_key import KEY_BYTES, SealKey  # noqa: PLC0415, takes long

    line = secrets.token_urlsafe(KEY_BYTES)
    key = SealKey.parse(Secret(line))
    click.echo(f'# key {key.id}\n[store]\nseal_key_file = "seal.key"', err=True)
    click.echo(line)
