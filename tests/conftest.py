"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.clock import ManualClock
from kit.redis_server import redis_server

# Whoever runs the tests may speak Chinese.
os.environ["LC_ALL"] = "C.UTF-8"

# A shell script that runs them in the background has it ignored, by all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["kit.canaries", "kit.workers"]

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[Path]:
    """A real Redis for the whole run. Its path is short: a socket's may have 107 bytes."""
    with (
        tempfile.TemporaryDirectory(prefix="tokend-") as folder,
        redis_server(Path(folder)) as server,
    ):
        yield server.path


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="tokend-") as path:
        yield Path(path)
