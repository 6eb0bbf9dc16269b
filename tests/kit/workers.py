"""A pytest plugin: which worker runs which tests.

Each test goes to the next worker that has room, so that no long file is left to one of them while
the others are done. Files whose tests share what is costly to make come first, and each stays with
one worker. The mark ``xdist_group`` would say it, and does nothing with pytest 9.2:
https://github.com/pytest-dev/pytest-xdist/issues/1386
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer

TOGETHER = {
    "test_canaries.py",  # a run of pytest
    "test_census.py",  # a tokend with thousands of apps
    "test_client_logins.py",  # a tokend, and users who are new each time
    "test_corpus.py",  # a tokend that goes on, whatever it is sent
    "test_listing.py",  # another with thousands of apps
    "test_redis_connections.py",  # a cluster, sentinels, encrypted ones
    "test_service.py",  # a machine
}


class Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return piece_of_work(nodeid)


def piece_of_work(nodeid: str) -> str:
    """The file of this test, where all of it is one, else the test."""
    file = nodeid.partition("::")[0]
    return file if PurePosixPath(file).name in TOGETHER else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)
