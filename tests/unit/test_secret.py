"""A Secret does not show, whatever is done with it."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

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
