"""Before a run, `plan` foresees its calls and tokens within a fifth, for every shipped scenario."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from society.planning.plan import make_plan
from society.runs.records import load_records, total_usage
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.session import run

FILES = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
REPLIES = [
    "It is Paris.",
    "The capital is Rome, I am sure of it. Confidence: 90%",
    "Athens.",
    "I do not know.",
    "Let me think about this for a while before I say that it may well be Madrid. Confidence: 40%",
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_plan_is_within_a_fifth_of_the_truth(path: Path, tmp_path: Path) -> None:
    scripted = json.dumps({"kind": "scripted", "rules": [{"choose": REPLIES, "weights": [6, 3, 1, 1, 1]}]})
    backends = [f"backends.{name}={scripted}" for name in load_scenario(path).backends]
    scenario = load_scenario(path, backends)
    likely = make_plan(expand(scenario)).likely
    records = load_records(run(scenario, tmp_path / "run"))
    usage = total_usage(records)
    assert likely is not None
    assert likely.debates == len(records)
    assert likely.calls == pytest.approx(sum(len(record.turns) for record in records), rel=0.2)
    assert likely.generated_tokens == pytest.approx(usage.generated_tokens, rel=0.2)
    assert likely.prompt_tokens == pytest.approx(usage.prompt_tokens, rel=0.2)
