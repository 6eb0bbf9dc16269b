"""Who the simulator knows, and what tokend needs to be one of them.

There is nothing to protect, so the secrets are no secrets.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

APPID = "wx0123456789abcdef"
APP_SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105, see above
CORPID = "ww0123456789abcdef"
AGENTID = 1000002
AGENT_SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"  # noqa: S105, see above

SHOP = f"""\
[apps.shop]
appid = "{APPID}"
secret_file = "shop.secret"
[login]
enabled = true
"""

_SECRETS = {"shop.secret": APP_SECRET, "robot.secret": AGENT_SECRET}

_CONFIG = """\
[server]
listen = ["127.0.0.1:{port}"]
socket = {socket}
[store]
url = {store}
[wechat]
url = "{wechat}"
[wecom]
url = "{wechat}"
"""


def configure(folder: Path, *, port: int, socket: Path, wechat: str, rest: str = SHOP) -> Path:
    """Write a configuration of tokend's, and the secrets, into *folder*; its path.

    *wechat* is the simulator's URL. *rest* follows, in TOML: the apps. Their secrets are in
    ``shop.secret``, of the official account, and ``robot.secret``, of WeCom's agent.
    """
    for name, secret in _SECRETS.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(secret)
    config = folder / "tokend.toml"
    head = _CONFIG.format(
        port=port,
        socket=_quoted(str(socket)),
        store=_quoted(f"sqlite://{folder}/tokend.db"),
        wechat=wechat,
    )
    config.write_text(head + rest, encoding="utf-8")
    return config


def _quoted(text: str) -> str:
    """A string of JSON is one of TOML."""
    return json.dumps(text)
