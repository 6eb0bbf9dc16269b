"""``tokend simulate``: a strict stand-in for WeChat."""

from __future__ import annotations

import asyncio
import socket
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
from tokend.simulator.customer import AGENT_SECRET, AGENTID, APP_SECRET, APPID, CORPID
from tokend.simulator.face import make_app
from tokend.simulator.weather import Weather
from tokend.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


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
    "--fd",
    type=click.IntRange(min=3),
    help="Serve this listening socket, which was inherited, in place of --port.",
)
@click.option(
    "--token-length",
    default=136,
    show_default=True,
    type=click.IntRange(16, 4096),
    help="Of tokens.",
)
@speed_option(1.0)
def simulate(port: int, fd: int | None, token_length: int, speed: float) -> None:
    """Stand in for WeChat on loopback: its rules, its quotas, its errors.

    It knows one account, which is a mini-program as well, and one corp of WeCom with one agent.
    Under /simulator/ it can be told to misbehave, and there are phones whose users log in.
    """
    logs.configure("warning")
    uncaught.run(_simulate(port, fd, token_length, speed))


async def _simulate(port: int, fd: int | None, token_length: int, speed: float) -> None:
    clock = SystemClock(speed)
    async with simulator(clock, port=port, fd=fd, token_length=token_length) as url:
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
    clock: Clock,
    *,
    port: int = 0,
    fd: int | None = None,
    token_length: int = 136,
    account: Account | None = None,
) -> AsyncIterator[str]:
    """Serve the simulator on loopback, or on the socket *fd*, and give its URL."""
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
        await _listen(runner, port, fd)
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int, fd: int | None) -> None:
    try:
        if fd is None:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        else:
            await web.SockSite(runner, socket.socket(fileno=fd)).start()
    except OSError as error:
        if fd is not None:
            raise Failure(f"--fd {fd}: {error.strerror}") from None
        hint = "choose another port, or make room on this one"
        raise Failure(f"127.0.0.1:{port}: {error.strerror}", hint=hint) from None
