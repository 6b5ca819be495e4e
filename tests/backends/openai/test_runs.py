"""Whole runs on fake servers: the scenario of `society new`, servers that count nothing, failures in the summary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.openai import OpenAI
from society.cli import main
from society.core.errors import InputError
from society.report.data import build_index, read_runs
from society.runs.run import Run as StoredRun
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run
from tests.backends.openai.brain import Said
from tests.backends.openai.fakes import FakeGateway, FakeOllama, FakeServer
from tests.conftest import rows
from tests.faults.proxy import reply

DEBATE = """
    task: {kind: capitals, well_known: true, limit: 2}
    backends: {server: {kind: openai, url: "URL"}}
    roles: {debater: {prompt: "{{ question }}{% for m in heard %} {{ m.text }}{% endfor %}"}}
    agents: {debater: {count: 2}}
    phases: [{name: debate, topology: complete, rounds: 2}]
    sampling: {max_tokens: 60}
"""


def test_the_scenario_of_society_new_runs_on_ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F4 of the faults: all 24 turns failed, because Ollama's OpenAI-compatible endpoint takes no top_k."""
    monkeypatch.chdir(tmp_path)
    assert main(["new", "mine"]) == 0
    with FakeOllama() as server:
        backend = json.dumps({"kind": "openai", "url": server.url})
        scenario = load_scenario("mine.yaml", [f"backends.local={backend}", "task.limit=2"])
        done = run(scenario, tmp_path / "run")
        assert {row["status"] for row in rows(done) if "status" in row} == {"ok"}
        last = server.brain.last
    assert (last.top_k, last.context) == (scenario.sampling.top_k, 4096)


def test_a_long_debate_asks_ollama_for_a_context_that_holds_it(
    tmp_path: Path, scenario: Callable[..., Scenario]
) -> None:
    """Ollama drops the beginning of a prompt that does not fit, unless it is asked not to."""
    long = DEBATE.replace("{{ question }}", "word " * 1500 + "{{ question }}")
    with FakeOllama() as server:
        done = run(scenario(long.replace("URL", server.url)), tmp_path / "run")
        assert {row["status"] for row in rows(done) if "status" in row} == {"ok"}
        assert (server.brain.last.context or 0) > 7500
        short = scenario(long.replace('"URL"', f'"{server.url}", context: 1024'))
        assert "input length exceeds the context length" in str(run(short, tmp_path / "short").summary())


BUDGET = DEBATE.replace("rounds: 2}", "rounds: 10, stop: [{kind: budget, tokens: 50}]}")


def test_a_budget_ends_where_the_server_counts_no_tokens(tmp_path: Path, scenario: Callable[..., Scenario]) -> None:
    """D1-1 of the cases."""
    with FakeGateway() as server:
        done = run(scenario(BUDGET.replace("URL", server.url)), tmp_path / "run")
    turns = [row for row in rows(done) if "status" in row]
    assert len(turns) < 2 * 2 * 10
    assert all(row["estimated"] and row["generated_tokens"] for row in turns)
    assert "estimates, as a server counted no tokens" in str(done.summary())
    findings = build_index(read_runs([StoredRun(done.folder)]))["runs"][0]["findings"]
    assert any("A server counted no tokens" in finding["detail"] for finding in findings)


class Broken(FakeServer):
    """A server that fails on every turn, with another number each time."""

    thinks = False

    def chat(self, body: dict[str, Any]) -> bytes:
        if "capital" not in body["messages"][-1]["content"]:
            return super().chat(body)
        number = len(self.requests)
        return reply({"error": {"message": f"Request req-{number}: no worker for slot {number % 7}"}}, 400)


def test_the_most_frequent_failure_stands_in_the_summary(tmp_path: Path, scenario: Callable[..., Scenario]) -> None:
    with Broken() as server:
        done = run(scenario(DEBATE.replace("URL", server.url)), tmp_path / "run")
    summary = str(done.summary())
    assert "8 failed turns" in summary
    assert "no worker for slot" in summary
    assert "of 8 failed turns" not in summary  # they are one failure, whatever the numbers in them


def test_a_refused_option_is_an_error_before_the_first_turn(tmp_path: Path, scenario: Callable[..., Scenario]) -> None:
    with FakeGateway() as server:
        text = DEBATE.replace("URL", server.url).replace("max_tokens: 60", "max_tokens: 60, top_k: 20")
        with pytest.raises(InputError, match=r"ignores or refuses sampling\.top_k") as caught:
            run(scenario(text), tmp_path / "run")
        assert not (tmp_path / "run" / "store.sqlite").exists()
    assert "Leave sampling.top_k out" in caught.value.remedy


class Parsed(FakeServer):
    """A server whose reasoning parser takes every reply for a thought."""

    thinks = False

    def write(self, said: Said, body: dict[str, Any]) -> dict[str, Any]:
        answer = super().write(said, body)
        answer["choices"][0]["message"] = {"content": None, "reasoning": said.text}
        return answer


def test_a_server_that_returns_replies_as_thoughts_is_refused(
    tmp_path: Path, scenario: Callable[..., Scenario]
) -> None:
    with Parsed() as server:
        text = DEBATE.replace("URL", server.url)
        with pytest.raises(InputError, match="a whole reply as a thought") as caught:
            run(scenario(text), tmp_path / "run")
    assert "reasoning parser" in caught.value.remedy


def test_a_server_that_never_says_why_replies_end_is_refused() -> None:
    class Silent(FakeServer):
        def write(self, said: Said, body: dict[str, Any]) -> dict[str, Any]:
            answer = super().write(said, body)
            answer["choices"][0]["finish_reason"] = None
            return answer

    async def opened(url: str) -> None:
        async with OpenAI(url=url).open():
            pass

    import asyncio

    with Silent() as server, pytest.raises(InputError, match="without a finish_reason") as caught:
        asyncio.run(opened(server.url))
    assert "gateway" in caught.value.remedy
