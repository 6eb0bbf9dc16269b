"""What is counted while it happens: refreshes, calls to WeChat, requests."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from tokend.api.repeats import REPEAT
from tokend.contracts import Meter
from tokend.happening import What
from tokend.metrics.causes import cause
from tokend.metrics.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from aiohttp import web

    from tokend.api.polls import Polls
    from tokend.api.repeats import Repeat
    from tokend.api.routes import Configuration
    from tokend.api.warden import Warden
    from tokend.chronicle import Event
    from tokend.clock import Clock
    from tokend.errors import UpstreamError
    from tokend.follower import Follower
    from tokend.terms import Terms

# WeChat answers in some hundred milliseconds, and is given up after eight seconds.
_CALL_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 4, 8)
_LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

# Beside the ends of refreshes.
_EVENTS = (What.ADOPTED, What.DOUBTED, What.CLEARED, What.LOST, What.EXPIRED, What.RECOVERED)

_STATUSES = frozenset(HTTPStatus)


class Counts(Meter):
    """Kept in *registry*, with what the operating system knows of the process. Counters that are to
    be alerted on are there from the beginning: of one that begins at 1 nobody sees the first step.
    """

    def __init__(self, clock: Clock) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each
        self.registry = CollectorRegistry()
        Process(self.registry, clock)
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self._gauge = partial(Gauge, registry=self.registry)
        self._refreshes = counter(
            "tokend_refreshes_total",
            "Refreshes of this node that have ended: what for, how, and with which error.",
            ["purpose", "outcome", "error"],
        )
        self._events = counter(
            "tokend_events_total",
            "What else happened to keys, as other nodes, the store or time brought it about.",
            ["event"],
        )
        self._calls = counter(
            "tokend_wechat_calls_total",
            "Calls to WeChat for tokens and tickets; error is empty where one was given.",
            ["endpoint", "error"],
        )
        self._call_seconds = histogram(
            "tokend_wechat_call_duration_seconds",
            "How long calls to WeChat took.",
            ["endpoint"],
            buckets=_CALL_SECONDS,
        )
        self._waits = counter(
            "tokend_lease_waits_total",
            "Refreshes that waited because another node had the lease.",
        )
        self._overtaken = counter(
            "tokend_overtaken_saves_total",
            "Tokens that the store refused because another node had the lease since.",
        )
        self._requests = counter(
            "tokend_http_requests_total",
            "HTTP requests answered, by tokend's own name of the route.",
            ["method", "route", "code"],
        )
        self._lag = histogram(
            "tokend_event_loop_lag_seconds",
            "How late a timer of the event loop was; looked at twice a second.",
            buckets=_LAG_SECONDS,
        )
        build = self._gauge("tokend_build_info", "Which tokend this is; always 1.", ["version"])
        build.labels(version("tokend")).set(1)
        for what in _EVENTS:
            self._events.labels(what)

    # What is looked up at each scrape

    def read(self, follower: Follower, configuration: Configuration, terms: Terms) -> None:
        self._number(
            "tokend_store_up",
            "1 if the store has answered when it was last looked at, which is every two seconds.",
            lambda: follower.trouble is None,
        )
        self._number(
            "tokend_config_last_reload_successful",
            "1 if what the configuration said when it was last read is in force.",
            lambda: not configuration.mistakes,
        )
        self._number(
            "tokend_config_mistakes",
            "How many mistakes kept it from being in force, a hundred at most.",
            lambda: len(configuration.mistakes),
        )
        self._number(
            "tokend_budget_daily",
            "How much tokend_budget_spent may be for all nodes together: refresh.daily_limit.",
            lambda: terms.daily,
        )

    def watch(self, polls: Polls, warden: Warden) -> None:
        self._number(
            "tokend_polls", "Long polls and event streams that are open.", lambda: polls.open
        )
        connections = self._gauge("tokend_connections", "Connections that are open.", ["by"])
        connections.labels("tcp").set_function(lambda: warden.tcp)
        connections.labels("unix").set_function(lambda: warden.unix)

    def _number(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        self._gauge(name, help_text).set_function(read)

    # What is heard

    def happened(self, event: Event) -> None:
        """Of the chronicle."""
        happening = event.happening
        if happening.purpose is None:
            self._events.labels(happening.what).inc()
        else:
            self._refreshes.labels(
                happening.purpose.value, happening.what, cause(happening.error)
            ).inc()

    def asked(self, endpoint: str, took: timedelta, error: UpstreamError | None) -> None:
        self._calls.labels(endpoint, cause(error)).inc()
        self._call_seconds.labels(endpoint).observe(took.total_seconds())

    def waited(self) -> None:
        self._waits.inc()

    def overtaken(self) -> None:
        self._overtaken.inc()

    def late(self, seconds: float) -> None:
        """The event loop was."""
        self._lag.observe(seconds)

    async def answered(self, request: web.Request, response: web.StreamResponse) -> None:
        """What is repeated later is counted when that is told."""
        route = request.match_info.route
        resource = route.resource
        counter = self._requests.labels(
            route.method if resource else "",
            resource.canonical if resource else "",
            _code(response.status),
        )
        counter.inc()
        if repeat := request.get(REPEAT):
            _tell_too(repeat, counter.inc)


def _tell_too(repeat: Repeat, count: Callable[[int], None]) -> None:
    tell = repeat.tell

    def both(times: int) -> None:
        tell(times)
        count(times)

    repeat.tell = both


def _code(status: int) -> str:
    """What WeChat answers to a call that was passed on may be any number."""
    return str(status) if status in _STATUSES else f"{status // 100}xx"
