"""Each protection of the refresh protocol, switched off in a copy of tokend: its tests must fail.

A test that no missing protection can make fail protects nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "tokend"

PROTOCOL = "unit/test_protocol.py::test_"
KEEPER = "unit/test_keeper.py::test_"
STORES = "integration/test_stores.py::test_"
INTERLEAVINGS = "integration/test_interleavings.py::test_of_two_nodes"


@dataclass(frozen=True)
class Protection:
    """*has* is how the line in *file* reads, *without* how it reads with the protection off."""

    name: str
    file: str
    has: str
    without: str
    tests: tuple[str, ...]


PROTECTIONS = (
    Protection(
        "look again under the lease",
        "refresher.py",
        "        try:\n            found = await self.look()",
        "        try:\n            found = None",
        (f"{KEEPER}a_refresh_by_another_node_just_before_the_lease_is_seen",),
    ),
    Protection(
        "single flight",
        "keeper.py",
        "            flight = self._flight or self._launch_request(token, rejected, by)",
        "            flight = self._launch_request(token, rejected, by)",
        (f"{PROTOCOL}two_hundred_reports_in_one_process_take_one_lease",),
    ),
    Protection(
        "one holder of the lease",
        "store/lua/acquire.lua",
        "  if is_ours then\n    return {'0', swept}",
        "  if false then\n    return {'0', swept}",
        (f"{STORES}one_of_many_who_ask_at_once_gets_the_lease",),
    ),
    Protection(
        "the fence grows, whatever the store has lost",
        "store/lua/acquire.lua",
        "math.max(now, last + 1, above + 1)",
        "(now * 0 + last + 1)",
        (f"{STORES}a_fence_is_greater_than_what_the_node_has_seen",),
    ),
    Protection(
        "an overtaken fence stores nothing",
        "store/lua/save.lua",
        "if my_fence <= kept_fence then",
        "if false then",
        (f"{STORES}an_overtaken_fence_is_refused_and_the_winner_marked",),
    ),
    Protection(
        "intent",
        "store/lua/acquire.lua",
        "redis.call('HSET', record, 'intent', fence,",
        "redis.call('HSET', record, 'intent', '0',",
        (INTERLEAVINGS,),
    ),
    Protection(
        "an intent that is inherited makes suspect",
        "store/lua/save.lua",
        "  or number('inherited') > 0",
        "  or false",
        (INTERLEAVINGS,),
    ),
    Protection(
        "compare and set: somebody stored since",
        "store/lua/save.lua",
        "local doubtful = math.max(number('stored_at'), number('doubted_at')) > my_fence",
        "local doubtful = number('doubted_at') > my_fence",
        (f"{STORES}a_value_is_suspect_if_another_was_stored_since_its_lease_was_given",),
    ),
    Protection(
        "compare and set: somebody was refused since",
        "store/lua/save.lua",
        "local doubtful = math.max(number('stored_at'), number('doubted_at')) > my_fence",
        "local doubtful = number('stored_at') > my_fence",
        (f"{STORES}a_refused_value_makes_the_next_one_suspect",),
    ),
    Protection(
        "compare and set: somebody acquired since",
        "store/lua/save.lua",
        "  or not mine_is_last_intent\n  or redis.call('GET', lease) ~= owner",
        "  or false",
        (f"{STORES}a_value_saved_after_the_lease_was_lost_is_suspect",),
    ),
    Protection(
        "a refused save casts doubt",
        "store/lua/save.lua",
        "  if not same then\n    redis.call('HSET', record, 'suspect', '1',",
        "  if false then\n    redis.call('HSET', record, 'suspect', '1',",
        (f"{STORES}a_refused_value_makes_the_next_one_suspect",),
    ),
    Protection(
        "guard before the call",
        "asking.py",
        "        if late > NO_TIME:",
        "        if False:",
        (f"{PROTOCOL}a_node_that_got_its_lease_too_late_does_not_ask_under_it",),
    ),
    Protection(
        "quarantine",
        "refresher.py",
        "return _AT_ONCE if self.is_free else self._means.terms.quarantine",
        "return _AT_ONCE",
        (f"{PROTOCOL}after_an_unclear_classic_answer_no_other_node_asks_for_90_seconds",),
    ),
    Protection(
        "a lease that ended in a crash is not given back",
        "refresher.py",
        "        except (UpstreamError, RefreshLimited, LeaseBusy, StoreError):",
        "        except BaseException:",
        (f"{PROTOCOL}the_token_of_a_node_that_died_in_a_refresh_becomes_suspect",),
    ),
    Protection(
        "a suspect token is confirmed",
        "policy.py",
        "        return now + pace.quarantine\n",
        "        return None\n",
        (
            f"{PROTOCOL}a_suspect_classic_token_is_replaced_once_after_the_quarantine",
            f"{PROTOCOL}a_suspect_stable_token_is_compared_at_once",
        ),
    ),
    Protection(
        "reconciling",
        "policy.py",
        "    if not pace.reconcile:",
        "    if pace.reconcile:",
        (f"{PROTOCOL}a_token_that_somebody_else_replaced_is_found_out_before_the_old_one_dies",),
    ),
    Protection(
        "backoff",
        "plan.py",
        "        self._retry_at = now + row.wait(tries, self._draw())",
        "        self._retry_at = now",
        (
            f"{KEEPER}a_refused_secret_is_not_tried_in_a_hurry",
            f"{KEEPER}an_administrator_who_refused_twice_is_left_alone_for_a_day",
        ),
    ),
    Protection(
        "breaker",
        "breaker.py",
        "        if now >= self._open_until and self._is_exceeded(now):",
        "        if False:",
        (f"{PROTOCOL}a_loop_that_nothing_planned_is_stopped_after_twenty_calls_a_minute",),
    ),
    Protection(
        "the budget is counted by all nodes together",
        "budget.py",
        "        self._refuse(wait_of_all, by_operator=by_operator)",
        "        pass",
        (f"{PROTOCOL}two_nodes_share_one_minute_between_costly_calls",),
    ),
    Protection(
        "the budget is counted in memory too",
        "budget.py",
        "        self._refuse(wait * _MICROSECOND, by_operator=by_operator)",
        "        pass",
        (f"{PROTOCOL}the_minute_is_kept_by_a_node_whose_store_forgets",),
    ),
    Protection(
        "a free call comes before a forced one",
        "refresher.py",
        "        if self.is_free:\n            token = await self._asking.current",
        "        if False:\n            token = await self._asking.current",
        (f"{KEEPER}a_report_after_a_rotation_behind_our_back_costs_no_forced_refresh",),
    ),
    Protection(
        "a save is tried again",
        "leases.py",
        "        for pause in _SAVE_PAUSES:",
        "        for pause in ():",
        (f"{PROTOCOL}a_save_that_fails_twice_is_tried_a_third_time",),
    ),
    Protection(
        "an acquire is asked for again by the same owner",
        "leases.py",
        "        except StoreError:\n            lease = await acquire()",
        "        except StoreError:\n            raise",
        (f"{PROTOCOL}a_lost_answer_to_the_acquiring_is_asked_for_again",),
    ),
    Protection(
        "redis-py does not ask again by itself",
        "store/connection.py",
        '"retry": Retry(NoBackoff(), 0)',
        '"retry": Retry(NoBackoff(), 3)',
        (f"{STORES}a_command_whose_answer_is_lost_is_not_sent_again",),
    ),
    Protection(
        "an unclear costly call leaves its intent",
        "refresher.py",
        "        if not right.was_costly:",
        "        if True:",
        (f"{PROTOCOL}an_unclear_forced_call_is_known_to_every_node",),
    ),
    Protection(
        "who could not ask leaves the intent that was inherited",
        "store/record.py",
        "settled = replace(record, intent=record.inherited, inherited=0)",
        "settled = replace(record, intent=0, inherited=0)",
        (f"{PROTOCOL}an_heir_that_could_not_ask_leaves_the_dead_nodes_intent_to_the_next",),
    ),
    Protection(
        "a restored token stays suspect",
        "store/record.py",
        "suspect=suspect or (",
        "suspect=False or (",
        (f"{PROTOCOL}a_suspect_token_is_suspect_still_when_it_was_restored",),
    ),
    Protection(
        "an older token does not replace a newer one",
        "keeper.py",
        "found is None or (token is not None and found.is_older_than(token))",
        "found is None",
        (f"{PROTOCOL}an_older_token_that_is_restored_first_does_not_win",),
    ),
    Protection(
        "a flight knows what it began with",
        "keeper.py",
        "partial(self._is_due, token)",
        "lambda found: self._is_due(self._kept.token, found)",
        (f"{PROTOCOL}a_flight_that_waited_for_the_lease_is_content",),
    ),
    Protection(
        "refund",
        "asking.py",
        "            await purse.refund()",
        "            pass",
        (f"{PROTOCOL}calls_that_never_got_to_wechat_cost_nothing",),
    ),
    Protection(
        "what WeChat forbade outlives a restored token",
        "kept.py",
        "        if asked:\n            self._plan.kept",
        "        if True:\n            self._plan.kept",
        (f"{PROTOCOL}what_wechat_forbade_stays_forbidden_when_a_token_is_restored",),
    ),
    Protection(
        "what the store has lost is put back",
        "keeper.py",
        "            self._kept.miss()",
        "            pass",
        (f"{PROTOCOL}a_restored_token_keeps_its_generation",),
    ),
)


# Not "-m pytest", which would put the folder of this tokend before that of the copy.
_PYTEST = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"


def run(folder: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """The tests whose names begin so, with the tokend in *folder*."""
    files = sorted({str(TESTS / test.partition("::")[0]) for test in tests})
    names = " or ".join(test.partition("::")[2] for test in tests)
    outside = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    return subprocess.run(
        [sys.executable, "-c", _PYTEST, "-qx", "-n0", "-pno:cacheprovider", "-k", names, *files],
        cwd=folder,
        env={**outside, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """With what is compiled, of which Python takes no notice where the source is changed."""
    shutil.copytree(SOURCE, tmp_path / "tokend")
    return tmp_path


def test_with_all_protections_the_tests_pass(copy: Path) -> None:
    """And it is the copy that they pass with."""
    used = copy / "used"
    with (copy / "tokend" / "__init__.py").open("a") as file:
        file.write(f"\nopen({str(used)!r}, 'w').close()\n")

    result = run(copy, tuple({test for protection in PROTECTIONS for test in protection.tests}))

    assert result.returncode == 0, result.stdout
    assert used.exists()


@pytest.mark.parametrize("off", PROTECTIONS, ids=[protection.name for protection in PROTECTIONS])
def test_without_a_protection_its_tests_fail(copy: Path, off: Protection) -> None:
    file = copy / "tokend" / off.file
    source = file.read_text()
    assert source.count(off.has) == 1

    file.write_text(source.replace(off.has, off.without))
    outcomes = {test: run(copy, (test,)) for test in off.tests}

    for test, result in outcomes.items():
        assert result.returncode == pytest.ExitCode.TESTS_FAILED, (test, result.stdout)
