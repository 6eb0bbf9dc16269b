"""How many connections there may be, in a process that may open so many files."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tokend.api.room import Room


def test_who_waits_for_the_next_token_leaves_room_for_others() -> None:
    room = Room(tcp=4096, per_address=1024)

    assert room.polls < room.tcp
    assert room.polls_each < room.per_address
    assert room.polls_at_socket < room.unix
    assert Room(tcp=1, per_address=1).polls_each == 1
    assert Room(tcp=1, per_address=1).polls_at_socket == 1


ROOM = (
    "from tokend.api.room import Room, make_room; "
    "room = Room(tcp={tcp}, per_address=256); "
    "print(make_room(room, files_each={each}, files_beside={beside}).tcp)"
)


@pytest.mark.parametrize(
    ("limits", "tcp", "each", "beside", "there_are"),
    [
        pytest.param("-n 4096", 1024, 1, 0, 1024, id="enough"),
        pytest.param("-Sn 100", 1024, 1, 0, 1024, id="the soft limit is raised"),
        pytest.param("-n 64", 1024, 1, 0, 25, id="few: half of them are kept for others"),
        pytest.param("-n 64", 1024, 2, 0, 12, id="when each needs two"),
        pytest.param("-n 64", 1024, 1, 16, 12, id="when some are for something else"),
        pytest.param("-n 64", 10, 1, 0, 10, id="few are wanted"),
        pytest.param("-n 20", 1024, 1, 0, 1, id="hardly any"),
    ],
)
def test_connections_leave_some_open_files(
    limits: str, tcp: int, each: int, beside: int, there_are: int
) -> None:
    """In a process of its own: who has given up a limit does not get it back."""
    program = ROOM.format(tcp=tcp, each=each, beside=beside)

    done = subprocess.run(
        ["/bin/sh", "-c", f'ulimit {limits} && exec "$0" -c "$1"', sys.executable, program],
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout.splitlines()[-1]) == there_are
