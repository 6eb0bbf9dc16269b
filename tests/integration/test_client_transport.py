"""The Python client before servers that are silent, or are not tokend."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kit.stranger import Say, saying, silence, stranger_at

from tokend.client import AsyncClient, Away, Client, UsageError

if TYPE_CHECKING:
    from pathlib import Path

KEY = "shop/access_token"
SOON = timedelta(seconds=0.3)
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("say", "words"),
    [
        pytest.param(saying(REDIRECT), "HTTP status 302, not tokend's own", id="redirect"),
        pytest.param(saying(b"SSH-2.0-OpenSSH\r\n"), "stranger.sock: ", id="no HTTP"),
        pytest.param(silence, "no answer from tokend yet", id="silence"),
    ],
)
async def test_what_is_not_tokend_is_away(folder: Path, say: Say, words: str) -> None:
    path = folder / "stranger.sock"
    with stranger_at(path, say):
        with (
            Client(socket=path, patience=SOON) as client,
            pytest.raises(Away, match=words),
        ):
            client.token(KEY)
        async with AsyncClient(socket=path, patience=SOON) as aio:
            with pytest.raises(Away, match=words):
                await aio.token(KEY)


def test_a_client_is_closed_at_once_whatever_it_waits_for(folder: Path) -> None:
    path = folder / "stranger.sock"
    with stranger_at(path, silence):
        client = Client(socket=path, patience=timedelta(seconds=20))
        ended: list[Exception] = []

        def read() -> None:
            try:
                client.token(KEY)
            except UsageError as error:
                ended.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.2)
        began = time.monotonic()
        client.close()
        reader.join()

    assert time.monotonic() - began < 5
    assert [str(error) for error in ended] == ["the client is closed"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tokend ")]
