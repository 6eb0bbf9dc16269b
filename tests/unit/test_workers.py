"""Tests that share what is costly to make share a worker; any other goes where there is room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kit.workers import TOGETHER, piece_of_work

TESTS = Path(__file__).parents[1]

_FOR_ALL = re.compile(r'^@pytest.*\bscope="module"', re.MULTILINE)


def test_files_with_something_for_all_their_tests_are_named() -> None:
    sharing = {path.name for path in TESTS.rglob("test_*.py") if _FOR_ALL.search(path.read_text())}

    assert sharing == TOGETHER


@pytest.mark.parametrize(
    ("file", "pieces"), [("acceptance/test_service.py", 1), ("acceptance/test_sdks.py", 3)]
)
def test_a_named_file_is_one_piece_of_work_and_of_others_each_test_is(
    file: str, pieces: int
) -> None:
    tests = [f"tests/{file}::test_one", f"tests/{file}::test_two[a]", f"tests/{file}::test_two[::]"]

    assert len({piece_of_work(test) for test in tests}) == pieces
