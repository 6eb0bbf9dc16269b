"""The whole of it."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from typing import Any

from tokend.api.description.paths import PATHS
from tokend.api.description.shapes import SHAPES


@cache
def document() -> bytes:
    """As JSON, ready to be sent."""
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "tokend",
            "version": version("tokend"),
            "description": "Credentials of WeChat accounts, and how they are.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": PATHS,
        "components": {
            "schemas": SHAPES,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A client key. Without [clients] nobody on loopback needs one, "
                    "and nobody at the Unix socket ever does.",
                }
            },
        },
    }
    return json.dumps(described, ensure_ascii=False).encode()
