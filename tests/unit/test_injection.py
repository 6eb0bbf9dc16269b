"""What others wrote stays within its place: a header, a line of the log, a line for people."""

from __future__ import annotations

import json
import tempfile
from datetime import timedelta
from email.parser import BytesParser

import structlog
from hypothesis import given
from hypothesis import strategies as st
from kit.logged import logging_to

from tokend.api.problems import problem, raw
from tokend.errors import NotReady, TokendError, UpstreamRefused

TEXT = st.text() | st.sampled_from(
    ["a\r\nSet-Cookie: x=1", "a\n\n<html>", "\x00", "\x1b[2J", "\x85\u2028", "\ud800", "é" * 300]
)
HEADERS = {
    "Cache-Control",
    "Connection",
    "Content-Length",
    "Content-Type",
    "Retry-After",
    "Server",
}


def refusals(text: str) -> list[TokendError]:
    refused = UpstreamRefused(errcode=40013, errmsg=text, advice=text)
    return [
        refused,
        TokendError(text),
        NotReady(text, retry_after=timedelta(seconds=1), cause=refused),
    ]


@given(TEXT)
def test_no_word_of_others_gets_into_the_head_of_an_answer(text: str) -> None:
    for error in refusals(text):
        head, _, body = raw(problem(error)).partition(b"\r\n\r\n")
        status, _, headers = head.partition(b"\r\n")

        assert status.startswith(b"HTTP/1.1 5")
        named = BytesParser().parsebytes(headers)
        assert set(named.keys()) <= HEADERS
        assert int(named["Content-Length"]) == len(body)
        assert json.loads(body)["code"]


@given(TEXT, TEXT)
def test_whatever_is_logged_is_one_line_of_json(event: str, field: str) -> None:
    with tempfile.TemporaryFile() as file:
        with open(file.fileno(), "w", closefd=False) as stream, logging_to(stream) as outlet:
            structlog.get_logger("tokend").error(event, field=field)
            outlet.flush()
        file.seek(0)
        written = file.read()

    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    assert json.loads(written.decode("utf-8", "surrogateescape"))["level"] == "error"
