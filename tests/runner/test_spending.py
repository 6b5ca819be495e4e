"""A run stops at its limits of tokens, dollars and minutes, keeps what it paid for, and goes on with higher ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backends.openai import OpenAI
from backends.openai.prices import look_up
from backends.price import FREE, Price
from society.cli import main
from society.core.errors import InputError, LimitReachedError
from society.core.types import Usage
from society.planning.preflight import check
from society.results import Run
from society.runner.spending import find_minutes
from society.runs.state import RunState, Session
from society.scenario.models.scenario import Scenario
from society.session import run, run_async
from tests.conftest import rows
from tests.faults.injection import Counter
from tests.simulation.virtual_time import run_in_virtual_time

QUESTIONS, AGENTS, AT_ONCE = 20, 2, 2
TURNS = QUESTIONS * AGENTS
TEXT = f"""
task: {{kind: arithmetic, form: a+b, limit: {QUESTIONS}}}
backends: {{scripted: {{kind: scripted, delay: 60, rules: [{{say: "The answer is 4 ."}}]}}}}
roles: {{solver: {{prompt: "{{{{ question }}}}"}}}}
agents: {{solver: {{count: {AGENTS}}}}}
phases: [{{name: debate, rounds: 1}}]
concurrency: {AT_ONCE}
"""
PRICE = "backends.scripted.price={prompt: 1000000, generated: 10000000}"
Play = Callable[..., Run]


@pytest.fixture
def play(scenario: Callable[..., Scenario], tmp_path: Path) -> Play:
    """Return a function that runs TEXT in virtual time."""

    def played(*overrides: str, folder: str = "run", **options: object) -> Run:
        done: Run = run_in_virtual_time(run_async(scenario(TEXT, *overrides), tmp_path / folder, **options))[0]  # type: ignore[arg-type]
        return done

    return played


def used(folder: Run) -> int:
    turns = folder.turns()
    return sum(turn.usage.prompt_tokens + turn.usage.generated_tokens for turn in turns)


def test_tokens_stop_the_run_and_no_reply_is_lost(play: Play, tmp_path: Path) -> None:
    whole = play(folder="whole")
    each = used(whole) // TURNS
    with pytest.raises(LimitReachedError, match=r"has used \d+ tokens, and `limits.tokens` allows 200") as reached:
        play("limits.tokens=200")
    assert "--set limits.tokens=..." in reached.value.remedy
    stopped = Run(tmp_path / "run")
    assert f"has used {used(stopped):,} tokens" in reached.value.cause  # the replies in flight are part of it
    assert stopped.sessions()[-1].reason == reached.value.cause
    assert [session.state for session in stopped.sessions()] == [RunState.LIMITED]
    assert 200 <= used(stopped) <= 200 + 2 * each * AT_ONCE * AGENTS  # replies in flight are finished
    assert stopped.count_failed() == 0
    with pytest.raises(LimitReachedError):
        play("limits.tokens=200", resume=True)  # at once, before anything is generated
    assert len(stopped.sessions()) == 1
    counter = Counter()
    stored = stopped.count_turns()
    done = play("limits.tokens=100000", resume=True, watcher=counter)
    assert (counter.replayed, counter.fresh) == (stored, TURNS - stored)
    assert rows(done) == rows(whole)


def test_a_run_that_ends_with_its_last_token_is_finished(play: Play) -> None:
    total = used(play(folder="whole"))
    done = play(f"limits.tokens={total}")
    assert done.sessions()[-1].state == RunState.FINISHED


def test_dollars_stop_the_run(play: Play, tmp_path: Path) -> None:
    with pytest.raises(LimitReachedError, match=r"has used \$[\d.]+, and `limits.dollars` allows 300") as reached:
        play("limits.dollars=300", PRICE)
    turns = Run(tmp_path / "run").turns()
    cost = sum(turn.usage.prompt_tokens + 10 * turn.usage.generated_tokens for turn in turns)
    assert cost >= 300
    assert f"has used ${cost:.4f}," in reached.value.cause
    session = Run(tmp_path / "run").sessions()[-1]
    assert (session.state, float(session.dollars)) == (RunState.LIMITED, cost)
    with pytest.raises(LimitReachedError):
        play("limits.dollars=300", PRICE, resume=True)
    done = play("limits.dollars=1e6", PRICE, resume=True)
    assert float(done.sessions()[-1].dollars) > cost


def test_minutes_stop_the_run(play: Play, tmp_path: Path) -> None:
    """Each debate takes one minute, and two go on at a time."""
    with pytest.raises(LimitReachedError, match=r"has used 3\.6 minutes"):
        play("limits.minutes=3.6")
    stopped = Run(tmp_path / "run")
    assert stopped.count_turns() == 4 * AT_ONCE * AGENTS  # the fourth minute began before the limit
    done = play("limits.minutes=60", resume=True)
    assert done.count_turns() == TURNS


def test_turns_from_before_a_change_of_the_scenario_count(play: Play) -> None:
    first = play(PRICE)
    total, [before] = used(first), first.sessions()
    changed = "roles.solver.prompt=Now. {{ question }}"
    with pytest.raises(LimitReachedError, match=f"has used {total:,} tokens"):
        play(PRICE, changed, f"limits.tokens={total}", resume=True, force=True)
    with pytest.raises(LimitReachedError, match="has used 1 minutes"):  # all questions took ten minutes
        play(PRICE, changed, "limits.minutes=1", resume=True, force=True)
    done = play(PRICE, changed, resume=True, force=True)
    new = sum(turn.usage.prompt_tokens + 10 * turn.usage.generated_tokens for turn in done.turns())
    assert float(done.sessions()[-1].dollars) == pytest.approx(float(before.dollars) + new)


def test_turns_of_other_runs_cost_nothing(play: Play) -> None:
    whole = play(folder="whole")
    done = play("limits.tokens=1", reuse=whole)
    assert done.count_reused() == TURNS


def test_earlier_sessions_count() -> None:
    ended = Session(started="2026-01-01T00:00:00+00:00", ended="2026-01-01T01:30:00+00:00")
    assert find_minutes(ended) == 90
    assert find_minutes(Session(started="2026-01-01T00:00:00+00:00")) == 0
    assert find_minutes(Session(started="yesterday", ended="today")) == 0


def test_the_command_has_a_status_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scenario.yaml").write_text(f"version: 1\nname: limited\n{TEXT.replace('delay: 60, ', '')}")
    command = ["run", str(tmp_path / "scenario.yaml"), "-o", str(tmp_path / "run")]
    assert main([*command, "--set", "limits.tokens=100"]) == RunState.LIMITED.status == 5
    assert "`limits.tokens` allows 100" in capsys.readouterr().err
    assert "limit reached: The run has used" in str(Run(tmp_path / "run").summary())
    assert main([*command, "--resume", "--set", PRICE]) == 0
    assert "for all turns of the run" in capsys.readouterr().out


def test_a_price_counts_cached_tokens_apart() -> None:
    usage = Usage(prompt_tokens=3_000_000, generated_tokens=1_000_000, cached_tokens=1_000_000)
    assert Price(prompt=2, generated=8, cached=0.5).cost(usage) == 12.5
    assert Price(prompt=2, generated=8).cost(usage) == 14
    assert FREE.cost(usage) == 0


def test_a_server_of_ones_own_is_free_and_an_unknown_one_needs_a_price(scenario: Callable[..., Scenario]) -> None:
    assert OpenAI(url="http://127.0.0.1:8080/v1", model="m").find_price() == FREE
    assert OpenAI(url="http://gpu-7:8000/v1", model="m").find_price() is None
    given = Price(prompt=1, generated=2)
    assert OpenAI(url="http://gpu-7:8000/v1", model="m", price=given).find_price() == given
    server = "backends.scripted={kind: openai, url: 'http://gpu-7:8000/v1', model: m}"
    with pytest.raises(InputError, match="price of the backend 'scripted' is not known") as error:
        run(scenario(TEXT, server, "limits.dollars=5"), "never")
    assert "backends.scripted.price=" in error.value.remedy


def test_check_reports_limits_that_cannot_be_counted_or_reached(tmp_path: Path) -> None:
    server = "backends.scripted={kind: openai, url: 'http://gpu-7:8000/v1', model: m}"
    (tmp_path / "scenario.yaml").write_text(f"version: 1\nname: limited\n{TEXT}")
    [unknown] = check(tmp_path / "scenario.yaml", [server, "limits.dollars=5"])
    assert (unknown.level, unknown.path) == ("error", "limits.dollars")
    assert "is not known" in unknown.message
    [free] = check(tmp_path / "scenario.yaml", ["limits.dollars=5"])
    assert (free.level, free.path) == ("warning", "limits.dollars")
    assert check(tmp_path / "scenario.yaml", ["limits.dollars=5", PRICE]) == []


@pytest.mark.needs("genai_prices")
def test_prices_of_hosted_models_come_from_a_kept_table() -> None:
    price = look_up("gpt-4o", "https://api.openai.com/v1")
    assert price is not None
    assert price.prompt > 0
    assert price.generated > price.prompt
    assert price.cached is not None
    assert 0 < price.cached < price.prompt
    assert look_up("no-such-model", "https://api.openai.com/v1") is None
    assert look_up("gpt-4o", "https://example.org/v1") is None
