"""What to do about an error that keeps a key from its token, in English and in Chinese."""

from __future__ import annotations

from tokend.errors import (
    BreakerOpen,
    LeaseBusy,
    RefreshLimited,
    StoreError,
    TokendError,
    UpstreamRefused,
    UpstreamUnclear,
    UpstreamUnreachable,
)
from tokend.wechat.advice import Advice

# Of an error that is a kind of this; the first that fits.
_REMEDIES: tuple[tuple[type[TokendError], Advice], ...] = (
    (
        UpstreamUnreachable,
        Advice(
            "see if this host reaches WeChat: 'tokend doctor' tries its hosts",
            "检查本机能否连到微信：tokend doctor 会逐个尝试",
        ),
    ),
    (
        UpstreamUnclear,
        Advice(
            "WeChat is asked again by itself; if this lasts: 'tokend doctor'",
            "会自动重试；若持续发生，请执行 tokend doctor",
        ),
    ),
    (
        BreakerOpen,
        Advice(
            "tokend stopped itself from asking too often; its log says who asks",
            "调用过于频繁，tokend 已自行停止；日志中有是谁在调用",
        ),
    ),
    (
        StoreError,
        Advice(
            "see to the store: 'tokend doctor' says what is wrong with it",
            "检查存储：tokend doctor 会说明问题所在",
        ),
    ),
    (
        RefreshLimited,
        Advice("the current token stays served; this passes", "当前 token 继续提供；稍后会恢复"),
    ),
    (
        LeaseBusy,
        Advice("another node is at it; this passes", "其他节点正在处理；稍后会恢复"),
    ),
    (TokendError, Advice("see tokend's log", "查看 tokend 的日志")),
)


def remedy(error: TokendError) -> Advice:
    """Of a refusal what its errcode asks for; else by the kind of error."""
    if isinstance(error, UpstreamRefused):
        return Advice(error.advice, error.advice_zh or error.advice)
    return next(advice for kind, advice in _REMEDIES if isinstance(error, kind))
