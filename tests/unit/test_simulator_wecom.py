"""WeCom's rules, as the simulator plays them."""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

import pytest
from kit.office import CORPID, SALES, SECRETS, STOCK, Office, corp
from kit.town import CALLER, GOOD, NOON, Town, after

from tokend.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.town import Reply

HOUR = 3600
ELSEWHERE = "203.0.113.7"


@pytest.fixture
def office() -> Office:
    return Office()


def _tickets_of_sales(office: Office, *, corps: int, own: int) -> list[Reply]:
    replies = [office.corp_ticket() for _ in range(corps)]
    return replies + [office.agent_ticket() for _ in range(own)]


# The token of an agent


def test_success_has_an_errcode(office: Office) -> None:
    reply = office.gettoken()

    assert office.is_valid(reply.pop("access_token"), 0)
    assert reply == {"errcode": 0, "errmsg": "ok", "expires_in": 7200}


def test_a_token_looks_like_wecoms(office: Office) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{214}", office.token())


@pytest.mark.parametrize("seconds", [1, 6900, 7199])
def test_the_same_token_is_given_as_long_as_it_lives(office: Office, seconds: int) -> None:
    first = office.token()

    again = office.gettoken(seconds)

    assert again["access_token"] == first
    assert again["expires_in"] == 7200 - seconds


def test_after_its_end_there_is_another(office: Office) -> None:
    first = office.token()

    second = office.gettoken(7200)

    assert second["access_token"] != first
    assert second["expires_in"] == 7200
    assert not office.is_valid(first, 7200)


def test_each_agent_has_a_token_of_its_own(office: Office) -> None:
    sales, stock = office.token(agentid=SALES), office.token(agentid=STOCK)

    assert sales != stock
    assert office.is_valid(sales, 0)
    assert office.is_valid(stock, 0)


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        pytest.param({"corpid": ""}, 41002, id="no corpid"),
        pytest.param({"corpid": "wwffffffffffffffff"}, 40013, id="unknown corpid"),
        pytest.param({"corpsecret": ""}, 41004, id="no secret"),
        pytest.param({"corpsecret": "wrong"}, 40001, id="wrong secret"),
        pytest.param({"corpid": "", "corpsecret": ""}, 41004, id="secret before corpid"),
        pytest.param({"corpid": "ww", "corpsecret": "wrong"}, 40013, id="corpid before wrong one"),
    ],
)
def test_a_bad_request_is_refused(office: Office, change: dict[str, str], errcode: int) -> None:
    assert office.gettoken(**change)["errcode"] == errcode


def test_a_refusal_tells_callers_their_address_and_carries_empty_fields(office: Office) -> None:
    reply = office.gettoken(corpsecret="wrong", caller=ELSEWHERE)

    assert re.fullmatch(
        rf"invalid credential, hint: \[{NOON.timestamp():.0f}\d{{15}}\], from ip: {ELSEWHERE}, "
        r"more info at https://open\.work\.weixin\.qq\.com/devtool/query\?e=40001",
        reply.pop("errmsg"),
    )
    assert reply == {"errcode": 40001, "access_token": "", "expires_in": 0}


def test_a_secret_that_was_reset_opens_nothing(office: Office) -> None:
    office.agent().secret = "another"

    assert office.gettoken()["errcode"] == 40001


def test_a_printed_corp_shows_no_secret(office: Office) -> None:
    assert not any(secret in repr(office.corp) for secret in SECRETS.values())


# Ends before the time


def test_a_voided_token_is_dead_at_once_and_there_is_another(office: Office) -> None:
    first = office.token()

    office.world.void(office.agent(), after(100))

    assert office.is_valid(first, 99)
    assert not office.is_valid(first, 100)
    second = office.gettoken(100)
    assert second["access_token"] != first
    assert second["expires_in"] == 7200


def test_voiding_one_agents_token_leaves_the_others_and_tickets(office: Office) -> None:
    stock = office.token(agentid=STOCK)
    tickets = [office.corp_ticket()["ticket"], office.agent_ticket()["ticket"]]

    office.world.void(office.agent(SALES), NOON)

    assert all(office.is_valid(each, 0) for each in [stock, *tickets])


# Business calls


def test_a_business_call_takes_a_good_token(office: Office) -> None:
    reply = office.use(office.token())

    assert reply.keys() == {"errcode", "errmsg", "ip_list"}
    assert reply["errcode"] == 0


@pytest.mark.parametrize("call", ["get_jsapi_ticket", "ticket_get", "get_api_domain_ip"])
@pytest.mark.parametrize(
    ("seconds", "errcode"),
    [
        pytest.param(100, 40014, id="voided"),
        pytest.param(7200, 42001, id="expired"),
    ],
)
def test_a_dead_token_opens_nothing(office: Office, call: str, seconds: int, errcode: int) -> None:
    token = office.token()
    if errcode == 40014:
        office.world.void(office.agent(), after(seconds))

    reply = office.ask(call, token, seconds, type="agent_config")

    assert reply["errcode"] == errcode
    assert "from ip: " in reply["errmsg"]
    assert office.world.rejected_uses == 1


@pytest.mark.parametrize("call", ["get_jsapi_ticket", "ticket_get"])
@pytest.mark.parametrize(
    ("token", "errcode", "rejected"),
    [
        pytest.param("", 41001, 0, id="missing"),
        pytest.param("made-up", 40014, 1, id="unknown"),
    ],
)
def test_a_token_that_nobody_got_opens_no_tickets(
    office: Office, call: str, token: str, errcode: int, rejected: int
) -> None:
    reply = office.ask(call, token, type="agent_config")

    assert {**reply, "errmsg": ""} == {
        "errcode": errcode,
        "errmsg": "",
        "ticket": "",
        "expires_in": 0,
    }
    assert office.world.rejected_uses == rejected


def test_a_refused_business_call_carries_empty_fields(office: Office) -> None:
    token = office.token()

    assert office.use(token, 7200)["ip_list"] == []


def test_a_ticket_is_no_token(office: Office) -> None:
    ticket = office.corp_ticket()["ticket"]

    assert office.ask("get_jsapi_ticket", ticket)["errcode"] == 40014


def test_official_accounts_and_wecom_do_not_take_each_others_tokens() -> None:
    town = Town()
    world = World([town.account], Random(2), [corp()])
    official = world.token(GOOD, caller=CALLER, now=NOON)
    wecom = world.gettoken(
        {"corpid": CORPID, "corpsecret": SECRETS[SALES]}, caller=CALLER, now=NOON
    )

    def errcode(call: Callable[..., Reply], got: Reply) -> int:
        query = {"access_token": got["access_token"], "type": "jsapi"}
        return call(query, caller=CALLER, now=NOON).get("errcode", 0)

    assert errcode(world.getticket, wecom) == 40001
    assert errcode(world.get_jsapi_ticket, official) == 40014
    assert errcode(world.get_api_domain_ip, wecom) == 0
    assert errcode(world.get_api_domain_ip, official) == 0


# Tickets


@pytest.mark.parametrize("call", ["corp_ticket", "agent_ticket"])
def test_a_ticket_is_the_same_as_long_as_it_lives(office: Office, call: str) -> None:
    ticket = getattr(office, call)

    first, again, next_one = ticket(), ticket(7199), ticket(7200)

    assert office.is_valid(first["ticket"], 7199)
    assert again == {**first, "expires_in": 1}
    assert next_one["ticket"] != first["ticket"]
    assert first == {"errcode": 0, "errmsg": "ok", "ticket": first["ticket"], "expires_in": 7200}


def test_agents_share_the_corps_ticket_and_have_one_of_their_own(office: Office) -> None:
    shared = {office.corp_ticket(agentid=each)["ticket"] for each in SECRETS}
    own = {office.agent_ticket(agentid=each)["ticket"] for each in SECRETS}

    assert (len(shared), len(own)) == (1, 2)
    assert not shared & own


@pytest.mark.parametrize("kind", ["", "jsapi"])
def test_other_types_of_ticket_are_refused(office: Office, kind: str) -> None:
    assert office.agent_ticket(kind=kind)["errcode"] == 40097


# Limits


def test_100_tokens_an_hour_for_an_agent(office: Office) -> None:
    granted = [office.gettoken()["errcode"] for _ in range(100)]

    refused = office.gettoken()

    assert set(granted) == {0}
    assert refused["errcode"] == 45009
    assert refused["errmsg"].startswith("api freq out of limit, hint: ")
    assert office.gettoken(agentid=STOCK)["errcode"] == 0
    assert office.gettoken(HOUR - 1)["errcode"] == 45009
    assert office.gettoken(HOUR)["errcode"] == 0


@pytest.mark.parametrize(
    ("corps", "own"),
    [pytest.param(100, 0, id="the corp's"), pytest.param(60, 40, id="of both types")],
)
def test_100_tickets_an_hour_for_an_agent(office: Office, corps: int, own: int) -> None:
    office.agent().hourly_tokens = 1000
    granted = _tickets_of_sales(office, corps=corps, own=own)

    assert {reply["errcode"] for reply in granted} == {0}
    assert office.corp_ticket()["errcode"] == 45009
    assert office.agent_ticket()["errcode"] == 45009
    assert office.agent_ticket(agentid=STOCK)["errcode"] == 0
    assert office.agent_ticket(HOUR - 1)["errcode"] == 45009
    assert office.agent_ticket(HOUR)["errcode"] == 0


def test_400_of_its_tickets_an_hour_for_a_corp(office: Office) -> None:
    assert office.corp.hourly_tickets == 400
    office.corp.hourly_tickets = 2
    for agentid in SECRETS:
        office.corp_ticket(agentid=agentid)

    assert office.corp_ticket()["errcode"] == 45009
    assert office.agent_ticket()["errcode"] == 0
    assert office.corp_ticket(HOUR)["errcode"] == 0


def test_10000_calls_of_one_kind_a_minute(office: Office) -> None:
    token = office.token()
    granted = [office.use(token)["errcode"] for _ in range(10_000)]

    assert set(granted) == {0}
    assert office.use(token, 59)["errcode"] == 45009
    assert office.corp_ticket()["errcode"] == 0
    assert office.use(token, 60)["errcode"] == 0


def test_150000_calls_of_one_kind_an_hour(office: Office) -> None:
    assert office.corp.hourly_calls == 150_000
    office.corp.hourly_calls = 2
    token = office.token()
    for seconds in (0, 60):
        office.use(token, seconds)

    assert office.use(token, 120)["errcode"] == 45009
    assert office.use(token, HOUR)["errcode"] == 0


def test_gettoken_counts_among_the_calls_of_the_corp(office: Office) -> None:
    office.corp.minutely_calls = 1
    office.token()

    assert office.gettoken(agentid=STOCK)["errcode"] == 45009


# Who is shut out


def _bring_bad_secrets(office: Office, number: int, seconds: float = 0) -> None:
    for _ in range(number):
        office.gettoken(seconds, corpsecret="wrong")


def test_2000_bad_secrets_within_an_hour_shut_the_caller_out_for_an_hour(office: Office) -> None:
    token = office.token()
    _bring_bad_secrets(office, 1000)
    _bring_bad_secrets(office, 999, HOUR - 2)
    assert office.gettoken(HOUR - 2)["errcode"] == 0

    _bring_bad_secrets(office, 1, HOUR - 1)

    calls = [office.gettoken(HOUR - 1), office.corp_ticket(HOUR - 1), office.use(token, HOUR - 1)]
    assert [reply["errcode"] for reply in calls] == [45009] * 3
    assert office.gettoken(2 * HOUR - 2)["errcode"] == 45009
    assert office.gettoken(2 * HOUR - 1)["errcode"] == 0


def test_2000_bad_secrets_in_more_than_an_hour_do_not(office: Office) -> None:
    _bring_bad_secrets(office, 1)
    _bring_bad_secrets(office, 1999, HOUR)

    assert office.gettoken(HOUR)["errcode"] == 0


def test_callers_elsewhere_are_not_shut_out(office: Office) -> None:
    _bring_bad_secrets(office, 2000)

    assert office.gettoken(caller=ELSEWHERE)["errcode"] == 0


def test_callers_are_counted_apart(office: Office) -> None:
    _bring_bad_secrets(office, 1999)

    office.gettoken(corpsecret="wrong", caller=ELSEWHERE)

    assert office.gettoken()["errcode"] == 0
    assert office.gettoken(caller=ELSEWHERE)["errcode"] == 0


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"corpid": "ww"}, id="bad corpid"),
        pytest.param({"corpsecret": ""}, id="no secret"),
    ],
)
def test_other_mistakes_shut_nobody_out(office: Office, change: dict[str, str]) -> None:
    for _ in range(2000):
        office.gettoken(**change)

    assert office.gettoken()["errcode"] == 0


def test_an_agent_is_called_from_its_trusted_addresses(office: Office) -> None:
    token = office.token()
    office.agent().trusted_ips = ("203.0.113.*",)

    assert office.gettoken()["errcode"] == 60020
    refused = office.use(token)
    assert refused["errcode"] == 60020
    assert refused["errmsg"].startswith("not allow to access from your ip, hint: ")
    assert office.use(token, caller=ELSEWHERE)["errcode"] == 0
    assert office.gettoken(caller=ELSEWHERE)["errcode"] == 0
    assert office.gettoken(agentid=STOCK)["errcode"] == 0
    assert office.world.rejected_uses == 0


# The ledger


def test_calls_are_counted_for_the_corp(office: Office) -> None:
    token = office.token()
    office.gettoken(corpsecret="wrong")
    office.gettoken(corpid="")
    office.gettoken(corpid="wwffffffffffffffff")
    office.use(token)
    office.use(token, 7200)
    office.ask("get_jsapi_ticket", token)
    office.ask("ticket_get", "made-up")

    assert office.world.calls(CORPID, "gettoken") == 2
    assert office.world.all_calls() == {
        CORPID: {"gettoken": 2, "get_api_domain_ip": 2, "get_jsapi_ticket": 1},
        "": {"gettoken": 1, "ticket_get": 1},
        "wwffffffffffffffff": {"gettoken": 1},
    }


def test_asking_who_owns_a_token_is_no_call(office: Office) -> None:
    with pytest.raises(KeyError):
        office.world.agent(CORPID, 1)
    office.is_valid("made-up", 0)

    assert office.world.all_calls() == {}
