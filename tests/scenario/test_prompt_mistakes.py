"""Mistakes in prompts and conditions: found by `check` at their line, with a remedy. What is meant is left alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from society.core.problems import Problem
from society.planning.preflight import check as check_all
from society.scenario import check_scenario

DEBATE = """\
version: 1
name: trial
task: {kind: file, path: quiz.csv, question: text, gold: key, choices: [a, b, c]}
backends:
  local: {kind: scripted, rules: [{say: "The answer is (B). Confidence: 80%"}]}
vars: {tone: polite}
roles:
  debater:
    system: >
      You are {{ name }}, a {{ persona.job }} with
      {{ persona.years }} years of practice. Be {{ vars.tone }}.
    prompt: |
      {% if phase == "opening" %}
      Answer alone.
      {% elif round == 1 %}
      Read the others.
      {% endif %}
      {% for message in heard %}
      {{ loop.index }}. {{ message.sender }} in round {{ message.round }}: {{ message.text }}
      {% endfor %}
      {{ question }}
      {% for choice in choices %}{{ choice }} {% endfor %}
      On {{ item.topic }}. {{ instruction }}
      HERE
  critic:
    confidence: stated
    prompt: |
      {% if candidates %}{{ candidates | map(attribute="answer") | join(", ") }}{% endif %}
      {% for m in heard %}{{ m.text }} {% endfor %}
      {{ question }} How sure are you?
      THERE
  chair: {choices: [AGAIN, DONE], prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"}
agents:
  debater: {count: 3, role: debater, persona: [{job: judge, years: 3}, {job: nurse, years: 9}, {job: cook, years: 1}]}
  critic: {role: critic}
  chair: {role: chair}
phases:
  - {name: opening, agents: [debater]}
  - {name: attack, agents: [critic], reads: [debater]}
  - name: rebuttal
    agents: [debater]
    reads: [critic]
    topology: complete
    rounds: 3
    stop: [{kind: answer, answer: B, share: 1}]
  - name: verdict
    agents: [chair]
    reads: [debater]
    when: [disagreement]
    stop: [{kind: verdict, agent: chair, says: done, ends: debate}]
decision: {kind: weighted, voters: [debater, critic]}
sampling: {temperature: 0.7, max_tokens: 60}
"""
MISTAKES = [
    # the text, the mistake in its place, and words of the problem
    ('phase == "opening"', 'phase == "openning"', "did you mean 'opening'"),
    ('phase == "opening"', 'phase == "verdict"', "never holds: where the template is used"),
    ('phase == "opening"', 'phase in ["opening", "rebutal"]', "did you mean 'rebuttal'"),
    ('phase == "opening"', 'phase == "opening" or "rebuttal"', "alone always holds"),
    ('phase == "opening"', "phase == opening", 'write "opening" in quotation marks'),
    ('phase == "opening"', 'phase == "opening" and round == 2', "never holds"),
    ('phase == "opening"', 'name == "debater"', "is a group, whose agents are 'debater-1'"),
    ('phase == "opening"', 'role == "critic"', "it is 'debater'"),
    ('phase == "opening"', 'persona.job == "nurs"', "did you mean 'nurse'"),
    ('phase == "opening"', 'item.topic == "animal"', "did you mean 'animals'"),
    ("round == 1", 'round == "1"', "remove the quotation marks"),
    ("round == 1", "round == 4", "rounds count from 1 to 3"),
    ("round == 1", "round > 0", "always holds: rounds count from 1"),
    ("round == 1", 'phase == "opening"', "another condition around it or before it"),
    ("round == 1", "round < round", "compares `round` with itself"),
    ("round == 1", "heard == []", "write {% if not heard %}"),
    ("round == 1", "question is none", "never equals None"),
    ("{{ persona.years }}", "{{ persona.year }}", "did you mean 'years'"),
    ("{{ vars.tone }}", "{{ vars.tune }}", "did you mean 'tone'"),
    ("{{ vars.tone }}", "{{ vars.tone }}}", "a brace is left over"),
    ("{{ vars.tone }}", "{ { vars.tone } }", "is shown as it is written"),
    ("{{ loop.index }}", "{{ loop.idx }}", "did you mean 'index'"),
    ("{{ message.sender }}", "{{ message.name }}", "has no field 'name'"),
    ("{{ message.sender }}", "{message.sender}", "write {{ message.sender }}"),
    ("{{ message.text }}", "{{ message }}", "in Python's form"),
    ("{{ item.topic }}", "{{ item.topics }}", "did you mean 'topic'"),
    ("{{ item.topic }}", "{{ item.key }}", "`item.key` is the true answer"),
    ("{{ choice }} ", "{{ choice.text }} ", "a text has no 'text'"),
    ("for choice in choices", "for choice in question", "is a text, so the loop takes place for each letter"),
    ("for choice in choices", "for i, choice in choices", "is one value"),
    ("HERE", "{{ heard }}", "{{ one.text }}"),
    ("HERE", "{{ heard.text }}", "is a list"),
    ("HERE", "{{ heard | map('text') | join }}", "there is no filter 'text'"),
    ("HERE", "{{ heard | join }}", "joins records"),
    ("HERE", "{{ choices }}", "join"),
    ("HERE", '{{ "question" }}', "remove the quotation marks"),
    ("HERE", "{{ summary }}", "set `edges: {show: summary}`"),
    ("HERE", "{{ sender }}", "set `on_edges`"),
    ("HERE", "{{ now }}", "set `clock`"),
    ("HERE", "{{ memories[0].text }}", "set `memory"),
    ("HERE", "{% for m in heard %}{{ m.confidence }}{% endfor %}", None),
    ("HERE", "{{ question.upper }}", "write upper()"),
    ("HERE", "{% if not heard %}{{ heard[0].text }}{% endif %}", "the condition around it"),
    ("HERE", "{% for m in heard %}Another agent said: {% endfor %}", "shows nothing of `m`"),
    ("HERE", '{% for m in heard %}{% if m.sender == "crittic" %}!{% endif %}{% endfor %}', "'critic'"),
    ("HERE", '{% for m in heard %}{% if m.answer == "b" %}!{% endif %}{% endfor %}', "did you mean 'B'"),
    ("HERE", "{% for m in heard %}{% if m.confidence and m.confidence > 50 %}!{% endif %}{% endfor %}", "from 0 to 1"),
    ("HERE", "{% if heard | length > 9 %}Many.{% endif %}", "never holds"),
    ("THERE", "{{ readers | join }}", "nobody reads these agents"),
    ("THERE", "{{ own[-1].text if own }} {{ outcome.right }}", "only roles of `memory`"),
    ("answer: B", "answer: dog", "answers are the letters of options; write B"),
    ("answer: B", "answer: D", "allowed: A, B, C"),
    ("says: done", "says: finished", "agents choose from 'AGAIN', 'DONE'"),
]
MEANT = [
    '{% if phase == "opening" %}a{% elif phase == "rebuttal" %}b{% else %}c{% endif %}',
    "{% if round == 1 %}a{% elif round == 2 %}b{% else %}c{% endif %}",
    "{% if round < rounds %}go on{% else %}end{% endif %}",
    "{% if round is odd %}pro{% else %}con{% endif %}",
    '{% if name == "debater-1" or name.endswith("-2") %}lead{% endif %}',
    "{% if heard %}{{ heard[0].text }}{% else %}Nobody.{% endif %}",
    "{% if not heard %}Nobody yet.{% endif %}",
    '{% for m in heard if m.sender == "critic" %}{{ m.text }}{% endfor %}',
    '{% for m in heard | selectattr("sender", "equalto", "critic") %}{{ m.text }}{% endfor %}',
    '{% for s, ms in heard | groupby("sender") %}{{ s }}: {{ ms[0].text }}{% endfor %}',
    "{% set ns = namespace(n=0) %}{% for m in heard %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "{% macro show(m) %}{{ m.sender }}: {{ m.text }}{% endmacro %}{% for m in heard %}{{ show(m) }}{% endfor %}",
    "{% if persona is mapping %}{{ persona.job }}{% endif %}",
    "{% if vars.depth is defined %}{{ vars.depth }}{% endif %}{{ vars.depth | default('') }}",
    "{{ vars.get('depth') or '' }}",
    '{% if "depth" in vars %}{{ vars.depth }}{% endif %}',
    "{% if summary %}{{ summary }}{% endif %}{{ memories or 'nothing' }}",
    "{{ (own | last).text if own }} {% for turn in own[-2:] %}{{ turn.round }}: {{ turn.text }}{% endfor %}",
    '{"answer": {"letter": "{{ name }}"}} \\boxed{ {{ round }} } {{ ["a", "b", "c"][round - 1] }}',
    '{% set side = "pro" if name == "debater-1" else "con" %}{% if side == "pro" %}x{% endif %}',
    "{% for m in heard %}{{ m.confidence if m.confidence is not none }}{{ m.answer or 'nothing' }}{% endfor %}",
    '{% for m in heard %}{% set said = m.answer or "Z" %}{% if said == "Z" %}Silence.{% endif %}{% endfor %}',
]
REMOVED = [
    # the lines that are missing, what is left, and words of the problem
    ("      {% for m in heard %}{{ m.text }} {% endfor %}\n      {{ question }} How", "      How", "`heard`"),
    ("How sure are you?", "", "ask for one in the prompt"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts")
    (path / "quiz.csv").write_text(
        "text,key,a,b,c,topic\nWhich?,A,red,blue,green,colours\nWhat?,B,cat,dog,cow,animals\nWho?,C,Al,Bo,Cy,people\n"
    )
    return path


def check(folder: Path, text: str) -> list[Problem]:
    path = folder / "s.yaml"
    path.write_text(re.sub(r"\b(HERE|THERE)\b", "", text))
    return check_all(path)


@pytest.mark.parametrize("line", ["", *MEANT])
def test_a_prompt_that_is_meant_has_no_problem(folder: Path, line: str) -> None:
    assert [str(problem) for problem in check(folder, DEBATE.replace(" HERE", f" {line}"))] == []


@pytest.mark.parametrize(("right", "wrong", "words"), MISTAKES, ids=[wrong for _, wrong, _ in MISTAKES])
def test_a_mistake_in_a_prompt_is_found_at_its_line(folder: Path, right: str, wrong: str, words: str | None) -> None:
    place = re.search(rf"(?<!\w){re.escape(right)}", DEBATE)
    assert place
    text, line = DEBATE[: place.start()] + wrong + DEBATE[place.end() :], DEBATE[: place.start()].count("\n") + 1
    found = [str(problem) for problem in check(folder, text) if problem.line == line]
    assert any(words in problem for problem in found) if words else not found, found


@pytest.mark.parametrize(("right", "wrong", "words"), REMOVED)
def test_what_a_prompt_lacks_is_found_at_the_prompt(folder: Path, right: str, wrong: str, words: str) -> None:
    assert right in DEBATE
    problems = check(folder, DEBATE.replace(right, wrong))
    line = DEBATE.splitlines().index("    confidence: stated") + 2
    assert any(problem.line == line and words in str(problem) for problem in problems)


def test_a_comparison_has_the_column_of_its_literal(folder: Path) -> None:
    """The place is exact in literal, folded and quoted texts, and in a text that an alias repeats."""
    line = DEBATE.splitlines().index('      {% if phase == "opening" %}') + 1
    [problem] = check(folder, DEBATE.replace('"opening" %}', '"opnening" %}'))
    assert (problem.line, problem.column) == (line, 23)
    folded = DEBATE.replace("{{ persona.years }}", "{% if persona.years > 70 %}old{% endif %}")
    [problem] = [problem for problem in check(folder, folded) if "never holds" in problem.message]
    assert (problem.line, problem.column) == (11, folded.splitlines()[10].index("70") + 1)
    quoted = DEBATE.replace('{{ m.text }} {% endfor %}"}', '{{ m.txet }} {% endfor %}"}')
    [problem] = check(folder, quoted)
    assert quoted.splitlines()[problem.line - 1][problem.column - 1 :].startswith("txet")
    assert problem.level == "error"


ROLES = {"a": "{% if role == 'a' %}x{% else %}y{% endif %} {{ question }}", "b": "{{ question }} z"}


def test_a_template_of_several_roles_may_compare_roles() -> None:
    """Roles with one template are checked together, and a template of a base file may name phases of other files."""
    data = {
        "version": 1,
        "name": "roles",
        "task": {"kind": "capitals", "limit": 2},
        "backends": {"only": {"kind": "scripted"}},
        "roles": {name: {"prompt": ROLES["a"]} for name in "ab"},
        "agents": {"one": {"role": "a"}, "two": {"role": "b"}},
        "phases": [{"name": "only"}],
    }
    assert check_scenario(data) == []
    data["roles"] = {name: {"prompt": prompt} for name, prompt in ROLES.items()}
    assert ["always holds" in problem.message for problem in check_scenario(data)] == [True]


def test_a_base_file_may_name_phases_that_a_scenario_lacks(tmp_path: Path) -> None:
    base = DEBATE.replace("{kind: file, path: quiz.csv, question: text, gold: key, choices: [a, b, c]}", "capitals")
    (tmp_path / "base.yaml").write_text(base)
    path = tmp_path / "s.yaml"
    path.write_text("extends: base.yaml\nphases: [{name: alone, agents: [debater]}]\ndecision: majority\n")
    assert not [str(problem) for problem in check_scenario(path) if "holds" in problem.message]


def alone(line: str) -> dict[str, Any]:
    """Return a scenario with this line in the prompt of its only agent."""
    return {
        "version": 1,
        "name": "rows",
        "task": {"kind": "file", "path": "rows.jsonl", "question": "question", "gold": "answer"},
        "backends": {"only": {"kind": "scripted"}},
        "roles": {"a": {"prompt": "{{ question }} " + line}},
        "agents": {"a": {}},
        "phases": [{"name": "only"}],
    }


def test_constants_that_fail_do_not_end_the_check() -> None:
    from society.core.templating.prompts import find_variables

    assert find_variables("{% if [(1 if [][0] else 2)] %}{{ question }}{% endif %}") == {"question"}
    assert check_scenario(alone("{% if round < 1[2:] %}early{% endif %}")) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{{ item.hint }}", "some rows have no field 'hint'"),
        ("{{ item.hnt }}", "did you mean 'hint'"),
        (
            "{% if item.hint is defined and item.hint == 'x' %}{{ item.hint }}{% endif %}{{ item.hint | default('') }}",
            "",
        ),
        ("{% if item.get('hint') %}{{ item.hint }}{% endif %}{% if 'hint' in item %}{{ item.hint }}{% endif %}", ""),
    ],
)
def test_a_field_that_some_rows_lack_must_be_tested(tmp_path: Path, line: str, words: str) -> None:
    rows = '{"question": "2+2?", "answer": "4", "hint": "x"}\n{"question": "3+5?", "answer": "8"}\n'
    (tmp_path / "rows.jsonl").write_text(rows)
    found = [str(problem) for problem in check_all(alone(line), folder=tmp_path)]
    assert words in found[0] if words else not found, found


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{% if item.level is not none and item.level is odd %}odd{% endif %}", ""),
        ("{% if item.level is not none and -item.level < -2 %}high{% endif %}", ""),
        ("{% for m in heard %}{% if item.level and m.weight < item.level %}{{ m.text }}{% endif %}{% endfor %}", ""),
        ("{% if item.topic == 'music' %}Sing.{% endif %}", ""),
        ("{% if item.topic == 'musik' %}Sing.{% endif %}", "did you mean 'music'"),
    ],
)
def test_all_rows_are_known_and_may_hold_nothing(tmp_path: Path, line: str, words: str) -> None:
    """The topic of the last row differs from that of thousands before it, and odd rows have no level."""
    rows = [{"question": f"{i}?", "answer": "4", "level": None if i % 2 else i, "topic": "maths"} for i in range(2500)]
    rows[-1]["topic"] = "music"
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = [str(problem) for problem in check_all(alone(line), folder=tmp_path) if "`heard`" not in problem.message]
    assert words in found[0] if words else not found, found


@pytest.mark.parametrize(("answer", "wrong"), [("D", False), ("E", True)])
@pytest.mark.parametrize("choices", [[], ["A", "B", "C", "D", "E"]])
def test_an_answer_may_be_possible_for_late_questions(
    tmp_path: Path, answer: str, wrong: bool, choices: list[str]
) -> None:
    """The last questions alone have four options, so that a rule may wait for D."""
    rows = [
        {"question": f"{i}?", "answer": "A", "options": ["x", "y", "z", "u"][: 4 if i > 150 else 2]} for i in range(200)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = alone("{{ choices | join }} {{ instruction }}")
    data["task"]["choices"] = "options"
    data["roles"]["a"]["choices"] = choices
    data["phases"].append({"name": "again", "when": [{"kind": "answer", "answer": answer}]})
    found = [str(problem) for problem in check_all(data, folder=tmp_path) if "can answer" in problem.message]
    assert [f"no agent can answer {answer!r}" in problem for problem in found] == [True] * wrong


def test_a_hidden_field_is_named_as_such(folder: Path) -> None:
    text = DEBATE.replace("choices: [a, b, c]}", "choices: [a, b, c], hide: [topic]}")
    found = [str(problem) for problem in check(folder, text)]
    assert ["`item.topic` is hidden by `hide` of the task" in problem for problem in found] == [True]


def test_a_field_that_every_row_lacks_is_one_error(folder: Path) -> None:
    found = [str(problem) for problem in check(folder, DEBATE.replace("question: text", "question: txet"))]
    assert len(found) == 1
    assert "The same holds for 2 more rows" in found[0]


SUMMARY = """\
version: 1
name: summaries
task: {kind: capitals, limit: 2}
backends: {local: {kind: scripted}}
roles:
  solver: {prompt: "{{ summary }} {{ question }}"}
  scribe: {prompt: "{% for m in heard %}{{ m.text }} {% endfor %} Sum up."}
agents: {solver: {count: 3, role: solver}, scribe: {role: scribe}}
phases:
  - {name: talk, topology: complete, rounds: 2, summarizer: scribe, edges: {show: summary}}
"""


def test_a_summary_of_later_rounds_is_no_empty_variable(folder: Path) -> None:
    assert [str(problem) for problem in check(folder, SUMMARY)] == []


def test_messages_where_edges_show_a_summary_have_that_cause(folder: Path) -> None:
    text = SUMMARY.replace("{{ summary }}", "{% for m in heard %}{{ m.text }}{% endfor %}")
    found = [str(problem) for problem in check(folder, text)]
    assert any("always empty: the edges here show a summary" in problem for problem in found)


def test_messages_that_edges_do_not_show_are_reported_at_show(folder: Path) -> None:
    prompt = "{% for m in heard %}{{ m.text }}{% endfor %}"
    text = SUMMARY.replace("{{ summary }}", prompt).replace("summarizer: scribe, edges: {show: summary}", "XX")
    text = text.replace("XX", "agents: [solver], edges: {show: nothing}")
    found = [str(problem) for problem in check(folder, text) if "talk.edges.show" in problem.path]
    assert len(found) == 1
    assert "set `show: full`, or remove `heard`" in found[0]


ANONYMOUS = SUMMARY.replace("{{ summary }}", "{% for m in heard %}{% if m.sender == 'WHO' %}x{% endif %}{% endfor %}")
ANONYMOUS = ANONYMOUS.replace(
    "summarizer: scribe, edges: {show: summary}", "agents: [solver], edges: {anonymous: true}"
)


@pytest.mark.parametrize(("who", "wrong"), [("solver-1", True), ("solver", True), ("Agent 1", False)])
def test_a_name_that_anonymous_edges_hide_is_never_that_of_a_sender(folder: Path, who: str, wrong: bool) -> None:
    found = [str(problem) for problem in check(folder, ANONYMOUS.replace("WHO", who)) if "holds" in problem.message]
    assert ["`anonymous` edges hide the names" in problem for problem in found] == [True] * wrong


def test_a_summarizer_that_also_speaks_is_reported(folder: Path) -> None:
    text = SUMMARY.replace("topology: complete", "agents: [solver, scribe], topology: complete")
    found = [problem.path for problem in check(folder, text) if "'scribe' also speaks in this phase" in problem.message]
    assert [path.rpartition(".")[2] for path in found] == ["summarizer"]
