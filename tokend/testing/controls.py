"""What the simulator has beside WeChat: routes by which tests set it up."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

_PATIENCE_SECONDS = 10.0


class Controls:
    """Those of the simulator at *url*."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Raises ``ValueError`` for what it does not take."""
        parts = urlsplit(self._url)
        connection = HTTPConnection(str(parts.hostname), parts.port, timeout=_PATIENCE_SECONDS)
        try:
            connection.request(method, path, json.dumps(body))
            answer = json.load(connection.getresponse())
        finally:
            connection.close()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer
