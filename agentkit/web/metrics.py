"""Numbers for Prometheus: what was asked, what runs, which models are in memory."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from agentkit.events import Event, RunFinished, StepFinished
from agentkit.runtime import Background, Runtime
from agentkit.web.gate import METHODS, App, Receive, Scope, Send
from agentkit.web.problems import REASON

disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """One registry for each service, so that two in a process do not meet."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "agentkit_requests", "Requests", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "agentkit_request_seconds",
            "From request to end of answer",
            ["route"],
            registry=registry,
        )
        self._runs = Counter("agentkit_runs", "Runs that ended", ["status"], registry=registry)
        self._tokens = Counter("agentkit_tokens", "Tokens in runs", ["kind"], registry=registry)
        self._asked = Counter(
            "agentkit_api_tokens",
            "Tokens of requests to the API of OpenAI's clients",
            ["route", "model", "kind"],
            registry=registry,
        )
        self._refused = Counter(
            "agentkit_refusals", "Requests that were not done, and why", ["reason"],
            registry=registry,
        )  # fmt: skip

    def watch(self, background: Background, runtime: Runtime) -> None:
        """Count what is under way whenever somebody looks."""
        under_way = Gauge("agentkit_runs_under_way", "Runs at work here", registry=self._registry)
        under_way.set_function(lambda: len(background.at_work()))
        loaded = Gauge("agentkit_models_loaded", "Models in memory", registry=self._registry)
        loaded.set_function(lambda: len(runtime.pool.holdings()))

    def hear(self, event: Event) -> None:
        """A subscriber of all runs."""
        if isinstance(event, RunFinished):
            self._runs.labels(event.status).inc()
        if isinstance(event, StepFinished) and event.usage is not None:
            self._tokens.labels("read").inc(event.usage.prompt_tokens)
            self._tokens.labels("cached").inc(event.usage.cached_tokens)
            self._tokens.labels("written").inc(event.usage.completion_tokens)

    def answered(
        self, route: str, model: str, read: int, cached: int = 0, written: int = 0
    ) -> None:
        """Count what a request to a model cost; `read` includes what was `cached`."""
        for kind, count in (("read", read), ("cached", cached), ("written", written)):
            if count:
                self._asked.labels(route, model, kind).inc(count)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)

    def counted(self, app: App) -> App:
        """An ASGI application in front of another, which counts what is asked of it."""

        async def count(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            began, status = time.perf_counter(), 0

            async def watched(message: MutableMapping[str, Any]) -> None:
                nonlocal status
                status = message.get("status", status)
                await send(message)

            try:
                await app(scope, receive, watched)
            finally:
                route = getattr(scope.get("route"), "path", "none")  # few, whatever is asked
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._requests.labels(method, route, status).inc()
                if reason := scope.get(REASON):
                    self._refused.labels(reason).inc()
                self._seconds.labels(route).observe(time.perf_counter() - began)
            return None

        return count
