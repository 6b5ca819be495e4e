"""Spans and metrics of a run for OpenTelemetry, with the names of its conventions for generative models.

A run is one trace: the run, its debates and finetunings, and the turns of each debate. Names and counts are sent, and
never the text of a question or a reply.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from society.core.errors import InputError, MissingExtraError
from society.core.types import Item, Turn, TurnId
from society.watcher import Watcher

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from society.scenario.expand import Society
    from society.simulation.simulate import DebateResult

NAME = "society"
ENDPOINTS = tuple(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in ("", "TRACES_", "METRICS_"))
"""Environment variables with the address of the collector."""
TIMEOUT = "OTEL_EXPORTER_OTLP_TIMEOUT"
"""Environment variable with the seconds for an export."""
PATIENCE = 2
"""Seconds for an export, retries included, unless the environment sets others: the end of a run waits for the last."""
_Debate = tuple[int, str, int]


class Telemetry(Watcher):
    """A watcher that sends spans and metrics to the given providers, and shuts them down when the run ends.

    Metrics: `gen_ai.client.token.usage` and `gen_ai.client.operation.duration` (histograms), `society.turns`,
    `society.debates`, `society.paused` (seconds) and `society.training.loss`.
    """

    starts = True

    def __init__(self, name: str, tracers: TracerProvider, meters: MeterProvider) -> None:
        from opentelemetry import trace

        self._trace: Any = trace
        self._name, self._providers = name, (tracers, meters)
        self._tracer = tracers.get_tracer(NAME)
        meter = meters.get_meter(NAME)
        self._tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}")
        self._seconds = meter.create_histogram("gen_ai.client.operation.duration", "s")
        self._turns = meter.create_counter("society.turns", "{turn}")
        self._debates = meter.create_counter("society.debates", "{debate}")
        self._paused = meter.create_counter("society.paused", "s")
        self._loss = meter.create_gauge("society.training.loss")
        self._split, self._backends = "evaluation", dict[tuple[str, str], str]()
        self._open: dict[_Debate, Any] = {}
        self._speaking: dict[TurnId, Any] = {}
        self._learning: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> Self:
        self._run = self._tracer.start_span(f"run {self._name}")
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for span in (*self._speaking.values(), *self._learning.values(), *self._open.values()):
            span.set_attribute("society.finished", False)
            span.end()
        if exc is not None:
            self._run.set_status(self._trace.StatusCode.ERROR, type(exc).__name__)
        self._run.end()
        for provider in self._providers:
            provider.shutdown()

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        self._split = split
        self._backends = {place: plan.backend for place, plan in society.plans.items()}
        self._run.add_event(f"{split} {iteration}", {"society.questions": len(items)})

    def speaking(self, turn: TurnId, reads: Sequence[TurnId]) -> None:
        parent = self._trace.set_span_in_context(self._debate(turn))
        self._speaking[turn] = self._tracer.start_span(f"chat {turn.agent}", parent)

    def turn(self, turn: Turn, replayed: bool) -> None:
        done: dict[str, str | bool] = {"society.status": turn.status, "society.replayed": replayed}
        self._turns.add(1, done)
        span = self._speaking.pop(turn.id, None)
        if span is None:  # the turn was stored before
            return
        i, usage = turn.id, turn.usage
        backend = self._backends.get((i.phase, i.agent.partition("/")[0]), "")
        about = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": backend}
        for kind, count in (("input", usage.prompt_tokens), ("output", usage.generated_tokens)):
            self._tokens.record(count, {**about, "gen_ai.token.type": kind})
            span.set_attribute(f"gen_ai.usage.{kind}_tokens", count)
        self._seconds.record(usage.seconds, about)
        place = {"phase": i.phase, "round": i.round, "item": i.item, "sample": i.sample, "iteration": i.iteration}
        span.set_attributes({**about, "gen_ai.agent.name": i.agent})
        span.set_attributes({f"society.{name}": value for name, value in place.items()})
        if turn.status == "failed":
            span.set_status(self._trace.StatusCode.ERROR)
        elif turn.finish_reason:
            span.set_attribute("gen_ai.response.finish_reasons", [turn.finish_reason])
        span.end()

    def result(self, result: DebateResult) -> None:
        about: dict[str, str | bool] = {
            "society.split": self._split,
            "society.decided": result.decision.answer is not None,
        }
        self._debates.add(1, about)
        span = self._open.pop((result.iteration, result.item.id, result.sample), None)
        if span is not None:
            span.set_attributes(about)
            span.end()

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        about = {"society.learner": learner, "society.agent": agent}
        self._loss.set(loss, about)
        if (learner, agent) not in self._learning:
            parent = self._trace.set_span_in_context(self._run)
            self._learning[learner, agent] = self._tracer.start_span(f"finetuning {learner}", parent, attributes=about)
        if step == steps:
            self._learning.pop((learner, agent)).end()

    def outage(self, backend: str, cause: str, seconds: float) -> None:
        if cause:
            return
        self._paused.add(seconds, {"gen_ai.provider.name": backend})
        self._run.add_event("outage", {"gen_ai.provider.name": backend, "society.seconds": seconds})

    def _debate(self, turn: TurnId) -> Any:
        """Return the span of a turn's debate, which begins with its first new turn."""
        place = (turn.iteration, turn.item, turn.sample)
        if place not in self._open:
            about: dict[str, str | int] = {"society.item": turn.item, "society.sample": turn.sample}
            parent = self._trace.set_span_in_context(self._run)
            self._open[place] = self._tracer.start_span(f"debate {turn.item}", parent, attributes=about)
        return self._open[place]


def _check_url(url: str, where: str) -> None:
    """Raise `InputError` unless this is a URL of HTTP with a host and a valid port."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f"{where}: {url!r:.200} is no URL of a collector.", "Give one such as http://127.0.0.1:4318.")


def open_telemetry(target: str, name: str) -> Telemetry:
    """Return a watcher that exports to the collector at `target`, such as http://127.0.0.1:4318, by OTLP over HTTP.

    With the target `env`, the variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_ENDPOINT`, ...) name the collector.
    Raises `InputError` for an address that is no URL, and `MissingExtraError` if the SDK is not installed.
    """
    if target != "env":
        _check_url(target, "--track otel")
    for variable in ENDPOINTS if target == "env" else ():
        if os.environ.get(variable):
            _check_url(os.environ[variable], variable)
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtraError("--track otel", "opentelemetry-sdk", "otel") from error
    root = target.rstrip("/")
    spans, metrics = (None, None) if target == "env" else (f"{root}/v1/traces", f"{root}/v1/metrics")
    resource = Resource.create({"service.name": NAME, "society.scenario": name})
    tracers = TracerProvider(resource=resource)
    seconds = None if TIMEOUT in os.environ else PATIENCE
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(spans, timeout=seconds)))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(metrics, timeout=seconds))
    return Telemetry(name, tracers, MeterProvider([reader], resource))
