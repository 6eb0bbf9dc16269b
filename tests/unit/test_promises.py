"""The promises of tokend, as invariants over whatever may happen to three nodes.

Hypothesis makes up the history: time passes, callers report and operators force, nodes are killed
and started again, the store goes away, comes back or forgets, WeChat does not hear, is not heard,
says no, or is used by somebody else. The rules of WeChat are the simulator's, the rules of the
store those of ``record``, which the Lua is held to elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from kit.clock import ManualClock, settle
from kit.scene import APPID, KEY, Forgetful, Scene

from tokend.errors import NotReady, StoreError, TokendError
from tokend.follower import Follower
from tokend.store.local import LocalStore
from tokend.terms import Terms

if TYPE_CHECKING:
    from tokend.keeper import Keeper
    from tokend.schedule import Schedule
    from tokend.store.record import Record

NODES = 3
TERMS = Terms()
PAUSE = TERMS.pause

# After so long without trouble everything is good again, whatever there was before: the longest of
# the waits that a trouble may leave behind is that of a StoreError or of a suspect token.
HEALED = TERMS.takeover + TERMS.quarantine + timedelta(seconds=120)


class Table(Forgetful):
    """Away while *away*; *lossy* acts once and then does not answer."""

    away = False
    lossy = False

    async def read(self, name: str) -> Record:
        self._fail()
        return await super().read(name)

    async def update(self, name, step) -> Record:
        self._fail()
        record = await super().update(name, step)
        if self.lossy:
            self.lossy = False
            raise StoreError("the answer was lost")
        return record

    async def changes(self, since: int):
        self._fail()
        return await super().changes(since)

    def _fail(self) -> None:
        if self.away:
            raise StoreError("away")


@dataclass
class Node:
    keeper: Keeper
    schedule: Schedule
    follower: Follower
    generation: int = 0
    good_until: datetime | None = None
    tasks: list[asyncio.Task[object]] = field(default_factory=list)


class Promises(RuleBasedStateMachine):
    method = "stable_token"

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.scene = Scene(self.clock, method=self.method, terms=TERMS)
        self.scene.table = Table()
        self.costly: list[datetime] = []
        self.miscounts = False
        self.nodes = [self._node() for _ in range(NODES)]
        self._run(self._turn())

    def teardown(self) -> None:
        try:
            self._run(self._heal())
        finally:
            self._run(self._end())
            self.loop.close()

    # What may happen

    @rule(seconds=st.sampled_from([1, 7, 31, 95, 240]))
    def time_passes(self, seconds: int) -> None:
        self._run(self._live(seconds))

    @rule(hours=st.integers(1, 5))
    def hours_pass(self, hours: int) -> None:
        self._run(self._live(hours * 3600, step=20))

    @rule(number=st.integers(0, NODES - 1))
    def a_caller_reports(self, number: int) -> None:
        node = self.nodes[number]
        try:
            rejected = node.keeper.current().token.value
        except NotReady:
            return
        self._ask(node, rejected)

    @rule(number=st.integers(0, NODES - 1))
    def an_operator_forces(self, number: int) -> None:
        self._ask(self.nodes[number], None)

    @rule(number=st.integers(0, NODES - 1))
    def a_node_is_killed_and_started_again(self, number: int) -> None:
        self._run(self._kill(self.nodes[number]))
        self.nodes[number] = self._node()
        self._run(self._turn())

    @rule(
        trouble=st.sampled_from(["unreachable", "unheard", "unanswered", "refused", "busy"]),
        times=st.integers(1, 3),
    )
    def wechat_will_fail(self, trouble: str, times: int) -> None:
        self.scene.wechat.coming += [trouble] * times

    @rule()
    def wechat_is_slow(self) -> None:
        self.scene.wechat.hold()

    @rule()
    def wechat_is_quick(self) -> None:
        self.scene.wechat.let_go()
        self._run(settle())

    @rule()
    def the_store_goes_away(self) -> None:
        self.scene.table.away = True

    @rule()
    def the_store_comes_back(self) -> None:
        self.scene.table.away = False
        self._run(self._turn())

    @rule()
    def an_answer_of_the_store_is_lost(self) -> None:
        self.scene.table.lossy = True

    @rule()
    def the_store_forgets(self) -> None:
        self.miscounts = True
        self.scene.table.forget()
        self._run(self._turn())

    @precondition(lambda self: self.method == "stable_token")
    @rule()
    def somebody_else_gets_a_token(self) -> None:
        """The reconciling calls find out in time, while WeChat answers them."""
        self._run(self._heal())
        self.scene.world.rotate(APPID, self.clock.now())
        self._run(self._live(300))

    @rule(seconds=st.sampled_from([-86400, -100, 100, 86400]))
    def somebody_sets_the_clock(self, seconds: int) -> None:
        self.miscounts = True
        self.clock.jump_wall(timedelta(seconds=seconds))

    # What is promised

    @invariant()
    def no_token_goes_back_in_generation(self) -> None:
        for node in self.nodes:
            generation = self._generation(node)
            assert generation >= node.generation
            node.generation = generation

    @invariant()
    def no_good_token_is_lost(self) -> None:
        for node in self.nodes:
            token = node.keeper.status().token
            if node.good_until and self.clock.now() < node.good_until - timedelta(seconds=1):
                node.keeper.current()
            node.good_until = token.expires_at if token else None

    @invariant()
    def no_dead_token_is_served(self) -> None:
        """Except while nobody can know: WeChat has acted on a call and did not answer it."""
        if self.method == "stable_token" and not self.scene.wechat.unanswered:
            for node in self.nodes:
                self._assert_alive(node)

    @invariant()
    def costly_calls_keep_their_distance(self) -> None:
        """Should the store forget, or its clock jump, each node still counts its own."""
        costly = [at for at, request in self.scene.wechat.times if self._is_forced(request)]
        if not self.miscounts:
            assert all(later - earlier >= PAUSE for earlier, later in itertools.pairwise(costly))
        assert len(costly) <= (TERMS.daily + TERMS.reserve) * (1 + self._days()) * NODES

    @invariant()
    def wechat_is_not_hammered(self) -> None:
        calls = [at for at, _ in self.scene.wechat.times]
        most = 25 * NODES
        assert all(
            calls[n + most] - calls[n] > timedelta(minutes=1) for n in range(len(calls) - most)
        )

    # How it is played

    def _node(self) -> Node:
        keeper, schedule = self.scene.node()
        store = LocalStore(self.scene.table, self.clock)
        return Node(keeper, schedule, Follower(store, {KEY.record: keeper}, self.clock))

    def _ask(self, node: Node, rejected: object) -> None:
        async def ask() -> None:
            try:
                await node.keeper.refresh(rejected=rejected, by="shopper")
            except TokendError:
                return

        node.tasks.append(self.loop.create_task(ask()))
        self._run(self._turn())

    async def _live(self, seconds: int, step: int = 2) -> None:
        for _ in range(0, seconds, step):
            await self.clock.advance(step)
            await self._turn()

    async def _turn(self) -> None:
        """Schedules and followers look; wake-ups reach everybody at once."""
        for _ in range(2):
            for node in self.nodes:
                await node.schedule.look()
                await settle()
            for node in self.nodes:
                await node.follower.look()

    async def _kill(self, node: Node) -> None:
        """Whatever it is doing; its calls to WeChat may or may not have been acted on."""
        for task in [*node.tasks, *self.scene.flights_of(node.keeper)]:
            task.cancel()
        await settle()

    async def _heal(self) -> None:
        """Trouble ends. After a while all nodes serve one live token, and the store has it."""
        self.scene.table.away = self.scene.table.lossy = False
        self.scene.wechat.coming.clear()
        self.scene.wechat.let_go()
        await settle()
        await self._live(int(self._patience().total_seconds()))
        for node in self.nodes:
            self._assert_alive(node)
        stored = await LocalStore(self.scene.table, self.clock).load(KEY)
        served = {node.keeper.current().token.value for node in self.nodes}
        assert stored is not None
        assert served == {stored.value}
        assert not stored.suspect
        self.scene.wechat.unanswered = 0

    def _patience(self) -> timedelta:
        """What WeChat refused is not tried again in a hurry."""
        waits = [node.keeper.status().next_refresh_in for node in self.nodes]
        failing = [node for node in self.nodes if node.keeper.status().failures]
        return HEALED + (min(max(waits), timedelta(minutes=33)) if failing else timedelta(0))

    async def _end(self) -> None:
        for node in self.nodes:
            await self._kill(node)
        for task in asyncio.all_tasks(self.loop) - {asyncio.current_task()}:
            task.cancel()
        await settle()

    def _assert_alive(self, node: Node) -> None:
        try:
            token = node.keeper.current().token
        except NotReady:
            return
        assert self.scene.world.is_valid(token.value.reveal(), self.clock.now())

    def _generation(self, node: Node) -> int:
        token = node.keeper.status().token
        return token.generation if token else 0

    def _is_forced(self, request) -> bool:
        return bool(request.body) and json.loads(request.body)["force_refresh"]

    def _days(self) -> int:
        return (self.clock.now() - ManualClock().now()) // timedelta(days=1)

    def _run(self, work) -> None:
        self.loop.run_until_complete(work)


class ClassicPromises(Promises):
    method = "token"


# The same histories each time; the long runs look for new ones.
CI = settings(max_examples=15, stateful_step_count=20, deadline=None, derandomize=True)
LONG = settings(max_examples=600, stateful_step_count=50, deadline=None)

TestStable = Promises.TestCase
TestStable.settings = CI
TestClassic = ClassicPromises.TestCase
TestClassic.settings = CI
TestStableLong = pytest.mark.timeout(3000)(
    pytest.mark.long(type("TestStableLong", (Promises.TestCase,), {"settings": LONG}))
)
TestClassicLong = pytest.mark.timeout(3000)(
    pytest.mark.long(type("TestClassicLong", (ClassicPromises.TestCase,), {"settings": LONG}))
)
