"""One app, one or more nodes, WeChat's rules and a clock moved by hand; no network, no waiting."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from kit.clock import settle
from tokend.breaker import Breakers
from tokend.budget import Budgets
from tokend.chronicle import Chronicle
from tokend.errors import UpstreamUnclear, UpstreamUnreachable
from tokend.fleet import TokenSource
from tokend.keeper import Duties, Keeper
from tokend.model import App, Secret, TokenKey
from tokend.policy import PACES
from tokend.refresher import Means, Refresher
from tokend.schedule import Schedule
from tokend.simulator.account import Account
from tokend.simulator.world import World
from tokend.store.local import LocalStore
from tokend.store.memory import MemoryTable
from tokend.store.seals import UNSEALED
from tokend.terms import Terms
from tokend.wechat import recipes

if TYPE_CHECKING:
    from datetime import datetime

    from kit.clock import ManualClock
    from tokend.store.record import Record
    from tokend.store.seals import Seals
    from tokend.wechat.recipes import Request

APPID = "wx0123456789abcdef"
SECRET = "canary-app-secret"
APP = App(name="shop", appid=APPID, secret=Secret(SECRET))
KEY = TokenKey(app="shop", appid=APPID, kind="access_token")


# So that a test sees the calls it is about, and no others.
NO_RECONCILE = Terms(reconcile=timedelta(0))


class Forgetful(MemoryTable):
    """A table whose server may lose everything, or let others in."""

    def forget(self) -> None:
        self._records.clear()
        self._changed.clear()
        self._cursor = 0

    @property
    def kept(self) -> Record:
        """The record of the key; whoever sets it announces nothing."""
        return self._records[KEY.record]

    @kept.setter
    def kept(self, record: Record) -> None:
        self._records[KEY.record] = record


# What the world calls them.
_CALLS = {
    "/cgi-bin/token": "token",
    "/cgi-bin/stable_token": "stable_token",
    "/cgi-bin/ticket/getticket": "getticket",
    "/cgi-bin/gettoken": "gettoken",
    "/cgi-bin/get_jsapi_ticket": "get_jsapi_ticket",
    "/cgi-bin/ticket/get": "ticket_get",
    "/sns/jscode2session": "jscode2session",
    "/wxa/checksession": "checksession",
    "/wxa/resetusersessionkey": "resetusersessionkey",
    "/wxa/business/getuserphonenumber": "getuserphonenumber",
    "/wxa/getpaidunionid": "getpaidunionid",
}


class DirectTransport:
    """Brings requests to the world itself. *troubles* are raised instead, one a request.

    While *held* is set requests wait: WeChat is slow.
    """

    def __init__(self, world: World, clock: ManualClock) -> None:
        self._world = world
        self._clock = clock
        self.troubles: deque[Exception] = deque()
        self.replies: deque[dict[str, object]] = deque()
        self.coming: list[str] = []
        self.unanswered = 0
        self.sent: list[Request] = []
        self.times: list[tuple[datetime, Request]] = []
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    async def send(self, request: Request) -> bytes:
        self.sent.append(request)
        self.times.append((self._clock.now(), request))
        await self._open.wait()
        if self.coming:
            return self._fail(self.coming.pop(0), request)
        if self.troubles:
            raise self.troubles.popleft()
        if self.replies:
            return json.dumps(self.replies.popleft()).encode()
        return json.dumps(self._ask(request)).encode()

    def _fail(self, trouble: str, request: Request) -> bytes:
        """*unheard*: WeChat never got it. *unanswered*: it has acted, and nobody is told."""
        if trouble == "unreachable":
            raise UpstreamUnreachable(trouble)
        if trouble in {"unheard", "unanswered"}:
            if trouble == "unanswered":
                self.unanswered += 1
                self._ask(request)
            raise UpstreamUnclear(trouble)
        errcode = {"refused": 40164, "busy": -1}[trouble]
        return json.dumps({"errcode": errcode, "errmsg": trouble}).encode()

    def _ask(self, request: Request) -> dict[str, object]:
        call = getattr(self._world, _CALLS[request.path])
        question = [each for each in (request.query, request.body) if each]
        return call(*question, caller="127.0.0.1", now=self._clock.now())


class Scene:
    """The world, and what nodes are made of."""

    def __init__(
        self,
        clock: ManualClock,
        *,
        method: str = "stable_token",
        terms: Terms = NO_RECONCILE,
        seals: Seals = UNSEALED,
    ) -> None:
        self.clock = clock
        self.seals = seals
        self.terms = terms
        self.method = method
        self.account = Account(appid=APPID, secret=SECRET, random=Random(1))
        self.world = World([self.account], Random(2))
        self.wechat = DirectTransport(self.world, clock)
        self.table = Forgetful()
        self.chronicle = Chronicle(clock)
        self.tasks: set[asyncio.Task[object]] = set()
        self._flights: dict[Keeper, set[asyncio.Task[object]]] = {}
        self._stores: dict[Keeper, LocalStore] = {}

    def node(self, *, ahead: float = 300) -> tuple[Keeper, Schedule]:
        """A keeper of the app as one node has it, planned but not yet looked after."""
        schedule = Schedule(self.clock)
        store = LocalStore(self.table, self.clock, self.seals)
        flights: set[asyncio.Task[object]] = set()
        keeper = Keeper(
            KEY,
            self.refresher(store),
            pace=PACES[self.method](timedelta(seconds=ahead), self.terms),
            duties=Duties(
                budgets=Budgets(store, self.terms, self.clock),
                clock=self.clock,
                spawn=self._spawner(flights),
                on_plan=schedule.plan,
                on_event=self.chronicle.add,
                draw=lambda: 0.5,
            ),
        )
        self._flights[keeper] = flights
        self._stores[keeper] = store
        schedule.plan(keeper)
        return keeper, schedule

    def refresher(self, store: LocalStore, app: App = APP) -> Refresher:
        return Refresher(
            KEY,
            TokenSource(recipes.ACCESS_TOKENS[self.method], app, self.wechat),
            Means(store=store, terms=self.terms, breakers=Breakers(self.clock), clock=self.clock),
        )

    async def notice(self, keeper: Keeper) -> bool:
        """The node looks into its store, as its follower has it do."""
        (found,) = await self._stores[keeper].load_many([KEY])
        return keeper.notice(found)

    def is_valid(self, keeper: Keeper) -> bool:
        """Ask WeChat's ledger about what the node serves now."""
        return self.world.is_valid(keeper.current().token.value.reveal(), self.clock.now())

    def calls(self) -> int:
        return self.world.calls(APPID, self.method)

    def flights_of(self, keeper: Keeper) -> set[asyncio.Task[object]]:
        """Its refresh under way, if any."""
        return self._flights[keeper]

    def _spawner(self, flights: set[asyncio.Task[object]]):
        def spawn(flight):
            task = asyncio.get_running_loop().create_task(flight)
            for tasks in (self.tasks, flights):
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            return task

        return spawn


async def started(scene: Scene) -> tuple[Keeper, Schedule]:
    """A node that has its first token."""
    keeper, schedule = scene.node()
    await schedule.look()
    await settle()
    assert scene.is_valid(keeper)
    return keeper, schedule
