"""The README's pictures of the status page, taken anew of a demo: ``python -m kit.pictures``."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from kit.browser import chromium, visit
from kit.process import running

_FOLDER = Path(__file__).parents[1] / "pictures"
_LOOKS: dict[str, dict[str, Any]] = {
    "en": {"color_scheme": "light"},
    "zh": {"color_scheme": "dark"},
}

# A token lives 14 s then. When the second has come the line shows three.
_DEMO = ("demo", "--port", "0", "--speed", "500")
_SECOND_TOKEN = re.compile(r"token_fetched.*token_fetched", re.DOTALL)


async def _take() -> None:
    async with running(*_DEMO) as demo, chromium() as browser:
        url = (await demo.said(re.compile(r"status page is (http://\S+)")))[1]
        await demo.said(_SECOND_TOKEN)
        for language, look in _LOOKS.items():
            size = {"width": 520, "height": 400}
            async with visit(browser, f"{url}?lang={language}", viewport=size, **look) as there:
                await there.page.locator("details").first.click()
                await asyncio.sleep(1)
                there.complaints.clear()
                path = _FOLDER / f"status-{language}.png"
                await there.page.screenshot(path=path, full_page=True)


if __name__ == "__main__":
    _FOLDER.mkdir(exist_ok=True)
    asyncio.run(_take())
