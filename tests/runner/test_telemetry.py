"""Spans and metrics of a run, read back from the in-memory exporters of OpenTelemetry's SDK."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from society.core.errors import InputError
from society.runner.telemetry import Telemetry, open_telemetry
from society.runner.tracking import open_tracking
from society.scenario.models.scenario import Scenario
from society.session import run
from society.watcher import Watcher
from tests.conftest import rows
from tests.faults.proxy import HttpServer, Request, reply

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 4}
backends: {scripted: {kind: scripted, rules: [{fail: {kind: error, rate: 0.2}}, {say: "The answer is 4."}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }}{% endfor %}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""
TURNS = 4 * 3 * 2


class Memory:
    """A watcher with exporters that keep what they receive."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.watcher = Telemetry("sums", tracers, MeterProvider([self.reader]))
        self.metrics: dict[str, list[Any]] = {}
        shut_down, meters = self.watcher._providers[1].shutdown, self.watcher._providers[1]

        def read(*arguments: Any, **options: Any) -> None:
            data = self.reader.get_metrics_data()
            scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
            self.metrics = {one.name: list(one.data.data_points) for scope in scopes for one in scope.metrics}
            shut_down(*arguments, **options)

        meters.shutdown = read  # type: ignore[method-assign]

    def spans(self, kind: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name.startswith(kind)]


def test_a_run_is_one_trace_of_debates_and_turns(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    memory = Memory()
    done = run(scenario(TEXT), tmp_path / "run", watcher=memory.watcher)
    [whole] = memory.spans("run sums")
    debates, turns = memory.spans("debate"), memory.spans("chat")
    assert (len(debates), len(turns)) == (4, TURNS)
    assert {span.context.trace_id for span in (*debates, *turns)} == {whole.context.trace_id}
    assert {span.parent.span_id for span in debates if span.parent} == {whole.context.span_id}
    ids = {span.context.span_id: dict(span.attributes or {})["society.item"] for span in debates}
    for span in turns:
        about = dict(span.attributes or {})
        assert span.parent is not None
        assert ids[span.parent.span_id] == about["society.item"]
        assert span.end_time is not None
        assert span.start_time is not None
        assert span.end_time >= span.start_time
    stored = done.turns()
    found = Counter((dict(s.attributes or {})["gen_ai.agent.name"], s.status.is_ok) for s in turns)
    assert found == Counter((turn.id.agent, turn.status == "ok") for turn in stored)
    assert 0 < done.count_failed() < TURNS
    tokens = sum(int(dict(span.attributes or {})["gen_ai.usage.output_tokens"]) for span in turns)  # type: ignore[call-overload]
    assert tokens == sum(turn.usage.generated_tokens for turn in stored)
    everything = json.dumps([json.loads(span.to_json()) for span in memory.exporter.get_finished_spans()])
    assert "The answer is" not in everything
    assert "What is" not in everything


def test_metrics_count_what_the_store_has(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    memory = Memory()
    done = run(scenario(TEXT), tmp_path / "run", watcher=memory.watcher)
    points = memory.metrics
    by_status = {point.attributes["society.status"]: point.value for point in points["society.turns"]}
    assert by_status == {"ok": TURNS - done.count_failed(), "failed": done.count_failed()}
    assert sum(point.value for point in points["society.debates"]) == 4
    turns = done.turns()
    used = {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}
    assert used == {
        "input": sum(turn.usage.prompt_tokens for turn in turns),
        "output": sum(turn.usage.generated_tokens for turn in turns),
    }


def test_a_watched_run_has_the_same_store(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    done = run(scenario(TEXT), tmp_path / "run", watcher=Memory().watcher)
    assert rows(done) == rows(run(scenario(TEXT), tmp_path / "plain"))


class Breaks(Watcher):
    def result(self, result: Any) -> None:
        raise RuntimeError("a watcher that breaks")


def test_spans_of_a_run_that_ends_early_are_ended(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    from society.watcher import Several

    memory = Memory()
    with pytest.raises(RuntimeError):
        run(scenario(TEXT), tmp_path / "run", watcher=Several([memory.watcher, Breaks()]))
    [whole] = memory.spans("run sums")
    assert not whole.status.is_ok
    assert memory.spans("debate")


def test_resumed_turns_have_no_span(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    run(scenario(TEXT), tmp_path / "run")
    memory = Memory()
    done = run(scenario(TEXT), tmp_path / "run", resume=True, watcher=memory.watcher)
    assert done.count_turns() == TURNS
    assert len(memory.spans("chat")) < TURNS  # those that failed
    replayed = [point for point in memory.metrics["society.turns"] if point.attributes["society.replayed"]]
    assert sum(point.value for point in replayed) == TURNS - len(memory.spans("chat"))


def test_an_outage_is_an_event_and_trainings_are_spans() -> None:
    memory = Memory()
    with memory.watcher as watcher:
        watcher.outage("server", "No server.", 9.0)
        watcher.outage("server", "", 12.0)
        watcher.training("critic", "*", 1, 2, 0.5)
        watcher.training("critic", "*", 2, 2, 0.25)
    [whole] = memory.spans("run")
    assert [event.name for event in whole.events] == ["outage"]
    assert memory.metrics["society.paused"][0].value == 12
    assert memory.metrics["society.training.loss"][0].value == 0.25
    assert len(memory.spans("finetuning critic")) == 1


def test_a_collector_receives_both_over_http(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    async def accept(request: Request) -> bytes:
        return reply({})

    with HttpServer(accept) as server:
        run(scenario(TEXT), tmp_path / "run", watcher=open_telemetry(server.url.removesuffix("/v1"), "sums"))
        paths = {request.path for request in server.requests}
    assert paths == {"/v1/traces", "/v1/metrics"}


@pytest.mark.parametrize(
    "url",
    ["otel:4318", "localhost:4318", "//localhost:4318", "http://", "http://localhost:port", "ftp://localhost", "4318"],
)
def test_an_address_that_is_no_url_is_an_error_before_the_run(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="is no URL of a collector") as error:
        open_tracking(f"otel:{url}", "sums")
    assert "http://127.0.0.1:4318" in error.value.remedy
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", url)
    with pytest.raises(InputError, match="OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        open_tracking("otel:env", "sums")


def test_a_target_is_needed() -> None:
    with pytest.raises(InputError, match="does not name"):
        open_tracking("otel:", "sums")
