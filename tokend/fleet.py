"""The keepers of all configured apps, and how a change of the configuration reaches them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tokend.breaker import APP_LIMITS, Breaker, process_limits
from tokend.budget import Budget
from tokend.contracts import Source
from tokend.keeper import Keeper
from tokend.model import ACCESS_TOKEN, Issued
from tokend.refresher import Refresher
from tokend.ticket import TicketSource
from tokend.wechat import recipes
from tokend.wechat.replies import read_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tokend.clock import Clock
    from tokend.config import AppConfig, KeyConfig
    from tokend.contracts import Store
    from tokend.flight import Spawn
    from tokend.model import App, Platform
    from tokend.terms import Terms
    from tokend.wechat.transport import Transport


class Fleet:
    """*keepers* by key (``shop/access_token``), *names* are theirs, in order, and *records* are
    by the key's name in the store.

    *on_plan* hears of every keeper that may have another token, or another plan.
    """

    def __init__(
        self,
        *,
        store: Store,
        transports: Mapping[Platform, Transport],
        terms: Terms,
        on_plan: Callable[[Keeper], None],
        spawn: Spawn,
        clock: Clock,
    ) -> None:
        self.keepers: dict[str, Keeper] = {}
        self.names: Sequence[str] = ()
        self.records: dict[str, Keeper] = {}
        self._configured: dict[str, AppConfig] = {}
        self._apps: dict[str, App] = {}
        self._breaker = Breaker("tokend", process_limits(0), clock)
        self._store = store
        self._transports = transports
        self._terms = terms
        self._on_plan = on_plan
        self._spawn = spawn
        self._clock = clock

    def apply(self, apps: Mapping[str, AppConfig]) -> None:
        """Keep these apps and no others. What has not changed does not notice, and what is the same
        object as before is not looked at.

        A refresh under way ends as it began; the next one goes by the new configuration.
        """
        before, self._configured = self._configured, dict(apps)
        old = _by_key(each for name, each in before.items() if apps.get(name) is not each)
        new = _by_key(each for name, each in apps.items() if before.get(name) is not each)
        for name, config in old.items():
            if name not in new or new[name].key != config.key:
                self._remove(name)
        self._breaker.limit(process_limits(sum(len(each.keys) for each in apps.values())))
        for name, config in new.items():
            if name not in self.keepers:
                self._add(config)
            elif old[name] != config:
                self.keepers[name].reconfigure(self._refresher(config), config.pace)
        if old.keys() != new.keys():
            self.names = sorted(self.keepers)
        self._apps = {config.app.appid: config.app for config in apps.values()}

    def app(self, appid: str) -> App | None:
        """The app that is configured now with this appid."""
        return self._apps.get(appid)

    def _add(self, config: KeyConfig) -> None:
        keeper = Keeper(
            config.key,
            self._refresher(config),
            Budget(config.key, self._store, self._terms, self._clock),
            pace=config.pace,
            clock=self._clock,
            spawn=self._spawn,
            on_plan=self._on_plan,
        )
        self.keepers[str(config.key)] = self.records[config.key.record] = keeper
        self._on_plan(keeper)

    def _remove(self, name: str) -> None:
        keeper = self.keepers.pop(name)
        keeper.retire()
        if self.records[keeper.key.record] is keeper:
            del self.records[keeper.key.record]

    def _refresher(self, config: KeyConfig) -> Refresher:
        return Refresher(
            config.key,
            self._source(config),
            self._store,
            terms=self._terms,
            breakers=[Breaker(str(config.key), APP_LIMITS, self._clock), self._breaker],
            clock=self._clock,
        )

    def _source(self, config: KeyConfig) -> Source:
        app = config.app
        transport = self._transports[app.platform]
        if config.key.kind == ACCESS_TOKEN:
            return token_source(recipes.ACCESS_TOKENS[config.method], app, transport)
        tickets = TicketSource(
            recipes.TICKETS[app.platform][config.key.kind],
            app,
            transport,
            self.keepers[f"{app.name}/{ACCESS_TOKEN}"],
        )
        issue = tickets.issue
        return Source(current=issue, new=issue, prepare=tickets.prepare)


def _by_key(apps: Iterable[AppConfig]) -> dict[str, KeyConfig]:
    return {str(config.key): config for app in apps for config in app.keys}


def token_source(recipe: recipes.Recipe, app: App, transport: Transport) -> Source:
    """How this app's access_token is got, as the core wants to know it."""
    current = partial(_issue, recipe.current, app, transport)
    if recipe.new is recipe.current:
        return Source(current=current, new=current)
    return Source(current=current, new=partial(_issue, recipe.new, app, transport))


async def _issue(ask: recipes.Ask, app: App, transport: Transport) -> Issued:
    return read_token(await transport.send(ask(app)), app)
