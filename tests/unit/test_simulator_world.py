"""WeChat's rules, as the simulator plays them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.town import APPID, CALLER, GOOD, NOON, SECRET, Fetch, Town, after

from tokend.simulator.account import Account
from tokend.simulator.world import World

# Both endpoints: what they answer


def test_success_is_a_token_and_its_seconds_and_nothing_else(fetch: Fetch) -> None:
    reply = fetch()

    assert reply.keys() == {"access_token", "expires_in"}
    assert reply["expires_in"] == 7200
    assert type(reply["expires_in"]) is int


def test_a_token_looks_like_wechats(fetch: Fetch) -> None:
    token = fetch()["access_token"]

    assert re.fullmatch(r"\d+_[A-Za-z0-9_-]+", token)
    assert len(token) == 136


@pytest.mark.parametrize("length", [512, 4096])
def test_a_token_may_be_long(length: int) -> None:
    town = Town(token_length=length)

    token = town.classic()["access_token"]

    assert len(token) == length
    assert "ip_list" in town.use(token)


def test_accounts_of_the_same_seed_do_not_share_tokens() -> None:
    """Tokens are per appid."""
    appids = ("wxaaaaaaaaaaaaaaaa", "wxbbbbbbbbbbbbbbbb")
    accounts = [Account(appid=appid, secret=SECRET, random=Random(1)) for appid in appids]
    world = World(accounts, Random(2))

    replies = [world.token({**GOOD, "appid": each}, caller=CALLER, now=NOON) for each in appids]

    assert replies[0]["access_token"] != replies[1]["access_token"]


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        pytest.param({"appid": ""}, 41002, id="no appid"),
        pytest.param({"appid": "wxffffffffffffffff"}, 40013, id="unknown appid"),
        pytest.param({"appid": APPID.upper()}, 40013, id="appid in capitals"),
        pytest.param({"appid": APPID + " "}, 40013, id="appid with a space"),
        pytest.param({"grant_type": ""}, 40002, id="no grant_type"),
        pytest.param({"grant_type": "authorization_code"}, 40002, id="another grant_type"),
        pytest.param({"secret": ""}, 41004, id="no secret"),
        pytest.param({"secret": "wrong"}, 40125, id="wrong secret"),
        pytest.param({"appid": "", "grant_type": ""}, 41002, id="appid before grant_type"),
        pytest.param({"appid": "wx", "grant_type": ""}, 40013, id="appid before all else"),
        pytest.param({"grant_type": "", "secret": ""}, 40002, id="grant_type before secret"),
    ],
)
def test_a_bad_request_is_refused(fetch: Fetch, change: dict[str, str], errcode: int) -> None:
    reply = fetch(**change)

    assert reply["errcode"] == errcode


@pytest.mark.parametrize(
    ("settings", "errcode"),
    [
        pytest.param({"frozen": True}, 40243, id="frozen secret"),
        pytest.param({"administrator": 89503}, 89503, id="administrator is asked"),
        pytest.param({"administrator": 89507}, 89507, id="administrator refused"),
        pytest.param({"administrator": 89506}, 89506, id="administrator refused twice"),
        pytest.param({"frozen": True, "ip_whitelist": ("9.9.9.9",)}, 40243, id="frozen first"),
        pytest.param({"administrator": 89503, "ip_whitelist": ("9.9.9.9",)}, 40164, id="ip first"),
    ],
)
def test_what_the_owner_set_is_obeyed(
    town: Town, fetch: Fetch, settings: dict[str, Any], errcode: int
) -> None:
    for name, value in settings.items():
        setattr(town.account, name, value)

    assert fetch()["errcode"] == errcode


def test_a_wrong_secret_learns_nothing_of_the_account(town: Town, fetch: Fetch) -> None:
    town.account.frozen = True

    assert fetch(secret="wrong")["errcode"] == 40125


def test_an_error_ends_with_a_request_id_that_tells_the_time(town: Town) -> None:
    # 61725984 is 2021-10-22 06:26:12 UTC in WeChat's own example.
    when = datetime(2021, 10, 22, 6, 26, 12, tzinfo=UTC)

    errmsg = town.world.token({}, caller=CALLER, now=when)["errmsg"]

    assert re.fullmatch(r"appid missing rid: 61725984-[0-9a-f]{8}-[0-9a-f]{8}", errmsg)


def test_a_refusal_is_an_errcode_and_an_errmsg_and_nothing_else(fetch: Fetch) -> None:
    assert fetch(secret="wrong").keys() == {"errcode", "errmsg"}


def test_a_refusal_ends_no_token(town: Town, fetch: Fetch) -> None:
    token = fetch()

    fetch(6950, secret="wrong")
    fetch(6950, grant_type="")

    assert town.valid(token, 7199)


# The whitelist


@pytest.mark.parametrize(
    ("entry", "caller"),
    [
        pytest.param("203.0.113.7", "203.0.113.7", id="one address"),
        pytest.param("203.0.113.0/24", "203.0.113.200", id="network"),
        pytest.param("203.0.113.*", "203.0.113.200", id="star"),
        pytest.param("203.0.113.7", "::ffff:203.0.113.7", id="IPv4 at a dual-stack socket"),
        pytest.param("2001:db8::/32", "2001:db8::1", id="IPv6 network"),
    ],
)
def test_a_listed_address_is_admitted(fetch: Fetch, town: Town, entry: str, caller: str) -> None:
    town.account.ip_whitelist = ("192.0.2.1", entry)

    assert "access_token" in fetch(caller=caller)


@pytest.mark.parametrize(
    ("entry", "caller", "said"),
    [
        pytest.param(
            "203.0.113.7",
            "203.0.113.8",
            "invalid ip 203.0.113.8 ipv6 ::ffff:203.0.113.8, not in whitelist",
            id="another address",
        ),
        pytest.param(
            "203.0.113.*",
            "::ffff:203.0.114.1",
            "invalid ip 203.0.114.1 ipv6 ::ffff:203.0.114.1, not in whitelist",
            id="beside the star",
        ),
        pytest.param(
            "203.0.113.0/24",
            "2001:db8::1",
            "invalid ip 2001:db8::1 ipv6 2001:db8::1, not in whitelist",
            id="IPv6",
        ),
    ],
)
def test_another_address_is_refused_and_told(
    fetch: Fetch, town: Town, entry: str, caller: str, said: str
) -> None:
    town.account.ip_whitelist = (entry,)

    reply = fetch(caller=caller)

    assert reply["errcode"] == 40164
    assert reply["errmsg"].startswith(said + " rid: ")


# The classic token


def test_every_classic_fetch_gives_a_new_token(town: Town) -> None:
    tokens = {town.classic()["access_token"] for _ in range(5)}

    assert len(tokens) == 5


@pytest.mark.parametrize(
    ("seconds", "alive"),
    [
        pytest.param(0, True, id="born"),
        pytest.param(7199.9, True, id="to the last moment"),
        pytest.param(7200, False, id="not longer"),
    ],
)
def test_a_token_lives_7200_seconds(
    town: Town, fetch: Fetch, seconds: float, *, alive: bool
) -> None:
    token = fetch()

    assert town.valid(token, seconds) is alive


@pytest.mark.parametrize(
    ("seconds", "alive"),
    [
        pytest.param(1000, True, id="at once"),
        pytest.param(1299.9, True, id="within 300 s"),
        pytest.param(1300, False, id="after 300 s"),
        pytest.param(7300, False, id="long after"),
    ],
)
def test_a_superseded_classic_token_lives_300_seconds_more(
    town: Town, seconds: float, *, alive: bool
) -> None:
    old = town.classic()
    new = town.classic(1000)

    assert town.valid(old, seconds) is alive
    assert town.valid(new, seconds)


def test_superseding_does_not_lengthen_a_life(town: Town) -> None:
    old = town.classic()
    town.classic(7150)

    assert town.valid(old, 7199)
    assert not town.valid(old, 7200)


def test_a_third_classic_fetch_within_300_seconds_kills_the_first_at_once(town: Town) -> None:
    first, second, third = town.classic(), town.classic(10), town.classic(20)

    assert [town.valid(each, 20) for each in (first, second, third)] == [False, True, True]


def test_the_third_classic_fetch_gives_the_second_token_its_own_300_seconds(town: Town) -> None:
    town.classic()
    second = town.classic(10)
    town.classic(100)

    assert town.valid(second, 399)
    assert not town.valid(second, 400)


@pytest.mark.parametrize(
    ("seconds", "refused"),
    [
        pytest.param(3600, True, id="same day"),
        pytest.param(12 * 3600 - 1, True, id="before midnight in Beijing"),
        pytest.param(12 * 3600, False, id="midnight in Beijing"),
    ],
)
def test_the_classic_quota_is_of_beijings_day(seconds: float, *, refused: bool) -> None:
    town = Town(daily_tokens=3)
    for second in range(3):
        town.classic(second)

    assert (town.classic(seconds).get("errcode") == 45009) is refused


def test_a_new_account_has_2000_classic_fetches_a_day(town: Town) -> None:
    granted = ["access_token" in town.classic() for _ in range(2001)]

    assert granted == [True] * 2000 + [False]


def test_a_used_up_quota_leaves_the_token_alive() -> None:
    town = Town(daily_tokens=1)
    token = town.classic()

    reply = town.classic(10)

    assert reply["errmsg"].startswith("reach max api daily quota limit rid: ")
    assert town.valid(token, 7199)


def test_refused_calls_use_up_no_quota() -> None:
    town = Town(daily_tokens=1)
    town.classic(secret="wrong")

    assert "access_token" in town.classic()


# The stable token


@pytest.mark.parametrize(
    ("seconds", "left"),
    [
        pytest.param(0, 7200, id="at once"),
        pytest.param(1000, 6200, id="later"),
        pytest.param(1000.5, 6199, id="half a second is not promised"),
        pytest.param(6900, 300, id="300 s left"),
    ],
)
def test_the_stable_token_stays_and_its_seconds_run_down(
    town: Town, seconds: float, left: int
) -> None:
    first = town.stable()

    reply = town.stable(seconds)

    assert reply == {"access_token": first["access_token"], "expires_in": left}


def test_in_its_last_300_seconds_there_is_a_new_stable_token(town: Town) -> None:
    old = town.stable()

    new = town.stable(6900.1)

    assert new["access_token"] != old["access_token"]
    assert new["expires_in"] == 7200


def test_both_stable_tokens_are_good_until_the_natural_end_of_the_old_one(town: Town) -> None:
    old = town.stable()
    new = town.stable(6901)

    assert town.valid(old, 7199)
    assert not town.valid(old, 7200)
    assert town.valid(new, 6901 + 7199)


def test_nobody_renews_a_stable_token_that_nobody_asks_for(town: Town) -> None:
    old = town.stable()

    new = town.stable(9000)

    assert not town.valid(old, 9000)
    assert new["expires_in"] == 7200


def test_classic_and_stable_tokens_do_not_supersede_each_other(town: Town) -> None:
    stable, classic = town.stable(), town.classic()

    town.classic(1)
    town.forced(2)
    town.forced(60)

    assert town.valid(classic, 300)
    assert not town.valid(stable, 60)


def test_classic_fetches_leave_the_stable_token_alone(town: Town) -> None:
    stable = town.stable()

    for second in range(10):
        town.classic(second)

    assert town.valid(stable, 7199)
    assert town.stable(100)["access_token"] == stable["access_token"]


def test_a_forced_refresh_gives_a_new_token_that_stays(town: Town) -> None:
    old = town.stable()

    new = town.forced(100)

    assert new["access_token"] != old["access_token"]
    assert new["expires_in"] == 7200
    assert town.stable(200) == {"access_token": new["access_token"], "expires_in": 7100}


def test_a_forced_refresh_leaves_the_former_token_at_most_300_seconds(town: Town) -> None:
    old = town.stable()
    town.forced(100)

    assert town.valid(old, 399)
    assert not town.valid(old, 400)


def test_a_second_forced_refresh_kills_the_leaked_token_at_once(town: Town) -> None:
    leaked = town.stable()
    town.forced(100)

    town.forced(130)

    assert not town.valid(leaked, 130)


@pytest.mark.parametrize(
    ("pause", "refreshed"),
    [
        pytest.param(0, False, id="at once"),
        pytest.param(29.9, False, id="too early"),
        pytest.param(30, True, id="30 s"),
    ],
)
def test_forced_refreshes_are_30_seconds_apart_or_nothing_is_refreshed(
    town: Town, pause: float, *, refreshed: bool
) -> None:
    old = town.stable()
    first = town.forced(100)

    second = town.forced(100 + pause)

    assert (second["access_token"] != first["access_token"]) is refreshed
    assert town.valid(old, 100 + pause) is not refreshed


def test_twenty_forced_refreshes_a_day(town: Town) -> None:
    replies = [town.forced(30 * number) for number in range(21)]

    assert all("access_token" in reply for reply in replies[:20])
    assert replies[20]["errcode"] == 45009
    assert "access_token" in town.forced(12 * 3600)


def test_without_forced_refreshes_left_the_token_stays(town: Town) -> None:
    town.account.daily_forced = 0
    token = town.stable()

    town.forced(100)

    assert town.stable(200)["access_token"] == token["access_token"]


def test_a_forced_call_that_refreshed_nothing_is_not_counted_as_forced(town: Town) -> None:
    town.account.daily_forced = 2
    for seconds in (0, 10, 20):
        town.forced(seconds)

    assert "access_token" in town.forced(60)


def test_10000_stable_calls_a_minute(town: Town) -> None:
    granted = ["access_token" in town.stable(59) for _ in range(10_001)]

    assert granted == [True] * 10_000 + [False]
    assert town.stable(59)["errcode"] == 45011
    assert "access_token" in town.stable(60)


def test_500000_stable_calls_a_day(town: Town) -> None:
    assert town.account.daily_stable == 500_000
    town.account.daily_stable = 3
    for seconds in range(3):
        town.stable(seconds)

    assert town.stable(3)["errcode"] == 45009
    assert "access_token" in town.stable(12 * 3600)


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        pytest.param(b"", 44002, id="empty"),
        pytest.param(b"{", 47001, id="cut off"),
        pytest.param(b"grant_type=client_credential", 47001, id="a form"),
        pytest.param(b"[]", 47001, id="a list"),
        pytest.param(b"null", 47001, id="null"),
        pytest.param(b"\xff\xfe", 47001, id="not UTF-8"),
        pytest.param(b"[" * 100_000, 47001, id="deep"),
        pytest.param(b"{}", 41002, id="empty object"),
        pytest.param(b'{"appid": ["wx"]}', 40013, id="appid of another type"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(town: Town, body: bytes, errcode: int) -> None:
    reply = town.world.stable_token(body, caller=CALLER, now=NOON)

    assert reply["errcode"] == errcode


@pytest.mark.parametrize("forced", ["true", 1, None])
def test_force_refresh_is_a_boolean(town: Town, forced: object) -> None:
    assert town.stable(force_refresh=forced)["errcode"] == 47001


def test_the_stable_token_wants_post(town: Town) -> None:
    assert town.world.wrong_method(now=NOON)["errcode"] == 43002


# Business calls


def test_a_business_call_takes_a_good_token(town: Town, fetch: Fetch) -> None:
    token = fetch()["access_token"]

    reply = town.use(token)

    assert reply.keys() == {"ip_list"}


def test_a_business_call_without_a_token_is_told_so(town: Town) -> None:
    assert town.use("")["errcode"] == 41001
    assert town.world.rejected_uses == 0


@pytest.mark.parametrize(
    ("seconds", "errcode"),
    [
        pytest.param(1300, 40001, id="superseded"),
        pytest.param(7300, 40001, id="superseded, and old"),
    ],
)
def test_a_superseded_token_is_called_not_latest(town: Town, seconds: int, errcode: int) -> None:
    old = town.classic()["access_token"]
    town.classic(1000)

    reply = town.use(old, seconds)

    assert reply["errcode"] == errcode
    assert reply["errmsg"].startswith(
        "invalid credential, access_token is invalid or not latest, could get access_token by "
        "getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r rid: "
    )


def test_a_token_that_reached_its_end_is_called_expired(town: Town, fetch: Fetch) -> None:
    token = fetch()["access_token"]

    assert town.use(token, 7200)["errcode"] == 42001


def test_a_token_replaced_in_its_last_300_seconds_ends_as_expired(town: Town, fetch: Fetch) -> None:
    old = fetch()["access_token"]
    fetch(6950)

    assert town.use(old, 7200)["errcode"] == 42001


@pytest.mark.parametrize("token", ["made-up", "92_" + "x" * 133])
def test_a_token_that_nobody_ever_got_is_called_not_latest(town: Town, token: str) -> None:
    assert town.use(token)["errcode"] == 40001


# The ledger, and what others do


def test_calls_are_counted_refused_or_not(town: Town) -> None:
    token = town.classic()["access_token"]
    town.classic(secret="wrong")
    town.stable(appid="wxffffffffffffffff")
    town.use(token)
    town.use(token, 7200)
    town.ticket(token)

    assert town.world.calls(APPID, "token") == 2
    assert town.world.calls(APPID, "stable_token") == 0
    assert town.world.all_calls() == {
        APPID: {"token": 2, "get_api_domain_ip": 2, "getticket": 1},
        "wxffffffffffffffff": {"stable_token": 1},
    }


def test_calls_that_name_no_account_are_counted_for_nobody(town: Town) -> None:
    town.classic(appid="")
    town.world.wrong_method(now=NOON)
    town.world.stable_token(b"{", caller=CALLER, now=NOON)
    town.use("made-up")
    town.use("")

    assert town.world.all_calls() == {"": {"token": 1, "stable_token": 2, "get_api_domain_ip": 2}}


def test_bad_tokens_at_business_calls_are_counted(town: Town) -> None:
    token = town.classic()["access_token"]
    town.use(token)
    town.use(token, 7200)
    town.ticket("made-up")

    assert town.world.rejected_uses == 2


def test_asking_the_ledger_is_no_call(town: Town) -> None:
    town.world.is_valid("made-up", NOON)
    town.world.calls(APPID, "token")

    assert town.world.all_calls() == {}
    assert town.world.rejected_uses == 0


def test_the_ledger_knows_every_token_and_its_times(town: Town) -> None:
    first, second = town.classic(), town.classic(1000)

    issued = town.world.issued(APPID, "token")

    assert [each.value for each in issued] == [first["access_token"], second["access_token"]]
    assert [each.issued_at for each in issued] == [NOON, after(1000)]
    assert [each.expires_at for each in issued] == [after(7200), after(8200)]
    assert [each.dies_at for each in issued] == [after(1300), after(8200)]
    assert town.world.issued(APPID, "stable_token") == ()


def test_a_rotation_by_others_supersedes_both_tokens(town: Town, fetch: Fetch) -> None:
    ours = fetch()

    town.world.rotate(APPID, after(100))

    assert town.valid(ours, 399)
    assert not town.valid(ours, 400)


def test_two_rotations_kill_what_was_known_at_once(town: Town, fetch: Fetch) -> None:
    ours = fetch()

    town.world.rotate(APPID, after(100))
    town.world.rotate(APPID, after(100))

    assert not town.valid(ours, 100)


def test_after_a_rotation_by_others_stable_calls_give_their_token(town: Town) -> None:
    ours = town.stable()

    town.world.rotate(APPID, after(100))

    theirs = town.world.issued(APPID, "stable_token")[-1].value
    assert town.stable(101) == {"access_token": theirs, "expires_in": 7199}
    assert theirs != ours["access_token"]


def test_a_printed_account_shows_no_secret(town: Town) -> None:
    assert SECRET not in repr(town.account)


# Whatever happens

steps = st.lists(
    st.tuples(
        st.sampled_from(["classic", "stable", "forced", "rotate", "nothing"]),
        st.one_of(
            st.sampled_from([0, 1, 29, 30, 299, 300, 301, 6900, 7199, 7200]),
            st.floats(min_value=0, max_value=8000),
        ),
    ),
    max_size=40,
)


@given(steps=steps)
def test_at_most_two_tokens_of_an_endpoint_are_good_and_the_newest_is_until_it_expires(
    steps: list[tuple[str, float]],
) -> None:
    town, seconds = Town(), 0.0

    for action, pause in steps:
        if action == "rotate":
            town.world.rotate(APPID, after(seconds))
        elif action != "nothing":
            getattr(town, action)(seconds)
        _check_ledger(town, seconds)
        seconds += pause
        _check_ledger(town, seconds)


def _check_ledger(town: Town, seconds: float) -> None:
    now = after(seconds)
    for endpoint in ("token", "stable_token"):
        issued = town.world.issued(APPID, endpoint)
        good = [each for each in issued if town.world.is_valid(each.value, now)]
        assert len(good) <= 2
        assert good == list(issued[len(issued) - len(good) :])
        if issued:
            newest = issued[-1]
            assert town.world.is_valid(newest.value, now) == (now < newest.expires_at)


@given(steps=steps)
def test_a_stable_answer_is_good_for_300_seconds_at_least_if_nobody_else_refreshes(
    steps: list[tuple[str, float]],
) -> None:
    """WeChat's manual: at any moment expires_in >= 300."""
    town, seconds = Town(), 0.0

    for action, pause in steps:
        if action in {"classic", "stable", "forced"}:
            reply = getattr(town, action)(seconds)
            assert reply.get("errcode") == 45009 or reply["expires_in"] >= 300
            assert "errcode" in reply or town.valid(reply, seconds + 299.9)
        seconds += pause
