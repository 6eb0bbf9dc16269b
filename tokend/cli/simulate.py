"""``tokend simulate``: a strict stand-in for WeChat."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import click
from aiohttp import web

from tokend import logs, uncaught
from tokend.cli.failure import Failure
from tokend.clock import Clock, SystemClock
from tokend.simulator.account import Account
from tokend.simulator.corp import Agent, Corp
from tokend.simulator.face import make_app
from tokend.simulator.weather import Weather
from tokend.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# The one account of the simulator, and the one agent of its one corp. There is nothing to protect,
# so their secrets are no secrets.
APPID = "wx0123456789abcdef"
APP_SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105, see above
CORPID = "ww0123456789abcdef"
AGENTID = 1000002
AGENT_SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"  # noqa: S105, see above


def speed_option(default: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--speed",
        default=default,
        show_default=True,
        type=click.FloatRange(min=1, max=1000),
        help="How much faster than the clock on the wall tokens age.",
    )


@click.command
@click.option("--port", default=8391, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--token-length",
    default=136,
    show_default=True,
    type=click.IntRange(16, 4096),
    help="Of tokens.",
)
@speed_option(1.0)
def simulate(port: int, token_length: int, speed: float) -> None:
    """Stand in for WeChat on loopback: its rules, its quotas, its errors.

    It knows one account, and one corp of WeCom with one agent. Under /simulator/ it can be told to
    misbehave.
    """
    logs.configure("warning")
    uncaught.run(_simulate(port, token_length, speed))


async def _simulate(port: int, token_length: int, speed: float) -> None:
    async with simulator(SystemClock(speed), port=port, token_length=token_length) as url:
        click.echo(
            f"WeChat is simulated at {url}, with the account\n"
            f"  appid  {APPID}\n  secret {APP_SECRET}\n"
            f"and WeCom, with the agent\n"
            f"  corpid {CORPID}\n  agent  {AGENTID}\n  secret {AGENT_SECRET}\n"
            f"Try: curl '{url}/cgi-bin/token?grant_type=client_credential"
            f"&appid={APPID}&secret={APP_SECRET}'",
            err=True,
        )
        await asyncio.Event().wait()


@asynccontextmanager
async def simulator(
    clock: Clock, *, port: int = 0, token_length: int = 136, account: Account | None = None
) -> AsyncIterator[str]:
    """Serve the simulator on loopback, and give its URL."""
    names = Random(SystemRandom().getrandbits(64))
    account = account or Account(
        appid=APPID, secret=APP_SECRET, random=names, token_length=token_length
    )
    agent = Agent(agentid=AGENTID, secret=AGENT_SECRET, random=names, token_length=token_length)
    corp = Corp(corpid=CORPID, agents=(agent,), random=names)
    face = make_app(World([account], names, [corp]), Weather(), clock)
    runner = web.AppRunner(face, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    except OSError as error:
        raise Failure(f"127.0.0.1:{port}: {error.strerror}", hint="--port takes another") from None
    finally:
        await runner.cleanup()
