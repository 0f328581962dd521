"""What a server counts, in Prometheus' words; one registry an application, so that several may live in a process."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vretrver.trace import Ranking

_JOBS = (1, 2, 4, 8, 16, 32, 64)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vretrver_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "vretrver_request_seconds", "Until an answer ends.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.running = Gauge("vretrver_requests_running", "Requests being answered.", registry=self.registry)
        self.batches = Histogram(
            "vretrver_batch_jobs",
            "Jobs in a batch.",
            ["stage"],
            buckets=_JOBS,
            registry=self.registry,
        )
        self.work = Counter("vretrver_batch_seconds", "Time at work.", ["stage"], registry=self.registry)
        self.windows = Counter("vretrver_windows", "Windows that an agent ranked.", registry=self.registry)
        self.tokens = Counter("vretrver_tokens", "Tokens of the policy.", ["kind"], registry=self.registry)

    def gauge(self, name: str, says: str, value: Callable[[], float]) -> None:
        """A value that is asked for whenever somebody reads the metrics."""
        Gauge(name, says, registry=self.registry).set_function(value)

    def coarse(self, jobs: int, seconds: float) -> None:
        self._batch("coarse", jobs, seconds)

    def reranked(self, jobs: int, seconds: float) -> None:
        self._batch("rerank", jobs, seconds)

    def spent(self, ranking: Ranking) -> None:
        self.windows.inc(ranking.usage.windows)
        if ranking.usage.tokens is not None:
            self.tokens.labels("prompt").inc(ranking.usage.tokens.prompt)
            self.tokens.labels("completion").inc(ranking.usage.tokens.completion)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _batch(self, stage: str, jobs: int, seconds: float) -> None:
        self.batches.labels(stage).observe(jobs)
        self.work.labels(stage).inc(seconds)


class Counted:
    """Counts every request by its route's template, never by its path: ids must not become labels."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, started = 500, time.perf_counter()

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.running.inc()
        try:
            return await self._app(scope, receive, seen)
        finally:
            self._metrics.running.dec()
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD", "OPTIONS") else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
