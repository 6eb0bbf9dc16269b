"""``python -m benchmark.references.pipelined REDIS``: redis-py reads all records in one pipeline.

Says how many seconds that took: to ask, and to have all of it in Python.
"""

from __future__ import annotations

import sys
import time

from redis import Redis


def main(socket: str) -> None:
    with Redis(unix_socket_path=socket, decode_responses=True) as redis:
        names = redis.keys("tokend:*:token")
        began = time.perf_counter()
        with redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hgetall(name)
            pipeline.execute()
        sys.stdout.write(f"{time.perf_counter() - began}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
