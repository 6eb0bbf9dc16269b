"""Whatever answers the command line in tokend's place: one line, an exit code, and soon."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tokend.cli import commands, main, unix, web
from tokend.cli.connection import Connection, to_socket
from tokend.cli.failure import Failure
from tokend.cli.options import _key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Reach = Callable[[Callable[[socket.socket], None]], Connection]

CANARY = b"canary-of-a-stranger"
SOON = 10.0


def says(*pieces: bytes) -> Callable[[socket.socket], None]:
    def say(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return say


def drips(connection: socket.socket) -> None:
    """Never so slow that a single read would time out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b"c")
        time.sleep(0.01)


def floods(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1000\r\n" + b"c" * 0x1000 + b"\r\n")


def waits(connection: socket.socket) -> None:
    connection.recv(1)


@contextmanager
def answering(listener: socket.socket, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """One connection, until it or this is closed."""

    def serve() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(4096)
            try:
                answer(connection)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.close()
        thread.join(SOON)
        assert not thread.is_alive()


@pytest.fixture(params=["socket", "url"])
def reach(request, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reach]:
    """A connection to who answers so, by both ways."""
    for module in (unix, web):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 1.0)
        monkeypatch.setattr(module, "LONGEST_ANSWER", 1024 * 1024)
    family = socket.AF_UNIX if request.param == "socket" else socket.AF_INET
    listener = socket.socket(family)
    path = f"{folder}/stranger.sock"
    listener.bind(path if request.param == "socket" else ("127.0.0.1", 0))
    listener.listen()
    opened = []

    def connect(answer: Callable[[socket.socket], None]) -> Connection:
        opened.append(answering(listener, answer))
        opened[0].__enter__()
        if request.param == "socket":
            return to_socket(path)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        files = {"ca_file": None, "cert_file": None}
        return Connection(url, web.exchange(url, **files), partial(web.stream, url, **files))

    yield connect
    opened[0].__exit__(None, None, None)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: "
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(says(), id="nothing"),
        pytest.param(says(CANARY), id="no HTTP"),
        pytest.param(says(b"SSH-2.0-" + CANARY + b"\r\n\r\n"), id="another protocol"),
        pytest.param(says(b"HTTP/1.1 abc " + CANARY + b"\r\n\r\n"), id="no status"),
        pytest.param(says(HEAD[:12]), id="half a head"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\n\r\nab"), id="no length"),
        pytest.param(says(HEAD, b"50\r\n\r\n", CANARY), id="half a body"),
        pytest.param(says(HEAD, b"1000000000000\r\n\r\n", CANARY), id="a terabyte, it says"),
        pytest.param(says(HEAD, b"2\r\n\r\n\xff\xff"), id="no text"),
        pytest.param(waits, id="silence"),
    ],
)
def test_an_answer_that_is_none_is_told_in_one_line(reach: Reach, answer) -> None:
    begun = time.monotonic()

    with pytest.raises(Failure) as failure:
        reach(answer).ask("GET", "/v1/apps")

    assert time.monotonic() - begun < SOON
    assert failure.value.code == os.EX_UNAVAILABLE
    assert failure.value.hint.startswith("is tokend running there?")
    assert len(str(failure.value).splitlines()) == 1
    assert CANARY.decode() not in str(failure.value)


@pytest.mark.timeout(SOON)
def test_an_answer_without_an_end_is_not_read_to_it(reach: Reach) -> None:
    with pytest.raises(Failure, match="an answer of more than 1048576 bytes"):
        reach(floods).ask("GET", "/v1/apps")


@pytest.mark.parametrize("reach", ["socket"], indirect=True)
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(drips, "timed out", id="too slow in all"),
        pytest.param(says(HEAD, b"1\r\n\r\nab"), "not whole", id="longer than it says"),
        pytest.param(says(HEAD, b"1\r\n", HEAD[17:], b"1\r\n\r\na"), "not whole", id="two lengths"),
    ],
)
def test_over_the_socket_an_answer_is_as_tokend_gives_it(reach: Reach, answer, told: str) -> None:
    with pytest.raises(Failure, match=told):
        reach(answer).ask("GET", "/v1/apps")


def test_an_answer_in_pieces_is_whole(reach: Reach) -> None:
    said = says(HEAD, b"4\r", b"\n\r\n", b"92", b"_a")

    assert reach(said).ask("GET", "/v1/apps/shop/access_token") == "92_a"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(CANARY, id="no JSON"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b'{"detail": 1}', id="no problem document"),
    ],
)
def test_an_error_of_others_is_told_by_its_status(reach: Reach, body: bytes) -> None:
    said = says(BUSY % len(body), body)

    with pytest.raises(Failure, match="HTTP status 503 from something else") as failure:
        reach(said).ask("GET", "/v1/apps")

    assert failure.value.code == os.EX_TEMPFAIL
    assert CANARY.decode() not in str(failure.value)


KEY = {
    "app": "shop",
    "kind": "access_token",
    "state": "fresh",
    "expires_in": 9,
    "failures": 0,
    "next_refresh_in": 3,
    "refreshing": False,
    "error": None,
    "record_trouble": None,
}
PAGE = {"keys": [KEY], "next": None, "configuration_mistakes": [], "store_trouble": None}


def page(**but: object) -> bytes:
    return json.dumps(PAGE | but).encode()


def run(folder: Path, body: bytes, *command: str) -> int:
    """With such JSON for an answer."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/stranger.sock")
    listener.listen()
    with answering(listener, says(HEAD, b"%d\r\n\r\n" % len(body), body)):
        return commands.run([*command, "--socket", f"{folder}/stranger.sock"])


@pytest.mark.parametrize(
    ("command", "body"),
    [
        *(
            pytest.param(command, body, id=f"{' '.join(command)}: {body[:20].decode()}")
            for command in (["status"], ["status", "--json"], ["reload"], ["refresh", "a/b"])
            for body in (b"[]", b"null", b"1", b'"x"', b"{}", b"[" * 100_000, CANARY)
        ),
        pytest.param(["status"], page(keys=[{}]), id="keys of another sort"),
        pytest.param(["status"], page(keys=[KEY, 1]), id="one key, and something else"),
        pytest.param(["status"], page(keys=[KEY | {"expires_in": 1e999}]), id="a time without end"),
        pytest.param(["status"], page(keys=[KEY | {"error": [1]}]), id="another error"),
        pytest.param(["status"], page(store_trouble=1, configuration_mistakes=1), id="other notes"),
        pytest.param(["status", "--json"], page(next="/etc/passwd"), id="a page of something else"),
        pytest.param(["status", "--json"], page(next=5), id="no page"),
        pytest.param(["reload"], b'{"keys": "\\u001b[2J"}', id="no number of keys"),
        pytest.param(
            ["refresh", "a/b"],
            b'{"refreshed": 1, "generation": "\\u001b[2J", "expires_in": 1}',
            id="no generation",
        ),
        pytest.param(
            ["refresh", "a/b"],
            b'{"refreshed": 1, "generation": 1e999, "expires_in": 1}',
            id="a generation without end",
        ),
    ],
)
def test_json_of_another_shape_is_told_in_one_line_and_not_shown(
    folder: Path, capsys: pytest.CaptureFixture[str], command: list[str], body: bytes
) -> None:
    with pytest.raises(Failure, match=r"^what answers there is not tokend$") as failure:
        run(folder, body, *command)

    assert failure.value.code == os.EX_UNAVAILABLE
    assert failure.value.hint.startswith("is tokend running there?")
    assert failure.value.__suppress_context__
    assert capsys.readouterr() == ("", "")


def test_nothing_that_a_terminal_obeys_is_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;owned\x07\r\n\x9b2J"
    error = {"message": evil, "errcode": 1, "advice": evil}
    key = KEY | {
        "app": evil,
        "state": evil,
        "failures": evil,
        "error": error,
        "record_trouble": evil,
    }

    assert run(folder, page(keys=[key], store_trouble=evil), "status") == os.EX_OK

    shown = capsys.readouterr().out
    assert "owned" in shown
    assert all(char.isprintable() for line in shown.split("\n") for char in line)


@pytest.mark.parametrize("command", ["get", "refresh"])
def test_nor_of_an_error_of_others_whose_words_look_like_tokends(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    evil = "\x1b]0;owned\x07\x9b2J\u202e"
    problem = json.dumps({"detail": evil, "advice": evil, "advice_zh": evil}).encode()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/stranger.sock")
    listener.listen()
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    monkeypatch.setattr(
        "sys.argv", ["tokend", command, "a/b", "--socket", f"{folder}/stranger.sock"]
    )
    with answering(listener, says(BUSY % len(problem), problem)):
        assert main() == os.EX_TEMPFAIL

    lines = capsys.readouterr().err.splitlines()
    assert [line.split("owned")[0] for line in lines] == [
        "tokend: error: ?]0;",
        "tokend: hint: ?]0;",
    ]
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(says(), id="nothing"),
        pytest.param(says(CANARY), id="no HTTP"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\nX: " + CANARY * 10_000), id="a head without an end"),
        pytest.param(waits, id="silence"),
        pytest.param(says(b"HTTP/1.1 503 Busy\r\n\r\n" + CANARY * 100_000), id="a huge error"),
    ],
)
def test_events_that_are_none_are_told_in_one_line(reach: Reach, answer) -> None:
    begun = time.monotonic()

    with pytest.raises(Failure) as failure:
        list(reach(answer).stream("/v1/events"))

    assert time.monotonic() - begun < SOON
    assert len(str(failure.value).splitlines()) == 1
    assert CANARY.decode() not in str(failure.value)


def test_events_come_piece_by_piece_until_there_are_no_more(reach: Reach) -> None:
    said = says(b"HTTP/1.0 200 OK\r\n", b"\r\nid: 1\n", b"\n")

    assert b"".join(reach(said).stream("/v1/events")) == b"id: 1\n\n"


@pytest.mark.parametrize("key", ["canary\nkey", "canary-钥匙", "canary\x00key"])
def test_a_file_that_holds_no_client_key_is_named_and_not_shown(tmp_path: Path, key: str) -> None:
    path = tmp_path / "client.key"
    path.write_text(key)

    with pytest.raises(Failure, match=r"client\.key: holds something else") as failure:
        _key(path)

    assert "canary" not in str(failure.value)


@pytest.mark.parametrize(
    "url",
    ["http://h:99999", "https://[", "ftp://h", "h:1", "http://h/v1", "http://u:canary@h:1"],
)
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(Failure, match="must be like https://host:port") as failure:
        web.exchange(url, ca_file=None, cert_file=None)

    assert "canary" not in str(failure.value)
