"""``python -m kit.load TOKEND WECHAT SOCKET``: ten clients that ask tokend without a pause.

Half of them over TCP, half over the Unix socket; of each, some keep their connection, some open a
new one each time. WeChat's ledger is asked about each answer. At SIGTERM it says what they met:
``{"answers": 4711, "troubles": ["…"]}``.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import aiohttp

CLIENTS = 10


async def client(tokend: str, wechat: str, connector: aiohttp.BaseConnector, met: dict) -> None:
    async with aiohttp.ClientSession(connector=connector) as session:
        while True:
            try:
                async with session.get(f"{tokend}/v1/apps/shop/access_token") as response:
                    answer = await response.json()
                token = answer["access_token"]
            except (aiohttp.ClientError, KeyError, OSError) as error:
                met["troubles"].append(repr(error))
                continue
            async with aiohttp.request(
                "GET", f"{wechat}/simulator/valid", params={"token": token}
            ) as response:
                if not (await response.json())["valid"]:
                    met["troubles"].append("a dead token")
            met["answers"] += 1


async def main(tokend: str, wechat: str, path: str) -> None:
    met = {"answers": 0, "troubles": []}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    connectors = [
        aiohttp.UnixConnector(path, force_close=number % 4 < 2)
        if number % 2
        else aiohttp.TCPConnector(force_close=number % 4 < 2)
        for number in range(CLIENTS)
    ]
    asking = [asyncio.create_task(client(tokend, wechat, each, met)) for each in connectors]
    await stop.wait()
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    sys.stdout.write(json.dumps(met))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
