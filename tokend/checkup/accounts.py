"""If WeChat accepts this host's address, and the appid and secret of each account.

WeChat tells only in answer to a call for a token. The normal call of stable_token gives the token
there is and harms nobody; the classic call would end the life of the current token.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from tokend.errors import MinuteQuotaReached, UpstreamBusy, UpstreamError, UpstreamRefused
from tokend.findings import Finding, Verdict
from tokend.wechat.recipes import ACCESS_TOKENS
from tokend.wechat.replies import read_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokend.config import AppConfig, Config
    from tokend.model import Platform
    from tokend.wechat.transport import Transport

_SUBJECT = "account"
# Each takes a round trip to WeChat, and shows as well whether the address is on the whitelist.
_MOST_ASKED = 100

_PASSING = (UpstreamBusy, MinuteQuotaReached)


async def examine(config: Config, transports: Mapping[Platform, Transport]) -> list[Finding]:
    """One call for each account that can be asked without harm, of the first hundred."""
    first = list(islice(config.apps.values(), _MOST_ASKED))
    found = [await _examine(account, transports) for account in first]
    others = len(config.apps) - len(first)
    if others:
        text = f"{others} more accounts were not asked: one after the other they would take long"
        advice = "let tokend run, and see: tokend status --state expired,missing"
        found.append(Finding(Verdict.OK, _SUBJECT, text, advice))
    return found


async def _examine(account: AppConfig, transports: Mapping[Platform, Transport]) -> Finding:
    app, recipe = account.app, ACCESS_TOKENS[account.upkeep.method]
    request = recipe.current(app)
    if not request.idempotent:
        text = f"{app.name}: not asked, as {request.path} would end the life of its current token"
        return Finding(Verdict.OK, _SUBJECT, text)
    try:
        read_token(await transports[app.platform].send(request), app)
    except UpstreamRefused as error:
        verdict = Verdict.WARNING if isinstance(error, _PASSING) else Verdict.BAD
        text = f"{app.name}: {error}"
        return Finding(verdict, _SUBJECT, text, error.advice, error.advice_zh)
    except UpstreamError as error:
        return Finding(Verdict.BAD, _SUBJECT, f"{app.name}: {error}", "check again in a minute")
    text = f"{app.name}: WeChat accepts the address, the appid and the secret"
    return Finding(Verdict.OK, _SUBJECT, text)
