"""``tokend demo``: the simulator and tokend in one process, on SQLite in a temporary folder."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from tokend import daemon, logs
from tokend.cli.configuration import load
from tokend.cli.serve import run
from tokend.cli.simulate import simulator, speed_option
from tokend.clock import SystemClock
from tokend.simulator.customer import SHOP, configure

_WORDS = """
WeChat is simulated at {wechat}, where time runs {speed:g} times as fast.
tokend serves its account 'shop'. In another terminal:

  curl {url}/v1/apps/shop/access_token
  {program} status --watch --socket {socket}

The status page is {url}/status

A token lives {life:.0f} s. Watch it being replaced; Ctrl-C ends the demo.
The configuration is {folder}/tokend.toml
"""

# What a phone encrypts is of a time that has flown.
_ACCOUNT = f"{SHOP}data_age_seconds = 0\n"


@click.command
@click.option("--port", default=8390, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--wechat-port",
    default=0,
    type=click.IntRange(0, 65535),
    help="Of the simulated WeChat.  [default: any]",
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    help="Unix socket of tokend.  [default: in a temporary folder]",
)
@speed_option(120.0)
def demo(port: int, wechat_port: int, socket: Path | None, speed: float) -> None:
    """Show tokend at work without an account: a simulated WeChat, and time that flies."""
    logs.configure("info")
    with tempfile.TemporaryDirectory(prefix="tokend-demo-") as name:
        folder = Path(name)
        path = socket.absolute() if socket else folder / "tokend.sock"
        run(_demo(folder, port, wechat_port, path, speed))


async def _demo(folder: Path, port: int, wechat_port: int, socket: Path, speed: float) -> None:
    clock = SystemClock(speed)
    async with simulator(clock, port=wechat_port) as wechat:
        path = configure(folder, port=port, socket=socket, wechat=wechat, rest=_ACCOUNT)

        def tell(urls: list[str]) -> None:
            click.echo(
                _WORDS.format(
                    program=sys.argv[0],
                    wechat=wechat,
                    speed=speed,
                    url=urls[0],
                    socket=socket,
                    folder=folder,
                    life=7200 / speed,
                ),
                err=True,
            )

        await daemon.serve(load(path), clock, on_serving=tell)
