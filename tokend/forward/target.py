"""Where a call is to go: the path and query as the caller wrote them, but for one value.

What two programs read differently can be walked around, so a path is taken only in its plainest
form, and a query with anything in it twice that decides something is not taken at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus

from tokend.facade.errcodes import INVALID_URL, MALFORMED, TOKEN_MISSING, UNAUTHORIZED, Refused

if TYPE_CHECKING:
    from tokend.model import Secret

# No segment that is empty or begins with a dot, nothing escaped, no slash at the end. No path in
# WeChat's manual needs more.
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")

# A fragment is nothing that is sent.
_PLAIN_QUERY = re.compile(r'[!"$-~]*')

# Parted at semicolons, too, as some servers still do.
_PARAMETER = re.compile(r"(?P<name>[^&;=]+)=?(?P<value>[^&;]*)")

_FOR_TOKENS = "tokend itself gives tokens: /cgi-bin/token, /cgi-bin/stable_token, /v1/apps"
_FOR_TICKETS = "tokend itself gives tickets, and signs pages with them"
_FOR_OWNERS = "it takes an AppSecret, which business servers do not have"
_FOR_EYES = "it shows earlier requests as they were, tokens and AppSecrets in them"
_FOR_USERS = "it takes an AppSecret, or a user's token in place of the app's"
_FOR_PLATFORMS = "it gives tokens of other accounts"

# Whatever a client may have passed on, never these, nor what lies below them.
# https://developers.weixin.qq.com/doc/service/api/base/api_getaccesstoken.html
# https://developer.work.weixin.qq.com/document/path/91039
_NEVER = {
    "/cgi-bin/token": _FOR_TOKENS,
    "/cgi-bin/stable_token": _FOR_TOKENS,
    "/cgi-bin/gettoken": _FOR_TOKENS,
    "/cgi-bin/ticket": _FOR_TICKETS,
    "/cgi-bin/get_jsapi_ticket": _FOR_TICKETS,
    "/cgi-bin/clear_quota/v2": _FOR_OWNERS,
    "/cgi-bin/openapi/rid": _FOR_EYES,
    "/cgi-bin/component": _FOR_PLATFORMS,
    "/cgi-bin/service": _FOR_PLATFORMS,
    "/cgi-bin/get_suite_token": _FOR_PLATFORMS,
    "/cgi-bin/get_provider_token": _FOR_PLATFORMS,
    "/cgi-bin/get_corp_token": _FOR_PLATFORMS,
    "/cgi-bin/corpgroup/corp/gettoken": _FOR_PLATFORMS,
    "/sns": _FOR_USERS,
}

# What works on the account itself, and is there a few times a month for all who use it: passed on
# for those alone whose paths name it, and told of each time.
# https://developers.weixin.qq.com/doc/service/api/apimanage/api_clearquota.html
_OF_POWER = frozenset({"/cgi-bin/clear_quota", "/cgi-bin/openapi/quota/clear"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """*caller* is what stood where the token belongs; *before* and *after* is all around it."""

    path: str
    caller: str
    before: str
    after: str

    @property
    def is_of_power(self) -> bool:
        """In any case, as for those that are never passed on."""
        return self.path.lower() in _OF_POWER

    def with_token(self, token: Secret) -> str:
        return f"{self.before}{quote(token.reveal(), safe='')}{self.after}"


def read_target(raw: str) -> Target:
    """*raw* as it stands in the request line. Raises ``Refused``."""
    path, _, query = raw.partition("?")
    if not _PLAIN_PATH.fullmatch(path):
        raise Refused(INVALID_URL, "invalid url: a path is /words/between/slashes, none escaped")
    if not _PLAIN_QUERY.fullmatch(query):
        raise Refused(INVALID_URL, "invalid url: a character of the query must be escaped")
    _refuse_path(path)
    _refuse_secrets(query)
    return _around_the_token(path, query)


def _refuse_path(path: str) -> None:
    """In any case, should WeChat not care about it."""
    for never, why in _NEVER.items():
        if f"{path.lower()}/".startswith(f"{never}/"):
            raise Refused(UNAUTHORIZED, f"{never} is not passed on: {why}")


def _refuse_secrets(query: str) -> None:
    """A client key in place of an AppSecret is for tokend, and an AppSecret for nobody here."""
    for match in _PARAMETER.finditer(query):
        if _name(match).lower().endswith("secret"):
            raise Refused(UNAUTHORIZED, f"{_name(match)} is not passed on: leave it away")


def _around_the_token(path: str, query: str) -> Target:
    found = [match for match in _PARAMETER.finditer(query) if _name(match) == "access_token"]
    if not any(match["value"] for match in found):
        raise Refused(TOKEN_MISSING, "access_token missing")
    if len(found) > 1:
        raise Refused(MALFORMED, "access_token stands twice")
    begin, end = found[0].span("value")
    return Target(
        path=path,
        caller=unquote_plus(found[0]["value"]),
        before=f"{path}?{query[:begin]}",
        after=query[end:],
    )


def _name(match: re.Match[str]) -> str:
    return unquote_plus(match["name"])
