"""The little language of the drivers: a JSON command a line on stdin, an answer a line on stdout.

``{"do": "token"}`` is answered by ``{"token": …}``, ``{"do": "ticket"}`` by ``{"ticket": …}``,
``{"do": "call"}`` by ``{"ok": true}``, and whatever the SDK raises by
``{"error": {"errcode": …, "message": …}}``.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Answer = Mapping[str, Any]


def converse(
    actions: Mapping[str, Callable[[], Answer]], errcode: Callable[[Exception], int | None]
) -> None:
    """Answer until stdin ends. *errcode* finds WeChat's code in what this SDK raises."""
    for line in sys.stdin:
        answer = _answer(actions[json.loads(line)["do"]], errcode)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _answer(action: Callable[[], Answer], errcode: Callable[[Exception], int | None]) -> Answer:
    try:
        return action()
    except Exception as error:  # noqa: BLE001, what the SDK raises is the answer
        message = f"{type(error).__name__}: {error}"
        return {"error": {"errcode": errcode(error), "message": message}}
