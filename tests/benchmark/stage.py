"""Where sides are measured: a folder, the cores, and what they share, opened once on demand."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from kit.redis_server import RedisServer, redis_server

from benchmark.cores import Cores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from benchmark.scale import Scale

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """*folder* is short enough for sockets in it, and gone in the end."""

    folder: Path
    cores: Cores
    scale: Scale
    _stack: AsyncExitStack
    _shared: dict[object, Any] = field(default_factory=dict)

    async def shared(self, make: Callable[[Stage], AbstractAsyncContextManager[T]]) -> T:
        """What *make* makes, the same for all sides and rounds."""
        if make not in self._shared:
            self._shared[make] = await self._stack.enter_async_context(make(self))
        made: T = self._shared[make]
        return made

    def log(self, name: str) -> Path:
        """What a program says that is called so."""
        return self.folder / f"{name}.log"

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[RedisServer]:
        """One that is empty, on the core of the load."""
        with TemporaryDirectory(dir=self.folder) as folder, redis_server(Path(folder)) as server:
            yield server


@asynccontextmanager
async def opened(scale: Scale) -> AsyncIterator[Stage]:
    """Until left; then all that was started has ended."""
    cores = Cores.given()
    cores.move_to_load()
    with TemporaryDirectory(prefix="tokend-") as folder:
        async with AsyncExitStack() as stack:
            yield Stage(folder=Path(folder), cores=cores, scale=scale, _stack=stack)
