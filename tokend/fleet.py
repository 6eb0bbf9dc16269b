"""The keepers of all configured apps, and how a change of the configuration reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokend.breaker import Breakers
from tokend.budget import Budgets
from tokend.contracts import UNCOUNTED
from tokend.keeper import Duties, Keeper
from tokend.model import ACCESS_TOKEN
from tokend.refresher import Means, Refresher
from tokend.ticket import TicketSource
from tokend.wechat import recipes
from tokend.wechat.replies import read_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tokend.clock import Clock
    from tokend.config import AppConfig, KeyConfig
    from tokend.contracts import Meter, Source, Store
    from tokend.flight import Spawn
    from tokend.happening import Happening
    from tokend.model import App, Issued, Platform, Token, TokenKey
    from tokend.terms import Terms
    from tokend.wechat.transport import Transport


class Fleet:
    """*keepers* by key (``shop/access_token``), *names* are theirs, in order, and *records* are
    by the key's name in the store. *budgets* are those of all keys.

    *on_plan*, *on_token* and *on_event* are those of ``Duties``; *on_retire* hears of a keeper that
    was taken out.
    """

    def __init__(
        self,
        *,
        store: Store,
        transports: Mapping[Platform, Transport],
        terms: Terms,
        on_plan: Callable[[Keeper], None],
        on_token: Callable[[Keeper, Token | None], None],
        on_event: Callable[[Keeper, Happening], None],
        on_retire: Callable[[Keeper], None],
        spawn: Spawn,
        clock: Clock,
        meter: Meter = UNCOUNTED,
    ) -> None:
        self.keepers: dict[str, Keeper] = {}
        self.names: Sequence[str] = ()
        self.records: dict[str, Keeper] = {}
        self._apps: Mapping[str, AppConfig] = {}
        self._transports = transports
        self.budgets = Budgets(store, terms, clock)
        self._means = Means(
            store=store, terms=terms, breakers=Breakers(clock), clock=clock, meter=meter
        )
        self._duties = Duties(
            budgets=self.budgets,
            clock=clock,
            spawn=spawn,
            on_plan=on_plan,
            on_token=on_token,
            on_event=on_event,
        )
        self._on_retire = on_retire

    def apply(self, apps: Mapping[str, AppConfig]) -> None:
        """Keep these apps and no others. What has not changed does not notice, and what is the same
        object as before is not looked at.

        A refresh under way ends as it began; the next one goes by the new configuration.
        """
        before, self._apps = self._apps, apps
        old = _by_key(each for name, each in before.items() if apps.get(name) is not each)
        new = _by_key(each for name, each in apps.items() if before.get(name) is not each)
        for name, config in old.items():
            if name not in new or new[name].key != config.key:
                self._remove(name)
        self._means.breakers.expect(sum(len(each.upkeep.paces) for each in apps.values()))
        for name, config in new.items():
            if name not in self.keepers:
                self._add(config)
            elif old[name] != config:
                self.keepers[name].reconfigure(self._refresher(config), config.pace)
        if old.keys() != new.keys():
            self.names = sorted(self.keepers)

    def app(self, appid: str) -> App | None:
        """The app that is configured now with this appid."""
        tokens = self.records.get(f"{appid}/{ACCESS_TOKEN}")
        return self._apps[tokens.key.app].app if tokens else None

    def named(self, name: str) -> App | None:
        """The app that is configured now under this name."""
        config = self._apps.get(name)
        return config.app if config else None

    def has(self, key: TokenKey) -> bool:
        """Tell if it is kept."""
        return str(key) in self.keepers

    def _add(self, config: KeyConfig) -> None:
        keeper = Keeper(config.key, self._refresher(config), pace=config.pace, duties=self._duties)
        self.keepers[str(config.key)] = self.records[config.key.record] = keeper
        self._duties.on_plan(keeper)

    def _remove(self, name: str) -> None:
        keeper = self.keepers.pop(name)
        keeper.retire()
        self._on_retire(keeper)
        if self.records[keeper.key.record] is keeper:
            del self.records[keeper.key.record]

    def _refresher(self, config: KeyConfig) -> Refresher:
        return Refresher(config.key, self._source(config), self._means)

    def _source(self, config: KeyConfig) -> Source:
        app = config.app
        transport = self._transports[app.platform]
        if config.key.kind == ACCESS_TOKEN:
            return TokenSource(recipes.ACCESS_TOKENS[config.method], app, transport)
        return TicketSource(
            recipes.TICKETS[app.platform][config.key.kind],
            app,
            transport,
            self.keepers[f"{app.name}/{ACCESS_TOKEN}"],
        )


def _by_key(apps: Iterable[AppConfig]) -> dict[str, KeyConfig]:
    return {str(config.key): config for app in apps for config in app.keys}


@dataclass(frozen=True, slots=True)
class TokenSource:
    """How *app*'s access_token is got, as the core wants to know it."""

    recipe: recipes.Recipe
    app: App
    transport: Transport

    @property
    def endpoint(self) -> str:
        return self.recipe.path

    @property
    def is_idempotent(self) -> bool:
        return self.recipe.new is not self.recipe.current

    async def prepare(self) -> None:
        """It takes nothing."""

    async def current(self) -> Issued:
        return await self._issue(self.recipe.current)

    async def new(self) -> Issued:
        return await self._issue(self.recipe.new)

    async def _issue(self, ask: recipes.Ask) -> Issued:
        return read_token(await self.transport.send(ask(self.app)), self.app)
