"""A check of a large society renders the prompts of some agents of each kind, and finds what the whole would show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import society
from society.planning.dry_run import dry_run, rough_count
from society.planning.part import part_of
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.questions import load_items

SCENARIOS = Path(__file__).parents[2] / "scenarios"
QUESTION = "{{ question }}"
DATA: dict[str, Any] = {
    "version": 1,
    "name": "large",
    "task": {"kind": "arithmetic", "limit": 2},
    "backends": {"m": {"kind": "scripted"}},
    "roles": {"citizen": {"prompt": QUESTION}, "critic": {"prompt": QUESTION}, "reader": {"prompt": QUESTION}},
    "agents": {
        "town": {"count": 500, "role": "citizen", "persona": [{"age": 30 + i} for i in range(499)] + [{"age": ""}]},
        "critic": {"role": "critic"},
        "reader": {"role": "reader"},
    },
    "topologies": {"net": {"kind": "scale_free", "m": 2}},
    "phases": [
        {"name": "talk", "agents": ["town"], "topology": "net", "rounds": 2, "on_edges": "critic"},
        {"name": "last", "agents": ["reader"], "reads": ["town"]},
    ],
}


def check(**prompts: str) -> list[str]:
    """Return the errors where these prompts follow the question."""
    roles = {name: {"prompt": f"{QUESTION} {prompts.get(name, '')}"} for name in DATA["roles"]}
    return [str(problem) for problem in society.check({**DATA, "roles": roles}) if problem.level == "error"]


@pytest.mark.parametrize(
    ("role", "prompt", "message"),
    [
        ("citizen", "{% for m in heard %}{{ m.txt }}{% endfor %}", "did you mean 'text'?"),
        ("citizen", "{% if round > 1 %}{{ heard[4].text }}{% endif %}", "element 4"),
        ("citizen", "{% if heard | length > 40 %}{{ heard[0].txt }}{% endif %}", "did you mean 'text'?"),
        ("citizen", "{% for m in heard %}{{ m.answer.upper() }}{% endfor %}", "upper"),
        ("citizen", "{% if persona.age > 40 %}old{% endif %}", "not supported between instances"),
        ("citizen", "{{ own[0].answer }}", "element 0"),
        ("critic", "{{ heard[3].text }}", "element 3"),
        ("critic", "{{ sender.name }}", "name"),
        ("reader", "{{ heard[0].txt }}", "did you mean 'text'?"),
    ],
)
def test_the_mistake_of_one_kind_of_agent_is_found(role: str, prompt: str, message: str) -> None:
    (problem,) = check(**{role: prompt})
    assert problem.startswith(f"roles.{role}.prompt: ")
    assert message in problem


def test_agents_with_their_prompts_read_what_they_read_in_the_whole() -> None:
    whole = expand(society.Scenario.from_dict({**DATA, "phases": DATA["phases"][:1]}))
    (item, _) = load_items(whole).evaluation
    counts = dict.fromkeys(whole.scenario.backends, rough_count)
    every = {(turn.agent, turn.round): turn.reads for turn in dry_run(whole, item, counts)}
    found = [turn for turn in dry_run(whole, item, counts, part=True) if turn.round == 2 and turn.reads]
    assert len(found) > 20
    assert {len(turn.reads) for turn in found} > {4, 6, 8}
    for turn in found:
        assert set(turn.reads) <= set(every[turn.agent, turn.round])
        assert len(turn.reads) in (len(every[turn.agent, turn.round]), 100)  # of 50 senders, and of the critic each


@pytest.mark.parametrize(
    "name", ["choose_whom", "dylan", "macnet_tree", "mallm", "resampled", "scale_free", "star", "tournament"]
)
def test_a_part_of_a_shipped_scenario_has_no_error_of_its_own(name: str) -> None:
    path = SCENARIOS / f"{name}.yaml"
    groups = [group for group, spec in load_scenario(path).agents.items() if spec.count > 1]
    large = [f"agents.{group}.count=130" for group in groups]
    whole = expand(load_scenario(path, [*large, "task={kind: arithmetic, limit: 1}"]))
    (item,) = load_items(whole).evaluation
    part = part_of(whole, item.id)
    assert len(part.agents) < len(whole.agents)
    assert [phase.name for phase in part.phases] == [phase.name for phase in whole.phases]
    for poor in (False, True):
        turns = dry_run(whole, item, dict.fromkeys(whole.scenario.backends, rough_count), poor=poor, part=True)
        assert {turn.phase for turn in turns} == {phase.name for phase in whole.phases}


def test_a_small_society_is_checked_as_a_whole() -> None:
    small = expand(load_scenario(SCENARIOS / "debate.yaml"))
    assert part_of(small, "any") is small
