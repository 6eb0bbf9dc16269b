"""A real nginx in front of a port, on loopback, as an operator would put it there."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# Debian puts it where only root looks.
PROGRAM = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")

_CONFIG = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err;
events {{}}
http {{
    log_format upstream '$upstream_status';
    access_log {folder}/nginx.log upstream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ignore_invalid_headers off;
    underscores_in_headers on;
    large_client_header_buffers 8 64k;
    upstream tokend {{
        server 127.0.0.1:{tokend};
        keepalive 4;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://tokend;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_set_header Connection "";
            proxy_set_header Host localhost;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    port: int
    _log: Path

    def passed_on(self) -> int:
        """How many requests it saw and asked tokend about."""
        return sum(line != "-" for line in self._log.read_text().split())


@asynccontextmanager
async def nginx(folder: Path, tokend: int) -> AsyncIterator[Nginx]:
    """Until left."""
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        port = sock.getsockname()[1]
    path = folder / "nginx.conf"
    path.write_text(_CONFIG.format(folder=folder, tokend=tokend, port=port))
    assert PROGRAM
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "-p", str(folder), "-e", str(folder / "nginx.err"), "-c", str(path)
    )
    try:
        await _listens(port)
        yield Nginx(port, folder / "nginx.log")
    finally:
        process.terminate()
        await process.wait()


async def _listens(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
