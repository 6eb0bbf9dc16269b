"""tokend and the simulated WeChat, started together."""

from __future__ import annotations

import socket
import tempfile
import time
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tokend.client import Client
from tokend.simulator.customer import SHOP, configure
from tokend.testing.port import reserve
from tokend.testing.process import Process
from tokend.testing.wechat import WeChat

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOST = "127.0.0.1"
_START_SECONDS = 30.0
_LOOK_SECONDS = 0.01


@contextmanager
def running(config: str = SHOP) -> Iterator[Tokend]:
    """tokend with the account ``shop``, once it has its tokens; killed in the end.

    *config* is more of its configuration, in TOML, with other apps in place of ``shop``. WeChat
    knows one official account, ``wx0123456789abcdef`` with ``shop.secret``, and WeCom one agent,
    1000002 of ``ww0123456789abcdef`` with ``robot.secret``. Raises ``Ended`` if it does not start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokend-")))
        wechat = stack.enter_context(_simulated(folder / "wechat.log"))
        port, path = reserve(), folder / "tokend.sock"
        file = configure(folder, port=port, socket=path, wechat=wechat.url, rest=config)
        client = stack.enter_context(Client(socket=path))
        with Tokend(file, port=port, socket=path, client=client, wechat=wechat) as tokend:
            yield tokend


@contextmanager
def _simulated(log: Path) -> Iterator[WeChat]:
    """It listens at once; who comes before it is ready waits."""
    with socket.create_server((_HOST, 0)) as server:
        fd, port = server.fileno(), server.getsockname()[1]
        process = Process(["simulate", "--fd", str(fd)], log=log, fds=[fd])
    try:
        yield WeChat(f"http://{_HOST}:{port}")
    finally:
        process.kill()


class Tokend:
    """A tokend that can be stopped and started; it stays where it is, and keeps its tokens.

    *url* and *socket* are where it is, *client* is a ``tokend.client.Client`` of it. *env* tells
    another process, in place of what is set for it there: ``{**os.environ, **tokend.env}``.
    """

    def __init__(
        self, config: Path, *, port: int, socket: Path, client: Client, wechat: WeChat
    ) -> None:
        self.url = f"http://{_HOST}:{port}"
        self.socket = str(socket)
        self.env = {"TOKEND_SOCKET": self.socket, "TOKEND_URL": "", "TOKEND_KEY_FILE": ""}
        self.client = client
        self.wechat = wechat
        self._config = config
        self._port = port
        self._log = config.with_name("tokend.log")
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()

    @property
    def log(self) -> str:
        """What it has said since it was first started. No tokens are in it."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Return when every key has a token. Raises ``Ended`` if it ends or takes too long."""
        if self._process is not None:
            raise RuntimeError("tokend runs already; stop() it first")
        process = Process(["serve", str(self._config)], log=self._log)
        try:
            _wait_until_ready(process, self._port)
        except BaseException:
            process.kill()
            raise
        self._process = process

    def stop(self) -> None:
        """Return when it has ended, as by ``systemctl stop``."""
        if self._process is None:
            raise RuntimeError("tokend does not run; start() it first")
        self._process.stop()
        self._process = None
        reserve(self._port)


def _wait_until_ready(process: Process, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_ready(port):
        process.check()
        if time.monotonic() > deadline:
            raise process.trouble("has no token for some key")
        time.sleep(_LOOK_SECONDS)


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(_HOST, port, timeout=_START_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
