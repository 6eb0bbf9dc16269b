"""``python -m benchmark.accounts PORT NUMBER``: ``tokend simulate``, with so many accounts."""

from __future__ import annotations

import sys
from random import Random

from aiohttp import web

from tokend.clock import SystemClock
from tokend.simulator.account import Account
from tokend.simulator.face import make_app
from tokend.simulator.weather import Weather
from tokend.simulator.world import World

SECRET = "0123456789abcdef" * 2
TOKEN_LENGTH = 150


def appid(number: int) -> str:
    return f"wx{number:016x}"


def main(port: int, number: int) -> None:
    names = Random()
    accounts = [
        Account(appid=appid(each), secret=SECRET, random=names, token_length=TOKEN_LENGTH)
        for each in range(number)
    ]
    face = make_app(World(accounts, names), Weather(), SystemClock())
    web.run_app(face, host="127.0.0.1", port=port, access_log=None, print=lambda *_: None)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
