"""A tokend that answers as a test says, for what the real one seldom does."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "shop/access_token"

# By method, path and Authorization: a status and a document; None is silence until the end.
Script: TypeAlias = "Callable[[str, str, str | None], tuple[int, dict[str, Any]] | None]"


def issued(generation: int, *, expires_in: int = 7000) -> tuple[int, dict[str, Any]]:
    app, kind = KEY.split("/")
    token = {"app": app, "kind": kind, "access_token": f"92_{generation}"}
    return 200, {**token, "generation": generation, "expires_in": expires_in}


def problem(status: int, code: str) -> tuple[int, dict[str, Any]]:
    return status, {"code": code, "detail": "no"}


@contextmanager
def scripted(script: Script) -> Iterator[str]:
    """Its URL."""
    is_over = Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = script(self.command, self.path, self.headers.get("Authorization"))
            if answer is None:
                is_over.wait()
                self.close_connection = True
                return
            body = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815, the library's names

        def log_message(self, *_: object) -> None:
            """Tests have nothing to say."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients hang up."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            is_over.set()
            server.shutdown()
            thread.join()
