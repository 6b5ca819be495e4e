"""Unread messages, repeated messages, readers, and values and rows in prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from society.core.errors import ScenarioError
from society.runs.records import DebateRecord
from society.scenario import load_with_warnings
from society.scenario.models.scenario import Scenario

Play = Callable[..., list[DebateRecord]]
Load = Callable[..., Scenario]
TASK = """
task: {kind: arithmetic, form: a+b, limit: 1}
"""


def reads(record: DebateRecord, agent: str) -> list[list[tuple[str, str, int]]]:
    turns = [turn for turn in record.turns if turn.id.agent == agent]
    return [[(source.phase, source.agent, source.round) for source in turn.reads] for turn in turns]


UNREAD = """
roles: {{talker: {{prompt: "{{{{ name }}}} {{% for m in heard %}}[{{{{ m.text }}}}]{{% endfor %}}"}}}}
agents: {{a: {{}}, b: {{}}}}
phases:
  - name: talk
    rounds: 3
    schedule: sequential
    topology: {{kind: edges, edges: [[a, b]]}}
    speak: heard
    edges: {{{view}}}
"""


def test_an_unread_edge_shows_each_turn_once(debates: Play) -> None:
    """b speaks again only after a new turn of a, which has nothing to read and speaks once."""
    [always] = debates(TASK + UNREAD.format(view="show: full"))
    [once] = debates(TASK + UNREAD.format(view="unread: true"))
    assert reads(always, "b") == [[("talk", "a", 1)]] * 3
    assert reads(once, "b") == [[("talk", "a", 1)]]


def test_a_turn_that_was_summarized_is_read(debates: Play) -> None:
    text = """
roles:
  talker: {prompt: "{{ name }} {{ summary }}{% for m in heard %}[{{ m.text }}]{% endfor %}"}
  scribe: {prompt: "{% for m in heard %}[{{ m.text }}]{% endfor %}"}
agents: {a: {role: talker}, b: {role: talker}, scribe: {role: scribe}}
phases:
  - {name: one, agents: [a]}
  - {name: two, agents: [b], reads: [a], summarizer: scribe, edges: {show: summary}}
  - {name: three, agents: [b], reads: [a], edges: {unread: true}}
"""
    [record] = debates(TASK + text)
    assert reads(record, "b") == [[("two", "scribe/b", 1)], []]


def test_a_summary_that_failed_leaves_its_messages_unread(debates: Play) -> None:
    text = """
roles:
  talker: {prompt: "{{ name }} {{ summary }}{% for m in heard %}[{{ m.text }}]{% endfor %}"}
  scribe: {prompt: "scribe {{ phase }}"}
agents: {a: {role: talker}, b: {role: talker}, scribe: {role: scribe}}
phases:
  - {name: zero, agents: [a]}
  - {name: one, agents: [b], reads: [a], summarizer: scribe, edges: {show: summary}}
  - {name: two, agents: [a]}
  - {name: three, agents: [b], reads: [a], summarizer: scribe, edges: {show: summary, unread: true}}
  - {name: four, agents: [b], reads: [a], edges: {unread: true, window: 2}}
"""
    rules = '[{when: "^scribe three", fail: {kind: error, rate: 1.0}}, {say: "It is 4."}]'
    [record] = debates(f"{TASK}backends: {{scripted: {{kind: scripted, rules: {rules}}}}}{text}")
    assert reads(record, "b") == [[("one", "scribe/b", 1)], [], [("two", "a", 1)]]


def test_own_messages_alone_are_no_reason_to_speak(debates: Play) -> None:
    """With `speak: heard`, an agent that nobody speaks to is silent, though `hear_own` would show its own turn."""
    text = """
roles: {talker: {prompt: "{{ name }}{% for m in heard %}[{{ m.text }}]{% endfor %}"}}
agents: {a: {role: talker}, b: {role: talker}}
phases:
  - {name: talk, topology: {kind: chain, directed: true}, rounds: 3, speak: heard, hear_own: true}
"""
    [record] = debates(TASK + text)
    assert [len(record.of(name)) for name in "ab"] == [1, 3]


@pytest.mark.parametrize(
    ("replies", "shown"),
    [
        (["It is 4 apples.", "It is 4 apples.", "It is 4 apples!"], ["a"]),
        (["It is 4 apples.", "It is 5 apples.", "It is 4 apples."], ["a", "b"]),
        (["It is 4 apples.", "It is not 4 apples.", "It is -4 apples."], ["a", "b", "c"]),
        (["One two three.", "Something else entirely.", "One two three."], ["a", "b"]),
    ],
)
def test_the_first_of_several_equal_messages_is_shown(debates: Play, replies: list[str], shown: list[str]) -> None:
    rules = [{"when": rf"^{name}\b", "say": text} for name, text in zip("abc", replies, strict=True)]
    text = f"""
backends: {{scripted: {{kind: scripted, rules: {json.dumps(rules)}}}}}
roles: {{talker: {{prompt: "{{{{ name }}}} {{% for m in heard %}}[{{{{ m.text }}}}]{{% endfor %}}"}}}}
agents: {{a: {{}}, b: {{}}, c: {{}}, d: {{}}}}
phases:
  - {{name: one, agents: [a, b, c]}}
  - {{name: two, agents: [d], reads: [a, b, c], edges: {{gate: [distinct]}}}}
"""
    [record] = debates(TASK + text)
    assert [agent for _, agent, _ in reads(record, "d")[0]] == shown


def test_prompts_name_the_readers(debates: Play) -> None:
    text = """
roles: {talker: {prompt: "{{ name }} to {{ readers | join(', ') }}"}}
agents: {a: {}, b: {}, c: {}}
phases: [{name: talk, rounds: 2, topology: {kind: edges, edges: [[a, c], [a, b], [c, b]]}}]
"""
    [record] = debates(TASK + text)
    prompts = {turn.id.agent: turn.messages[-1].content for turn in record.turns}
    assert prompts == {"a": "a to b, c", "b": "b to", "c": "c to b"}


def test_values_of_inner_levels_override_outer_ones(debates: Play) -> None:
    text = """
vars: {tone: calm, size: 1}
roles:
  talker: {vars: {size: 2, list: [x, y]}, prompt: "{{ vars.tone }} {{ vars.size }} {{ vars['list'] | join }}"}
agents: {a: {}, b: {vars: {size: 3, tone: loud}}}
phases:
  - {name: one}
  - {name: two, vars: {tone: soft}, bind: {a: {vars: {size: 4}}}}
"""
    [record] = debates(TASK + text)
    prompts = {(turn.id.phase, turn.id.agent): turn.messages[-1].content for turn in record.turns}
    assert prompts == {
        ("one", "a"): "calm 2 xy",
        ("one", "b"): "loud 3 xy",
        ("two", "a"): "soft 4 xy",
        ("two", "b"): "soft 3 xy",
    }


def test_check_finds_values_that_are_missing_or_unused(scenario: Load, tmp_path: Path) -> None:
    text = """
vars: {tone: calm, other: 1}
roles: {talker: {prompt: "{{ vars.tome }} {{ vars.tone }} {{ question }}"}}
agents: {a: {}}
phases: [{name: one}]
"""
    with pytest.raises(ScenarioError) as caught:
        scenario(TASK + text)
    [problem] = caught.value.problems
    assert (problem.path, problem.suggestion) == ("roles.talker.prompt", "tone")
    assert "tome" in problem.message
    path = tmp_path / "scenario.yaml"
    path.write_text(path.read_text().replace("{{ vars.tome }} ", ""))
    _, warnings = load_with_warnings(path)
    assert [(warning.path, "is not used by any template" in warning.message) for warning in warnings] == [
        ("vars.other", True)
    ]


def test_prompts_show_fields_of_the_row_but_not_the_true_answer(debates: Play, scenario: Load, tmp_path: Path) -> None:
    row = {"question": "How many?", "answer": "4", "subject": "counting", "level": 3}
    (tmp_path / "data.jsonl").write_text(json.dumps(row) + "\n")
    text = """
task: {kind: jsonl, path: data.jsonl, limit: 1}
roles: {talker: {prompt: "{{ item.subject }} {{ item.level }} {{ item | length }}: {{ question }}"}}
agents: {a: {}}
phases: [{name: one}]
"""
    [record] = debates(text)
    assert record.turns[0].messages[-1].content == "counting 3 3: How many?"
