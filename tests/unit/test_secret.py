"""A Secret does not show, whatever is done with it."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle

import pytest
import structlog

from tokend import logs
from tokend.model import App, Secret

CANARY = "canary-secret-value"


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(repr, id="repr"),
        pytest.param(str, id="str"),
        pytest.param("{}".format, id="format"),
        pytest.param(lambda secret: f"{secret!r:>40}", id="f-string"),
        pytest.param(lambda secret: json.dumps({"a": secret}, default=str), id="json"),
        pytest.param(lambda secret: repr([secret, {"k": secret}]), id="in containers"),
        pytest.param(
            lambda secret: repr(App(name="shop", appid="wx", secret=secret)), id="in a value"
        ),
    ],
)
def test_a_secret_shows_its_fingerprint_only(show) -> None:
    shown = show(Secret(CANARY))

    assert CANARY not in shown
    assert Secret(CANARY).fingerprint in shown


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(CANARY))


def test_a_secret_is_not_copied_by_way_of_pickling() -> None:
    with pytest.raises(TypeError):
        copy.copy(Secret(CANARY))


def test_secrets_are_equal_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_a_logged_secret_and_a_traceback_show_nothing(stream: io.StringIO) -> None:
    """Tracebacks come without local variables, which would hold what was revealed."""
    logs.configure("debug", stream=stream)

    def fail(secret: Secret) -> None:
        revealed = secret.reveal()
        raise ValueError(f"{len(revealed)} characters")

    try:
        fail(Secret(CANARY))
    except ValueError:
        structlog.get_logger().exception("failed", token=Secret(CANARY), deep=[Secret(CANARY)])
        logging.getLogger("library").exception("failed with %s", Secret(CANARY))

    shown = stream.getvalue()
    assert CANARY not in shown
    assert shown.count("19 characters") >= 2
    assert Secret(CANARY).fingerprint in shown


def test_logs_on_a_pipe_are_json_a_line_each() -> None:
    stream = io.StringIO()
    logs.configure("info", stream=stream)

    structlog.get_logger().info("token_refreshed", key="shop/access_token", advice=None)
    structlog.get_logger().debug("not at this level")

    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "token_refreshed", "key": "shop/access_token", "level": "info"}
