"""What a POST carries: a JSON object, or nothing that WeChat understands."""

from __future__ import annotations

import json
from typing import Any

from tokend.simulator.refusal import Refusal


def json_object(body: bytes) -> dict[str, Any]:
    if not body:
        raise Refusal(44002, "empty post data")
    try:
        form = json.loads(body)
    except (ValueError, RecursionError):
        form = None
    if not isinstance(form, dict):
        raise Refusal(47001, "data format error")
    return form
