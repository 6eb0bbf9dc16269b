"""What the page says, in English and in Chinese."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# As each calls itself. The first is for whoever prefers neither.
LANGUAGES = {"en": "English", "zh": "中文"}

WORDS = {
    "title": ("tokend status", "tokend 状态"),
    "skip": ("Skip to the keys", "跳到凭证列表"),
    "summary": ("How the keys are", "总览"),
    "keys": ("Keys", "凭证"),
    "all": ("all", "全部"),
    "language": ("Language", "语言"),
    "find": ("Find", "查找"),
    "name": ("Part of a name", "名称的一部分"),
    "none": ("No key is like this.", "没有这样的凭证。"),
    "pages": ("Pages", "分页"),
    "page": ("Page {number} of {last}", "第 {number} 页，共 {last} 页"),
    "previous": ("Previous", "上一页"),
    "following": ("Next", "下一页"),
    "mistake": ("The configuration is not in force: {text}", "配置未生效：{text}"),
    "store away": ("The store is away: {text}", "存储不可用：{text}"),
    "record": ("In the store: {text}", "存储中：{text}"),
    # A key
    "expires in": ("Expires in", "剩余有效期"),
    "refresh in": ("Next refresh in", "距下次刷新"),
    "refreshing": ("Refreshing now", "正在刷新"),
    "here": ("this node", "本节点"),
    "failures": ("Failures in a row", "连续失败"),
    "spent": ("New on request in a day, by this node", "本节点一天内按需换新"),
    "of": ("{number} of {most}", "{number} / {most}"),
    "generation": ("Generation", "代次"),
    "appid": ("appid", "appid"),
    "nothing": ("none", "无"),
    "error": ("Last error", "最近的错误"),
    "advice": ("What to do", "处理办法"),
    "history": ("What happened", "历史"),
    "when": ("When (UTC)", "时间（UTC）"),
    "what": ("What", "事件"),
    "took": ("Took", "耗时"),
    "seconds": ("{number} s", "{number} 秒"),
    # Groups
    "expired": ("expired", "已过期"),
    "missing": ("no token", "尚无"),
    "failing": ("failing", "刷新失败"),
    "suspect": ("in doubt", "存疑"),
    "stale": ("being replaced", "待更换"),
    "fresh": ("good", "正常"),
    "expired is": ("it is not served: programs get errors", "不再提供：程序会得到错误"),
    "missing is": ("it was never there: programs get errors", "从未取得：程序会得到错误"),
    "failing is": ("it is served, but gets no successor", "仍在提供，但换不到新的"),
    "suspect is": ("another node may have replaced it", "可能已被其他节点更换"),
    "stale is": ("it is served; its successor is due", "仍在提供；即将更换"),
    "fresh is": ("it is served", "正在提供"),
    # The life line
    "line": (
        "{state}. Expires in {left}; next refresh in {refresh}.",
        "{state}。剩余有效期 {left}；距下次刷新 {refresh}。",
    ),
    "line before": ("the one before", "上一个"),
    "line token": ("this token", "当前"),
    "line overlap": ("both accepted", "新旧同时有效"),
    "line next": ("the next one", "下一个"),
    "line now": ("now", "现在"),
    "line refresh": ("refresh", "刷新"),
    # What happened
    "what refreshed": ("new token", "已换新"),
    "what unchanged": ("the same token again", "与之前相同"),
    "what restored": ("put back into the store", "已放回存储"),
    "what failed": ("refresh failed", "刷新失败"),
    "what limited": ("kept from asking", "被限制"),
    "what busy": ("another node was refreshing", "其他节点正在刷新"),
    "what adopted": ("taken over from another node", "采用其他节点的 token"),
    "what doubted": ("in doubt", "存疑"),
    "what cleared": ("no longer in doubt", "不再存疑"),
    "what lost": ("lost by the store", "存储中丢失"),
    "what expired": ("expired", "已过期"),
    "what recovered": ("recovered", "已恢复"),
    # The button
    "force": ("Refresh now", "立即刷新"),
    "force title": ("Refresh {key} now?", "立即刷新 {key}？"),
    "force cost": (
        "The token that others hold dies in five minutes. Who asks tokend notices nothing.",
        "其他程序手中的 token 将在五分钟后失效。向 tokend 询问的程序不受影响。",
    ),
    "force budget": (
        "It counts: one in {pause} s, {daily} a day of one key, {reserve} more for operators.",
        "计入配额：每个凭证 {pause} 秒一次，每天 {daily} 次，另为运维保留 {reserve} 次。",
    ),
    "cancel": ("Cancel", "取消"),
    "forced": ("{key} has a new token.", "{key} 已换新。"),
    # Whether the page is alive
    "live": ("Live", "实时"),
    "polling": ("No stream of events: looking every 5 s", "没有事件流：每 5 秒查看一次"),
    "away": ("tokend does not answer; trying again", "tokend 无应答；正在重试"),
    "still": ("As of when it was loaded", "加载时的状态"),
}


def speaking(language: str) -> Callable[..., str]:
    """What says a word of ``WORDS`` in one of ``LANGUAGES``, with what goes into it."""
    which = list(LANGUAGES).index(language)

    def say(word: str, **values: object) -> str:
        return WORDS[word][which].format(**values)

    return say
