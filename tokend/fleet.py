"""The keepers of all configured apps, and how a change of the configuration reaches them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tokend.breaker import APP_LIMITS, Breaker, process_limits
from tokend.budget import Budget
from tokend.contracts import Source
from tokend.keeper import Keeper
from tokend.model import Issued, TokenKey
from tokend.refresher import Refresher
from tokend.wechat import recipes
from tokend.wechat.replies import read_issued

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokend.clock import Clock
    from tokend.config import AppConfig
    from tokend.contracts import Store
    from tokend.flight import Spawn
    from tokend.model import App
    from tokend.schedule import Schedule
    from tokend.terms import Terms
    from tokend.wechat.transport import Transport


class Fleet:
    """*keepers* by key (``shop/access_token``), and *records* by the key's name in the store."""

    def __init__(
        self,
        *,
        store: Store,
        transport: Transport,
        terms: Terms,
        schedule: Schedule,
        spawn: Spawn,
        clock: Clock,
    ) -> None:
        self.keepers: dict[str, Keeper] = {}
        self.records: dict[str, Keeper] = {}
        self._apps: dict[str, AppConfig] = {}
        self._breaker = Breaker("tokend", process_limits(0), clock)
        self._store = store
        self._transport = transport
        self._terms = terms
        self._schedule = schedule
        self._spawn = spawn
        self._clock = clock

    def apply(self, apps: Mapping[str, AppConfig]) -> None:
        """Keep these apps and no others. What has not changed does not notice.

        A refresh under way ends as it began; the next one goes by the new configuration.
        """
        self._breaker.limit(process_limits(len(apps)))
        wanted = {str(_key(config.app)): config for config in apps.values()}
        for name in self._apps.keys() - wanted.keys():
            self._remove(name)
        for name, config in wanted.items():
            before = self._apps.get(name)
            if before is not None and before.app.appid != config.app.appid:
                self._remove(name)
                before = None
            if before is None:
                self._add(name, config)
            elif before != config:
                self.keepers[name].reconfigure(self._refresher(config), config.pace)
        self._apps = wanted

    def _add(self, name: str, config: AppConfig) -> None:
        key = _key(config.app)
        keeper = Keeper(
            key,
            self._refresher(config),
            Budget(key, self._store, self._terms, self._clock),
            pace=config.pace,
            clock=self._clock,
            spawn=self._spawn,
            on_plan=self._schedule.plan,
        )
        self.keepers[name] = self.records[key.record] = keeper
        self._schedule.plan(keeper)

    def _remove(self, name: str) -> None:
        keeper = self.keepers.pop(name)
        keeper.retire()
        if self.records[keeper.key.record] is keeper:
            del self.records[keeper.key.record]

    def _refresher(self, config: AppConfig) -> Refresher:
        return Refresher(
            _key(config.app),
            source(recipes.ACCESS_TOKEN[config.method], config.app, self._transport),
            self._store,
            terms=self._terms,
            breakers=[Breaker(config.app.name, APP_LIMITS, self._clock), self._breaker],
            clock=self._clock,
        )


def source(recipe: recipes.Recipe, app: App, transport: Transport) -> Source:
    """How this app's credential is got, as the core wants to know it."""
    current = partial(_issue, recipe.current, recipe.field, app, transport)
    if recipe.new is recipe.current:
        return Source(current=current, new=current)
    return Source(current=current, new=partial(_issue, recipe.new, recipe.field, app, transport))


async def _issue(ask: recipes.Ask, field: str, app: App, transport: Transport) -> Issued:
    return read_issued(await transport.send(ask(app)), field=field, app=app)


def _key(app: App) -> TokenKey:
    return TokenKey(app=app.name, appid=app.appid, kind="access_token")
