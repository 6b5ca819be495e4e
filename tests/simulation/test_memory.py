"""Memory beyond a debate: what agents keep, what they recall, in which order questions are asked, and when."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from society.cli import cli as main
from society.core.errors import InputError, MissingExtraError
from society.core.types import Turn
from society.metrics.comparison import compare
from society.metrics.method_groups import group_runs
from society.metrics.methods import compare_methods
from society.metrics.turn_count import plan_turns
from society.planning.dry_run import dry_run, rough_count
from society.planning.preflight import check
from society.report.rows import TURN, RowMaker
from society.results import Run
from society.runs.records import load_records, sameness
from society.runs.run import Run as StoredRun
from society.scenario import check_scenario, load_scenario
from society.scenario.checks.learned import LEARNED
from society.scenario.expand import expand
from society.scenario.questions import load_items
from society.session import run
from tests.interrupted import run_interrupted

Spec = dict[str, Any]
SHOWN = "{% for m in memories %}<{{ m.kind }} {{ m.author }}: {{ m.text }}> {% endfor %}"
ITEMS = [
    {"question": "What is the capital of France?", "gold": "Paris"},
    {"question": "What is two plus three?", "gold": "5"},
    {"question": "What is the capital of Spain?", "gold": "Madrid"},
    {"question": "What is nine minus one?", "gold": "8"},
]
SPEC: Spec = {
    "version": 1,
    "name": "memory",
    "task": {"kind": "inline", "items": ITEMS, "answer": {"extract": ["text"], "equal": "words"}},
    "backends": {
        "one": {
            "kind": "scripted",
            "rules": [
                {"when": "Note: .*France", "say": "The capital was easy."},
                {"when": "Note: .*two plus", "say": "Sums: plus."},
                {"when": "Note: .*Spain", "say": "Another capital of a country."},
                {"when": "Note: ", "say": "Sums: minus."},
                {"when": "Rate: .*capital", "say": "I give it 9."},
                {"when": "Rate: ", "say": "2"},
                {"when": "Reflect: ", "say": "I know things."},
                {"choose": ["Paris", "Madrid", "5"]},
            ],
        }
    },
    "roles": {
        "solver": {"prompt": SHOWN + "{{ question }}{% for m in heard %} {{ m.text }}{% endfor %}"},
        "writer": {"prompt": "Note: {{ question }}"},
    },
    "agents": {"ann": {"count": 2, "role": "solver"}},
    "phases": [{"name": "talk", "topology": "complete", "rounds": 2}],
    "memory": {"write": "writer"},
    "sampling": {"max_tokens": 30},
}
MORE = {"rater": {"prompt": "Rate: {{ memories[0].text }}"}, "thinker": {"prompt": "Reflect: " + SHOWN}}


def spec(*roles: str, prompt: str = "", **changes: Any) -> Spec:
    made = {**SPEC, **changes}
    made["roles"] = {**SPEC["roles"], **{role: MORE[role] for role in roles}}
    if prompt:
        made["roles"]["solver"] = {"prompt": prompt}
    if made["memory"].get("write") is None:
        del made["roles"]["writer"]
    return made


def play(made: Spec, folder: Path) -> dict[tuple[str, int, int, str], Turn]:
    assert check_scenario(made) == []
    run(made, folder, progress=False)
    return {(t.id.item, t.id.sample, t.id.round, t.id.agent): t for t in Run(folder).turns()}


def recalled(made: Spec, folder: Path, agent: str = "ann-1") -> list[list[str]]:
    """Return what the first prompt to an agent shows as memories, for each question in the order asked."""
    turns = play(made, folder)
    first = [turn for (_, _, number, name), turn in turns.items() if (number, name) == (1, agent)]
    return [re.findall("<(.*?)>", turn.messages[-1].content) for turn in first]


def test_agents_write_notes_and_recall_those_that_suit_the_question(tmp_path: Path) -> None:
    made = spec(memory={"write": "writer", "recall": {"most": 1}})
    assert recalled(made, tmp_path / "run") == [
        [],
        ["note ann-1: The capital was easy."],
        ["note ann-1: The capital was easy."],
        ["note ann-1: Another capital of a country."],  # no note shares a word with it, so the latest one
    ]
    turns = Run(tmp_path / "run").turns()
    notes = {turn.id: turn for turn in turns if turn.id.agent.endswith("/note")}
    assert len(notes) == 8
    for turn in turns:
        shows = [f"{notes[i].id.agent.split('/')[0]}: {notes[i].text}" for i in turn.recalls]
        assert shows == re.findall("<note (.*?)>", turn.messages[-1].content)
        assert all(i.item != turn.id.item for i in turn.recalls)


def test_without_a_role_for_notes_the_last_reply_is_the_memory(tmp_path: Path) -> None:
    made = spec(memory={"recall": {"most": 9}})
    turns = play(made, tmp_path / "run")
    last = turns["question-1", 0, 2, "ann-2"]
    assert f"<reply ann-2: {last.text}>" in turns["question-2", 0, 1, "ann-2"].messages[-1].content
    assert len(turns) == 16
    assert turns["question-2", 0, 1, "ann-2"].recalls == (last.id,)


@pytest.mark.parametrize(("recall", "expected"), [
    ({"most": 1, "relevance": 0, "recency": 1}, "Another capital of a country."),
    ({"most": 1, "relevance": 0, "importance": 1}, "Another capital of a country."),  # of equal ones, the latest
    ({"most": 2, "relevance": 0, "importance": 1}, "The capital was easy.|Another capital of a country."),
    ({"most": 1, "relevance": 0, "recency": 0.1, "importance": 1, "window": 2}, "Another capital of a country."),
    ({"most": 1, "window": 1}, "Another capital of a country."),
])  # fmt: skip
def test_recency_importance_and_window_select_memories(recall: Spec, expected: str, tmp_path: Path) -> None:
    made = spec("rater", memory={"write": "writer", "rate": "rater", "recall": recall})
    if not recall.get("importance"):
        made["roles"]["solver"] = {
            "prompt": SHOWN + "{{ question }}{% for m in memories %}{{ m.importance }}{% endfor %}"
        }
        made["phases"] = [{"name": "talk", "rounds": 1}]
    found = recalled(made, tmp_path / "run")[-1]
    assert found == [f"note ann-1: {text}" for text in expected.split("|")]


def test_an_unreadable_rating_counts_as_1_and_says_so(tmp_path: Path) -> None:
    made = spec("rater", memory={"write": "writer", "rate": "rater", "recall": {"importance": 1}})
    made["backends"] = {"one": {"kind": "scripted", "rules": [{"when": "Rate: ", "say": "Very!"}, {"say": "Paris"}]}}
    turns = play(made, tmp_path / "run")
    rated = turns["question-1", 0, 2, "ann-1/note/importance"]
    assert (rated.status, rated.answer) == ("ok", None)
    assert rated.error == "No number from 1 to 10: the memory has the importance 1."


SECOND = ["question-2", "question-4"]


@pytest.mark.parametrize(
    ("reflect", "on"),
    [({"every": 2}, SECOND), ({"threshold": 12}, ["question-3"]), ({"every": 3, "threshold": 11}, SECOND)],
)
def test_agents_reflect_after_questions_or_importance(reflect: Spec, on: list[str], tmp_path: Path) -> None:
    memory = {
        "write": "writer",
        "rate": "rater",
        "recall": {"importance": 1},
        "reflect": {"role": "thinker", **reflect},
    }
    turns = play(spec("rater", "thinker", memory=memory), tmp_path / "run")
    reflections = [turn for (*_, agent), turn in turns.items() if agent == "ann-1/reflection"]
    assert [turn.id.item for turn in reflections] == on
    shown = re.findall("<(.*?)>", reflections[0].messages[-1].content)
    assert shown[:2] == ["note ann-1: The capital was easy.", "note ann-1: Sums: plus."]
    assert len(reflections[0].recalls) == len(shown)
    after = [turn for (item, _, _, agent), turn in turns.items() if (item, agent) == ("question-4", "ann-1")]
    assert "<reflection ann-1: I know things.>" in after[0].messages[-1].content


@pytest.mark.parametrize(("scope", "authors"), [("agent", {"ann-1"}), ("group", {"ann-1", "ann-2"}),
                                                ("society", {"ann-1", "ann-2", "bob"})])  # fmt: skip
def test_the_scope_says_whose_memories_are_recalled(scope: str, authors: set[str], tmp_path: Path) -> None:
    agents = {"ann": {"count": 2, "role": "solver"}, "bob": {"role": "solver"}}
    made = spec(agents=agents, memory={"write": "writer", "scope": scope, "recall": {"most": 50}})
    found = recalled(made, tmp_path / "run")
    assert {memory.split()[1].rstrip(":") for memory in found[-1]} == authors
    assert [len(shown) for shown in found] == [n * len(authors) for n in range(4)]


@pytest.mark.parametrize(("feedback", "shown"), [("none", "None None None"), ("decision", "X None None"),
                                                 ("verdict", "X V None"), ("gold", "X V G")])  # fmt: skip
def test_feedback_tells_agents_what_they_may_learn(feedback: str, shown: str, tmp_path: Path) -> None:
    learned = " ".join(f"{{{{ %s.{fact} if %s.{fact} is not none else 'None' }}}}" for fact in LEARNED)
    prompt = "{% for m in memories %}[" + learned.replace("%s", "m") + "] {% endfor %}{{ question }}"
    made = spec(memory={"write": "writer", "feedback": feedback}, prompt=prompt, phases=[{"name": "talk"}])
    made["roles"]["writer"] = {"prompt": "Note: {{ question }} [" + learned.replace("%s", "outcome") + "]"}
    made["backends"] = {"one": {"kind": "scripted", "rules": [{"when": "Note: ", "say": "n"}, {"say": "Paris"}]}}
    problems = check_scenario(made)
    assert [problem.path for problem in problems] == []
    turns = play(made, tmp_path / "run")
    for item, right, gold in (("question-1", "True", "Paris"), ("question-2", "False", "5")):
        expected = shown.replace("X", "Paris").replace("V", right).replace("G", gold)
        assert f"[{expected}]" in turns[item, 0, 1, "ann-1/note"].messages[-1].content
        assert f"[{expected}]" in turns["question-4", 0, 1, "ann-2"].messages[-1].content


def test_a_ballot_is_right_if_its_first_choice_is(tmp_path: Path) -> None:
    """Its letters are read by the decision rule, not as an answer to the question."""
    made = spec(memory={"write": "writer", "feedback": "verdict"}, decision={"kind": "ranked"})
    made["roles"] = {
        "solver": {"prompt": "{{ question }}{% for m in memories %} <{{ m.answer }} {{ m.right }}>{% endfor %}"},
        "other": {"prompt": "Other: {{ question }}"},
        "voter": {"prompt": "Vote: {{ question }}"},
        "writer": {"prompt": "Note: {{ question }} [{{ outcome.right }}]"},
    }
    made["agents"] = {"ann": {"role": "solver"}, "bob": {"role": "other"}}
    vote = {"name": "vote", "bind": {"ann": {"role": "voter"}, "bob": {"role": "voter"}}}
    made["phases"] = [{"name": "propose"}, vote]
    rules = [("Vote: .*France", "B > A"), ("Vote: ", "A"), ("Note: ", "n"), ("Other: ", "Paris"), ("", "Rome")]
    made["backends"] = {"one": {"kind": "scripted", "rules": [{"when": w, "say": text} for w, text in rules]}}
    turns = {(t.id.item, t.id.phase, t.id.agent): t for t in run(made, tmp_path / "run", progress=False).turns()}
    notes = {item: turn.messages[-1].content for (item, _, agent), turn in turns.items() if agent == "ann/note"}
    assert [notes[f"question-{n}"][-6:] for n in (1, 2)] == ["[True]", "False]"]  # Paris first, then Rome
    assert "<Paris True>" in turns["question-2", "propose", "ann"].messages[-1].content


@pytest.mark.parametrize(("over", "lengths"), [("questions", [0, 1, 2, 3] * 2), ("samples", [0, 0, 0, 0, 1, 1, 1, 1]),
                                               ("both", [0, 1, 2, 3, 4, 5, 6, 7])])  # fmt: skip
def test_sequences_run_over_questions_samples_or_both(over: str, lengths: list[int], tmp_path: Path) -> None:
    made = spec(memory={"write": "writer", "recall": {"most": 50}}, samples=2, sequence={"over": over})
    turns = play(made, tmp_path / "run")
    found = {(item, sample): len(turn.recalls) for (item, sample, _, name), turn in turns.items() if name == "ann-1"}
    assert [found[f"question-{i + 1}", sample] for sample in (0, 1) for i in range(4)] == lengths


def test_same_recalls_earlier_samples_of_the_question_alone(tmp_path: Path) -> None:
    memory = {"write": "writer", "recall": {"most": 50, "same": True}}
    turns = play(spec(memory=memory, samples=3, sequence={"over": "both"}), tmp_path / "run")
    for (item, sample, _, name), turn in turns.items():
        if name == "ann-1":
            assert [(past.item, past.sample) for past in turn.recalls] == [(item, s) for s in range(sample)]


def test_streams_have_their_own_order_memories_and_time(tmp_path: Path) -> None:
    rows = [{"question": f"{town} {i}?", "answer": "Paris", "town": town} for i in range(3) for town in ("Ulm", "Bonn")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = spec(
        memory={"write": "writer", "scope": "society", "recall": {"most": 50}},
        prompt="{{ now.day }} {{ now }}|" + SHOWN + "{{ question }}",
        phases=[{"name": "talk"}],
        task={"kind": "file", "path": str(tmp_path / "rows.jsonl"), "question": "question", "gold": "answer"},
        sequence={"streams": "town"},
        clock={"start": "2023-02-13 10:00", "times": ["09:00", "21:00"]},
    )
    scenario = load_scenario(made, allow=[tmp_path])
    run(scenario, tmp_path / "run", progress=False)
    for turn in Run(tmp_path / "run").turns():
        if turn.id.agent == "ann-1":
            town, place = turn.messages[-1].content.split("> ")[-1].split("|")[-1].rstrip("?").split()
            time, _, shown = turn.messages[-1].content.partition("|")
            assert len(re.findall("<", shown)) == 2 * int(place)
            assert {i.item[-1] for i in turn.recalls} <= ({"1", "3", "5"} if town == "Ulm" else {"2", "4", "6"})
            assert time == ["1 Monday 13 February 2023, 21:00", "2 Tuesday 14 February 2023, 09:00",
                            "2 Tuesday 14 February 2023, 21:00"][int(place)]  # fmt: skip


@settings(max_examples=5, deadline=None)
@given(concurrency=st.integers(1, 5), stop=st.integers(0, 60), scope=st.sampled_from(["agent", "society"]))
def test_a_run_that_is_killed_and_resumed_has_the_same_store(
    concurrency: int, stop: int, scope: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    recall = {"most": 3, "recency": 1, "importance": 1, "since": "recalled", "query": "heard"}
    reflect = {"role": "thinker", "every": 2}
    memory = {"write": "writer", "rate": "rater", "scope": scope, "recall": recall, "reflect": reflect}
    made = spec("rater", "thinker", memory=memory, samples=2)
    run(made, folder / "whole", progress=False)
    run_interrupted({**made, "concurrency": concurrency}, folder / "part", stop)
    whole, part = (
        {t.id: (t.text, t.reads, t.recalls, t.key) for t in Run(folder / name).turns()} for name in ("whole", "part")
    )
    assert whole == part


def test_a_failed_note_is_no_memory_and_is_counted(tmp_path: Path) -> None:
    made = spec(memory={"write": "writer", "recall": {"most": 9}})
    rules = [{"when": "Note: .*France", "fail": {"kind": "error"}}, {"when": "Note: ", "say": "n"}, {"say": "Paris"}]
    made["backends"] = {"one": {"kind": "scripted", "rules": rules}}
    assert [len(shown) for shown in recalled(made, tmp_path / "run")] == [0, 0, 1, 2]
    failed = [turn.id.agent for turn in Run(tmp_path / "run").turns() if turn.status == "failed"]
    assert failed == ["ann-1/note", "ann-2/note"]
    assert "2 failed turns (2 by notes or ratings of memories)" in str(Run(tmp_path / "run").summary())


def test_the_plan_has_the_longest_prompts_and_every_kind_of_turn() -> None:
    memory = {
        "write": "writer",
        "rate": "rater",
        "recall": {"most": 7, "importance": 1},
        "reflect": {"role": "thinker", "every": 99},
    }
    society = expand(load_scenario(spec("rater", "thinker", memory=memory)))
    turns = dry_run(society, load_items(society).evaluation[0], {"one": rough_count})
    kinds = ("", "note", "note/importance", "reflection", "reflection/importance")
    assert {turn.agent.partition("/")[2] for turn in turns} == set(kinds)
    first = next(turn for turn in turns if turn.agent == "ann-1")
    assert first.prompt > 7 * 30  # as many memories as a prompt shows, each of max_tokens
    assert next(turn for turn in turns if turn.agent == "ann-1/reflection").prompt > 20 * 30


def telling(prompt: str, feedback: str) -> Spec:
    """Return the scenario in which the role for notes has this prompt."""
    made = spec(memory={"write": "writer", "feedback": feedback})
    made["roles"]["writer"] = {"prompt": prompt}
    return made


MISTAKES = [
    (spec(prompt="{{ question }}"), "roles.solver.prompt", "does not show `memories`"),
    (spec(memory={"write": "wirter"}), "memory.write", "there is no role 'wirter'"),
    (spec(memory={"recall": {"importance": 1}}), "memory.recall.importance", "needs `rate`"),
    (spec("rater", memory={"rate": "rater"}), "memory.rate", "nothing uses the importance"),
    (spec(memory={"recall": {"decay": 0.5}}), "memory.recall.decay", "`recency` is 0"),
    (spec(memory={"recall": {"relevance": 0}}), "memory.recall.relevance", "all weights are 0"),
    (spec(memory={"recall": {"same": True}}), "memory.recall.same", "recalls nothing"),
    (spec(memory={"recall": {"query": "heard"}}, phases=[{"name": "talk"}]), "memory.recall.query", "no agent reads"),
    (spec("thinker", memory={"reflect": {"role": "thinker"}}), "memory.reflect", "never happens"),
    (
        spec("thinker", memory={"reflect": {"role": "thinker", "threshold": 9}}),
        "memory.reflect.threshold",
        "the sum stays 0",
    ),
    (spec(memory={"write": "writer", "feedback": "verdict"}), "memory.feedback", "no prompt shows what agents learn"),
    (
        spec(memory={"write": "writer", "scope": "group"}, agents={"ann": {"role": "solver"}}),
        "memory.scope",
        "one agent",
    ),
    (spec(agents={"note": {"role": "solver"}, "ann": {"role": "solver"}}), "agents.note", "rename the agent"),
    (spec(sequence={"over": "samples"}), "sequence.over", "`samples: 2` or more"),
    (spec(clock={"start": "2023-02-13", "minutes": 60}), "clock", "no prompt shows `now`"),
    (spec(clock={"start": "13.2.2023", "minutes": 60}), "clock.start", "is no date and time"),
    (spec(clock={"start": "2023-02-13"}), "clock", "needs one of"),
    (spec(clock={"start": "2023-02-13", "minutes": 5, "times": ["08:00"]}), "clock.times", "has `minutes` and `times`"),
    (spec(clock={"start": "2023-02-13 08:00:30", "minutes": 5}), "clock.start", "has seconds"),
    (spec(clock={"start": "2023-02-13", "field": "t"}), "clock.field", "has `start` and `field`"),
    (spec(clock={"start": "2023-02-13", "times": ["12:00", "08:00"]}), "clock.times", "in the order of a day"),
    (spec(clock={"start": "2023-02-13T08:00+01:00", "minutes": 5}), "clock.start", "has a time zone"),
    (spec(prompt=SHOWN + "{{ question }} {{ now }}"), "roles.solver.prompt", "uses `now`"),
    (spec(prompt=SHOWN + "{{ question }} {{ outcome.right }}"), "roles.solver.prompt", "uses `outcome`"),
    (telling("{{ 'right' if outcome.right else 'wrong' }}", "none"), "roles.writer.prompt", "set `feedback: verdict`"),
    (
        telling("{{ 'right' if outcome.right else 'wrong' }}", "decision"),
        "roles.writer.prompt",
        "set `feedback: verdict`",
    ),
    (
        telling("{{ 'right' if outcome['right'] else 'wrong' }}", "none"),
        "roles.writer.prompt",
        "set `feedback: verdict`",
    ),
    (
        telling("{{ 'right' if outcome | attr('right') else 'wrong' }}", "none"),
        "roles.writer.prompt",
        "`feedback: verdict`",
    ),
    (
        telling("{% set o = outcome %}{{ 'right' if o.right else 'no' }}", "none"),
        "roles.writer.prompt",
        "`feedback: verdict`",
    ),
    (
        spec(prompt=SHOWN + "{{ 'right' if (memories | last).right else 'no' }}{{ question }}"),
        "roles.solver.prompt",
        "shows `right` of `memories`",
    ),
    (telling("{{ outcome.gold }}", "verdict"), "roles.writer.prompt", "set `feedback: gold`"),
    (telling("{{ outcome.decision }}", "none"), "roles.writer.prompt", "set `feedback: decision`"),
    (
        spec(prompt="{% for m in memories %}{{ m.right }}{% endfor %}{{ question }}"),
        "roles.solver.prompt",
        "shows `right` of `memories`",
    ),
]


@pytest.mark.parametrize(("made", "path", "message"), MISTAKES)
def test_mistakes_are_reported_at_their_place(made: Spec, path: str, message: str) -> None:
    found = [problem for problem in check_scenario(made) if problem.path == path and message in problem.message]
    assert len(found) == 1, check_scenario(made)


REMARKS = [
    (spec(task={**SPEC["task"], "limit": 1}), "no sequence has a second question"),
    (
        spec("thinker", memory={"reflect": {"role": "thinker", "every": 4}}),
        "no prompt shows a reflection: a sequence has 4 questions",
    ),
    (spec(sequence={"streams": "town"}), "has no field 'town'"),
    (spec(clock={"field": "time"}, prompt=SHOWN + "{{ now }}{{ question }}"), "has no field 'time'"),
    (spec(clock={"start": "9999-12-31", "minutes": 600}, prompt=SHOWN + "{{ now }}{{ question }}"), "the year 9999"),
]


@pytest.mark.parametrize(("made", "message"), REMARKS)
def test_what_the_questions_cannot_do_is_reported_before_a_run(made: Spec, message: str) -> None:
    assert len([problem for problem in check(made) if message in problem.message]) == 1, check(made)


@pytest.mark.parametrize(("task", "more", "remedy"), [
    ({"shuffle": True}, {}, "Set `shuffle: false`"),
    ({"limit": 4}, {}, "Sort the rows by `clock.field`"),
    ({"limit": 3}, {"samples": 2, "sequence": {"over": "both"}}, "Set `sequence`: `over: questions`"),
])  # fmt: skip
def test_times_that_go_back_have_the_remedy_for_their_cause(
    task: Spec, more: Spec, remedy: str, tmp_path: Path
) -> None:
    rows = [{"question": f"What {i}?", "answer": "5", "time": f"2024-01-0{(1, 2, 3, 1)[i]}"} for i in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {"kind": "file", "path": str(tmp_path / "rows.jsonl"), "question": "question", "gold": "answer", **task}
    made = spec(clock={"field": "time"}, prompt=SHOWN + "{{ now }}{{ question }}", task=found, **more)
    [problem] = [problem for problem in check(made, allow=[tmp_path]) if "before the question" in problem.message]
    assert remedy in problem.message


VERDICT = "{{ 'right' if outcome.right else 'wrong' }}"


@pytest.mark.parametrize(("prompt", "refused"), [
    (VERDICT, True),
    ("{{ outcome.gold }}", True),
    ("{{ outcome.decision }}", False),
    ("{% if outcome.right is none %}?{% else %}" + VERDICT + "{% endif %}", False),
    ("{{ outcome.gold or 'unknown' }}", False),
    ("{% set o = outcome %}{% if o['right'] is none %}?{% else %}{{ 'right' if o.right else 'no' }}{% endif %}", False),
])  # fmt: skip
def test_an_unknown_verdict_is_never_shown_as_wrong(prompt: str, refused: bool, tmp_path: Path) -> None:
    made = telling(prompt, "gold")
    made["task"] = {**made["task"], "items": [*ITEMS, {"question": "Why?"}]}
    unknown = [problem for problem in check(made) if "unknown for 1 of 5 questions" in problem.message]
    assert len(unknown) == refused
    if refused:
        with pytest.raises(InputError, match="unknown for 1 of 5 questions"):
            run(made, tmp_path / "run", progress=False)


def test_show_and_the_report_have_what_an_agent_remembered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = spec("rater", memory={"write": "writer", "rate": "rater", "recall": {"most": 1, "importance": 1}})
    play(made, tmp_path / "run")
    main(["show", str(tmp_path / "run"), "--number", "2"], standalone_mode=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "remembered question-1, ann-1/note: The capital was easy." in shown
    assert "ann-1/note remembers" in shown
    assert "ann-1/note/importance rates a memory" in shown
    stored = StoredRun(tmp_path / "run")
    records = load_records(stored)
    society = expand(stored.scenario)
    rows = [RowMaker(society, sameness(society)).row(record) for record in records]
    values = [dict(zip(TURN, turn, strict=True)) for turn in rows[1]["turns"]]
    [recall] = next(turn["recalls"] for turn in values if turn["agent"] == "ann-2")
    assert recall == ["question-1", 0, 1, "ann-2/note"]
    assert [turn[:2] for turn in rows[0]["turns"]].count([1, "ann-2/note"]) == 1  # where the page finds the text
    assert not any(record.helps(turn) is False for record in records for turn in record.turns if "/" in turn.id.agent)


def test_an_unread_importance_is_counted_in_the_summary(tmp_path: Path) -> None:
    made = spec("rater", memory={"write": "writer", "rate": "rater", "recall": {"importance": 1}})
    made["backends"] = {"one": {"kind": "scripted", "rules": [{"when": "Rate: ", "say": "Very!"}, {"say": "Paris"}]}}
    play(made, tmp_path / "run")
    assert "8 replies without a number: each counts as 1" in str(Run(tmp_path / "run").summary())


def test_recall_by_meaning_needs_its_extra_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise MissingExtraError(f"The sentence encoder {name}", "torch", "encoder")

    monkeypatch.setattr("society.retrieval.ranking.find_encoder", missing)
    made = spec(memory={"write": "writer", "recall": {"by": "meaning"}})
    with pytest.raises(MissingExtraError, match="encoder"):
        run(made, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    assert ["encoder" in problem.message for problem in check(made)] == [True]


@pytest.mark.parametrize(("changes", "remark"), [
    ({}, "questions build on each other"),
    ({"samples": 2, "sequence": {"over": "samples"}}, "samples of a question build on each other"),
    ({"memory": {}, "prompt": "{{ question }}", "phases": [{"name": "talk"}]}, ""),
])  # fmt: skip
def test_the_summary_and_a_comparison_say_what_is_not_independent(changes: Spec, remark: str, tmp_path: Path) -> None:
    made = spec(**changes)
    play(made, tmp_path / "a")
    play({**made, "seed": 2}, tmp_path / "b")
    shown = str(Run(tmp_path / "a").summary())
    notes = " ".join(compare([tmp_path / "a", tmp_path / "b"]).notes)
    assert (remark in shown and f"a: {remark}" in notes) if remark else "build on" not in shown + notes
    [group] = groups = group_runs([tmp_path / "a", tmp_path / "b"])
    assert group.shares_draws == remark.startswith("questions")  # each repetition has its own memories
    told = compare_methods(groups).notes
    assert any(remark in note for note in told) if remark else not any("build on" in note for note in told)


def test_the_estimated_number_of_turns_has_notes_ratings_and_reflections(tmp_path: Path) -> None:
    reflect = {"role": "thinker", "every": 2}
    memory = {"write": "writer", "rate": "rater", "reflect": reflect, "recall": {"importance": 1}}
    made = spec("rater", "thinker", memory=memory)
    turns = play(made, tmp_path / "run")
    assert plan_turns(expand(load_scenario(made))) * len(ITEMS) == len(turns)


def test_with_times_the_first_question_is_at_the_first_of_them_after_the_start(tmp_path: Path) -> None:
    clock = {"start": "2024-02-28 09:00", "times": ["08:00", "12:00"]}
    made = spec(prompt="{{ now }}|" + SHOWN + "{{ question }}", clock=clock, phases=[{"name": "talk"}])
    turns = play(made, tmp_path / "run")
    times = [turn.messages[-1].content.split("|")[0] for key, turn in turns.items() if key[3] == "ann-1"]
    assert times[:2] == ["Wednesday 28 February 2024, 12:00", "Thursday 29 February 2024, 08:00"]


def test_show_says_that_an_empty_note_keeps_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = spec()
    made["backends"] = {"one": {"kind": "scripted", "rules": [{"when": "Note: ", "say": ""}, {"say": "Paris"}]}}
    play(made, tmp_path / "run")
    main(["show", str(tmp_path / "run"), "--number", "1"], standalone_mode=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "ann-1/note keeps nothing" in shown
    assert "remembers" not in shown


def test_the_summary_counts_turns_from_other_runs(tmp_path: Path) -> None:
    play(spec(), tmp_path / "a")
    run(spec(), tmp_path / "b", progress=False, reuse=[tmp_path / "a"])
    shown = [str(Run(tmp_path / name).summary()) for name in "ab"]
    assert ["24 turns taken from other runs" in text for text in shown] == [False, True]
