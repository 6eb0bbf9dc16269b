"""Tickets of official accounts, as the simulator gives them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from kit.town import APPID, NOON, after

if TYPE_CHECKING:
    from kit.town import Fetch, Town


# What they answer


@pytest.mark.parametrize("kind", ["jsapi", "wx_card"])
def test_a_good_token_opens_tickets(town: Town, fetch: Fetch, kind: str) -> None:
    token = fetch()["access_token"]

    reply = town.ticket(token, kind=kind)

    assert town.world.is_valid(reply.pop("ticket"), NOON)
    assert reply == {"errcode": 0, "errmsg": "ok", "expires_in": 7200}


@pytest.mark.parametrize("kind", ["", "cards"])
def test_other_types_of_ticket_are_refused(town: Town, kind: str) -> None:
    token = town.classic()["access_token"]

    assert town.ticket(token, kind=kind)["errcode"] == 40097


@pytest.mark.parametrize(
    ("token", "errcode"),
    [
        pytest.param("", 41001, id="missing"),
        pytest.param("made-up", 40001, id="unknown"),
    ],
)
def test_bad_tokens_open_no_tickets(town: Town, token: str, errcode: int) -> None:
    assert town.ticket(token)["errcode"] == errcode


def test_an_expired_token_opens_no_tickets(town: Town) -> None:
    token = town.classic()["access_token"]

    assert town.ticket(token, 7200)["errcode"] == 42001


def test_a_ticket_outlives_the_token_it_was_got_with(town: Town) -> None:
    token = town.classic()["access_token"]

    ticket = town.ticket(token, 7000)["ticket"]

    assert town.world.is_valid(ticket, after(7000 + 7199))
    assert not town.world.is_valid(ticket, after(7000 + 7200))


def test_kinds_of_tickets_do_not_supersede_each_other(town: Town) -> None:
    token = town.classic()["access_token"]
    jsapi = town.ticket(token)["ticket"]

    for seconds in (1, 2, 3):
        town.ticket(token, seconds, kind="wx_card")

    assert town.world.is_valid(jsapi, after(4))


def test_a_ticket_is_no_token(town: Town) -> None:
    ticket = town.ticket(town.classic()["access_token"])["ticket"]

    assert town.use(ticket)["errcode"] == 40001


# How long they live


def test_every_call_gives_a_new_ticket(town: Town) -> None:
    token = town.classic()["access_token"]

    tickets = {town.ticket(token)["ticket"] for _ in range(3)}

    assert len(tickets) == 3


@pytest.mark.parametrize(
    ("seconds", "alive"),
    [
        pytest.param(1299.9, True, id="within 300 s"),
        pytest.param(1300, False, id="after 300 s"),
    ],
)
def test_a_superseded_ticket_lives_300_seconds_more(
    town: Town, seconds: float, *, alive: bool
) -> None:
    token = town.classic()["access_token"]
    old, new = town.ticket(token)["ticket"], town.ticket(token, 1000)["ticket"]

    assert town.world.is_valid(old, after(seconds)) is alive
    assert town.world.is_valid(new, after(seconds))


def test_a_rotation_of_the_token_ends_no_ticket(town: Town) -> None:
    ticket = town.ticket(town.classic()["access_token"])["ticket"]

    for _ in range(2):
        town.world.rotate(APPID, NOON)

    assert town.world.is_valid(ticket, NOON)


def test_a_ticket_looks_like_wechats(town: Town) -> None:
    ticket = town.ticket(town.classic()["access_token"])["ticket"]

    assert re.fullmatch(r"[A-Za-z0-9_-]{86}", ticket)


# How many there are


def test_200_tickets_a_day_of_whatever_type(town: Town) -> None:
    token = town.classic()["access_token"]
    granted = ["ticket" in town.ticket(token, kind="jsapi") for _ in range(100)]
    granted += ["ticket" in town.ticket(token, kind="wx_card") for _ in range(100)]

    refused = town.ticket(token)

    assert all(granted)
    assert refused["errcode"] == 45009
    assert refused["errmsg"].startswith("reach max api daily quota limit rid: ")
    assert "ticket" in town.ticket(town.classic(12 * 3600)["access_token"], 12 * 3600)


def test_tickets_and_tokens_have_quotas_of_their_own(town: Town) -> None:
    town.account.daily_tickets = 0
    token = town.classic()["access_token"]

    assert town.ticket(token)["errcode"] == 45009
    assert "access_token" in town.classic(1)


def test_what_is_refused_uses_no_quota(town: Town) -> None:
    town.account.daily_tickets = 1
    token = town.classic()["access_token"]
    town.ticket(token, kind="cards")
    town.ticket("made-up")

    assert "ticket" in town.ticket(token)


def test_a_refused_ticket_supersedes_none(town: Town) -> None:
    town.account.daily_tickets = 2
    token = town.classic()["access_token"]
    tickets = [town.ticket(token)["ticket"] for _ in range(2)]

    town.ticket(token)

    assert all(town.world.is_valid(each, NOON) for each in tickets)


# Whom they are for


def test_the_whitelist_guards_tickets_and_business_calls(town: Town) -> None:
    token = town.classic()["access_token"]
    town.account.ip_whitelist = ("203.0.113.7",)

    assert town.ticket(token)["errcode"] == 40164
    assert town.use(token)["errcode"] == 40164
    assert town.world.rejected_uses == 0


def test_the_ledger_knows_every_ticket_and_its_times(town: Town) -> None:
    token = town.classic()["access_token"]
    first, second = town.ticket(token)["ticket"], town.ticket(token, 1000)["ticket"]

    issued = town.world.issued(APPID, "jsapi")

    assert [each.value for each in issued] == [first, second]
    assert [each.dies_at for each in issued] == [after(1300), after(8200)]
    assert town.world.issued(APPID, "wx_card") == ()
