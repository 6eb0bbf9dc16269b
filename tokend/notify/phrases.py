"""What changes are called in each language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokend.notify.receiver import Topic

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """Of one language. In braces stands what is put in."""

    language: str
    title: str
    topics: Mapping[Topic, str]
    keys: str
    names: str
    more: str
    why: str
    todo: str
    left: str
    ended: Mapping[Topic, str]
    dropped: str
    quota_advice: str


_ENGLISH = Phrases(
    language="en",
    title="tokend on {host}",
    topics={
        Topic.REFUSED: "WeChat refuses: {what}",
        Topic.EXPIRED: "Expired, and not served: {what}",
        Topic.FAILING: "Began to fail: {what}",
        Topic.QUOTA: "{percent} % of a day's new tokens are spent: {what}",
        Topic.RECOVERED: "Well again: {what}",
    },
    keys="{keys} keys of {apps} {apps:app}: {names}",
    names=", ",
    more=" and {more} more",
    why="Why: {text}",
    todo="What to do: {text}",
    left="The first of these tokens ends in {minutes} min.",
    ended={
        Topic.REFUSED: "had been refused",
        Topic.EXPIRED: "had expired",
        Topic.FAILING: "had failed",
    },
    dropped="Changes before this that could not be told: {number}",
    quota_advice=(
        "see the audit trail for who reports these tokens, or forces them, so often; when all are "
        "spent, rejected tokens are not replaced before a day is over"
    ),
)

_CHINESE = Phrases(
    language="zh",
    title="tokend（{host}）",
    topics={
        Topic.REFUSED: "微信拒绝：{what}",
        Topic.EXPIRED: "已过期，不再提供：{what}",
        Topic.FAILING: "开始刷新失败：{what}",
        Topic.QUOTA: "当日可换新的次数已用去 {percent}%：{what}",
        Topic.RECOVERED: "已恢复：{what}",
    },
    keys="{apps} 个账号的 {keys} 个凭证：{names}",
    names="、",
    more=" 等，另有 {more} 个",
    why="原因：{text}",
    todo="处理：{text}",
    left="其中最早的将在 {minutes} 分钟后过期。",
    ended={
        Topic.REFUSED: "此前被拒绝",
        Topic.EXPIRED: "此前已过期",
        Topic.FAILING: "此前刷新失败",
    },
    dropped="此前未能送达的变化：{number} 条",
    quota_advice="查看审计日志，找出谁在频繁报告失效或强制刷新；次数用尽后，一天之内不再更换被拒的凭证",
)

PHRASES = {each.language: each for each in (_ENGLISH, _CHINESE)}
