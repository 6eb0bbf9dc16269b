"""The file is read again, at SIGHUP or on request, and counts as a whole or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from tokend.config.mistakes import first
from tokend.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tokend.config import Config

log = structlog.get_logger()

# What sockets, connections and running refreshes are made of. It takes a restart, in which no
# token is lost and WeChat is asked nothing.
_FIXED: dict[str, Callable[[Config], object]] = {
    "server": lambda config: config.server,
    "store": lambda config: (config.store, config.store_login, config.store_seals),
    "wechat": lambda config: config.wechat,
    "wecom": lambda config: config.wecom,
    "forward": lambda config: config.forward,
    "login": lambda config: config.login,
    "refresh": lambda config: config.terms,
}


class Reload:
    """*active* is in force; *mistakes* are those of the last reading, if that is not."""

    def __init__(
        self,
        active: Config,
        *,
        read: Callable[[], Config],
        apply: Callable[[Config], None],
        reloading: Callable[[], AbstractContextManager[None]],
        on_signal: Callable[[str], None],
    ) -> None:
        """*reloading* is entered around each reading; *on_signal* hears what came of one that a
        signal asked for: ``ok``, or why it did not happen.
        """
        self.active = active
        self._read = read
        self._apply = apply
        self._reloading = reloading
        self._on_signal = on_signal
        self._turn = asyncio.Lock()
        self.mistakes: tuple[str, ...] = ()

    async def run(self, asked: asyncio.Event) -> None:
        """Until cancelled. Asked often at once, it reads once."""
        while True:
            await asked.wait()
            asked.clear()
            self._on_signal(await self._outcome())

    async def _outcome(self) -> str:
        """Of a reload that nobody waits for; log and status say more."""
        try:
            await self.reload()
        except ConfigError:
            return "configuration_refused"
        except Exception:
            log.exception("reload_crashed")
            return "internal_error"
        return "ok"

    async def reload(self) -> None:
        """Raises ``ConfigError``; nothing has changed then."""
        async with self._turn:
            with self._reloading():
                await self._reload()

    async def _reload(self) -> None:
        """Read in a thread, because disks hang; apply in one step, between those of refreshes."""
        try:
            config = await asyncio.to_thread(self._read)
            self._refuse_fixed(config)
        except ConfigError as error:
            self.mistakes = tuple(first(error.mistakes))
            log.warning("reload_refused", mistakes=self.mistakes)
            raise ConfigError(self.mistakes) from None
        self._apply(config)
        self.active, self.mistakes = config, ()
        for warning in first(config.warnings):
            log.warning("configuration_doubtful", found=warning)
        log.info("reloaded", apps=len(config.apps), clients=len(config.clients))

    def _refuse_fixed(self, config: Config) -> None:
        changed = [name for name, of in _FIXED.items() if of(config) != of(self.active)]
        if changed:
            raise ConfigError(
                [
                    f"{name}: a change here takes a restart; nothing of the file was taken over"
                    for name in changed
                ]
            )
