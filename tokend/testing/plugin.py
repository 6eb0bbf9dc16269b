"""For pytest: the fixture ``tokend``, and what it said beside each test that failed.

One for each test, because guard rails that one test ran into must not stand in the way of the next.
For a wider scope, or other apps, override it::

    @pytest.fixture(scope="session")
    def tokend():
        with tokend.testing.running() as running:
            yield running
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tokend.testing.pair import Tokend, running

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@pytest.fixture
def tokend() -> Iterator[Tokend]:
    """A running tokend with the account ``shop``, and a simulated WeChat behind it."""
    with running() as tokend:
        yield tokend


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Tokend):
                with suppress(FileNotFoundError):  # it has ended, and its folder with it
                    report.sections.append((name, value.log))
    return report
