"""A port that is given to nobody else."""

from __future__ import annotations

import socket

_HOST = "127.0.0.1"


def reserve(port: int = 0) -> int:
    """Keep *port* (0: any) of loopback from being given to others for a minute; which it is.

    A connection that was closed here first lingers there. The system gives such a port to nobody
    who asks for any, but who names it can listen: https://github.com/Yelp/ephemeral-port-reserve
    """
    with socket.create_server((_HOST, port)) as server:
        number: int = server.getsockname()[1]
        with socket.create_connection((_HOST, number)):
            server.accept()[0].close()
    return number
