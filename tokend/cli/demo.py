"""``tokend demo``: the simulator and tokend in one process, on SQLite in a temporary folder."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from tokend import daemon, logs
from tokend.cli.serve import load, run
from tokend.cli.simulate import APP_SECRET, APPID, simulator, speed_option
from tokend.clock import SystemClock

_CONFIG = """\
[server]
listen = ["127.0.0.1:{port}"]
socket = "{folder}/tokend.sock"
[store]
url = "sqlite://{folder}/tokend.db"
[wechat]
url = "{wechat}"
[apps.shop]
appid = "{appid}"
secret_file = "shop.secret"
"""

_WORDS = """
WeChat is simulated at {wechat}, where time runs {speed:g} times as fast.
tokend serves its account 'shop'. In another terminal:

  curl {url}/v1/apps/shop/access_token
  {program} status --watch --socket {folder}/tokend.sock

A token lives {life:.0f} s instead of two hours. Watch it being replaced; Ctrl-C ends the demo.
The configuration is {folder}/tokend.toml
"""


@click.command
@click.option("--port", default=8390, show_default=True, type=click.IntRange(0, 65535))
@speed_option(120.0)
def demo(port: int, speed: float) -> None:
    """Show tokend at work without an account: a simulated WeChat, and time that flies."""
    logs.configure("info")
    with tempfile.TemporaryDirectory(prefix="tokend-demo-") as folder:
        run(_demo(Path(folder), port, speed))


async def _demo(folder: Path, port: int, speed: float) -> None:
    clock = SystemClock(speed)
    async with simulator(clock) as wechat:
        path = folder / "tokend.toml"
        path.write_text(_CONFIG.format(port=port, folder=folder, wechat=wechat, appid=APPID))
        secret = folder / "shop.secret"
        secret.touch(mode=0o600)
        secret.write_text(APP_SECRET)

        def tell(urls: list[str]) -> None:
            click.echo(
                _WORDS.format(
                    program=sys.argv[0],
                    wechat=wechat,
                    speed=speed,
                    url=urls[0],
                    folder=folder,
                    life=7200 / speed,
                ),
                err=True,
            )

        await daemon.serve(load(path), clock, on_serving=tell)
