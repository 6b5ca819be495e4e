"""Labels, selectors, weights and accumulation in whole trainings of a society that guesses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import society
from society.cli.rows import Rows
from society.core.errors import InputError, ScenarioError, TooLongError
from society.core.identity import fingerprint
from society.core.types import TurnId
from society.metrics.iterations import run_iterations, score_iterations
from society.metrics.overview import read_overview
from society.pictures.training_figures import training_figures
from society.planning.plan import count_debates
from society.report.data import conclude, read_runs
from society.runs.records import load_records
from society.runs.run import Run
from society.scenario.expand import expand
from society.store.rows import AdapterRow
from society.training import loop
from society.training.export import training_rows
from tests.components.test_plugin_files import set_plugins

GUESSER = Path(__file__).with_name("guesser.py")
LEARNERS: dict[str, dict[str, Any]] = {
    "generator": {"phases": ["propose"], "turn": "first"},
    "critic": {"phases": ["debate"], "select": {"kind": "critic", "unmixed": "take"}, "rows": 5, "repeat": True},
}
SOCIETY: dict[str, Any] = {
    "version": 1,
    "name": "guessers",
    "task": {"kind": "arithmetic", "form": "a+b", "high": 3, "limit": 2},
    "backends": {"local": "guesser"},
    "roles": {"solver": {"prompt": "{% for m in heard %}{{ m.text }} {% endfor %}{{ question }}"}},
    "agents": {"solver": {"count": 3}},
    "phases": [{"name": "propose"}, {"name": "debate", "topology": "complete"}],
}
BEFORE = {
    "consensus": "b2f1593ce84a2cc23170ba5bdaf8016d",
    "gold": "4a5dad71cc933455928641e15af827a6",
    "quorum": "cf3e53c77bc53848c420520e1f03f8e3",
}
"""A hash of what every adapter was trained on, by a society from before labels were components."""

Train = Callable[..., Run]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Train]:
    """Return a function that trains the guessers with other fields of `train:` and of its learners."""
    folder, number = tmp_path_factory.mktemp("rules"), count()
    society.load_plugins(GUESSER)

    def run(learners: Mapping[str, Mapping[str, Any]] | None = None, name: str = "", **fields: Any) -> Run:
        each = {n: {**LEARNERS[n], **(learners or {}).get(n, {})} for n in LEARNERS}
        train = {"iterations": 2, "questions": 9, "learners": each, **fields}
        out = folder / (name or f"run-{next(number)}")
        society.run(society.Scenario(**SOCIETY, train=train), out, progress=False, resume=out.exists())
        return Run(out)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "hash_code", lambda *_: "")  # BEFORE is older than the hash of a plugin's code
        yield run
    set_plugins()


def adapters(run: Run) -> list[AdapterRow]:
    return sorted(run.adapters(), key=lambda row: (row.iteration, row.learner, row.agent))


def trained_on(run: Run) -> str:
    return fingerprint([[row.iteration, row.learner, row.agent, row.trained_on] for row in adapters(run)])


def sources(run: Run, **place: object) -> list[TurnId]:
    return [row.source for row in run.examples() if all(getattr(row, key) == it for key, it in place.items())]


@pytest.mark.parametrize(
    ("name", "fields"), [("consensus", {}), ("gold", {"label": "gold"}), ("quorum", {"quorum": 3})]
)
def test_the_rows_of_earlier_scenarios_are_the_same(train: Train, name: str, fields: dict[str, Any]) -> None:
    """The hashes are those of the society before labels, weights and objectives were components."""
    assert trained_on(train(**fields)) == BEFORE[name]


@pytest.mark.parametrize(
    ("fields", "learners"),
    [
        ({"label": {"kind": "consensus"}}, {}),
        ({}, {"generator": {"label": "consensus"}, "critic": {"accumulate": False}}),
        ({}, {"generator": {"select": ["agrees"]}}),
        ({"label": {"kind": "vote", "samples": 0}}, {}),
    ],
)
def test_other_words_for_the_same_rule_give_the_same_rows(
    train: Train, fields: dict[str, Any], learners: dict[str, Any]
) -> None:
    """The vote of last answers is the consensus where the decision is their majority."""
    assert trained_on(train(learners, **fields)) == BEFORE["consensus"]


def test_labels_of_the_base_stay_what_they_were(train: Train) -> None:
    """Iteration 1 learns what agrees with the votes of iteration 0, additional ones included, and reports them."""
    run = train(label={"kind": "vote", "by": "base", "over": "first", "samples": 4}, iterations=3)
    drawn = [turn for turn in run.turns() if turn.id.sample > 0]
    assert {turn.id.iteration for turn in drawn} == {0}
    assert {turn.id.sample for turn in drawn} == {1, 2, 3, 4}
    assert {turn.id.phase for turn in drawn} == {"propose"}
    assert len(drawn) == 9 * 3 * 4
    voted: dict[str, list[str | None]] = {}
    for turn in run.turns("iteration = 0 AND phase = 'propose'"):
        voted.setdefault(turn.id.item, []).append(turn.answer)
    turns = {turn.id: turn for turn in run.turns()}
    learned = [turns[source] for source in sources(run)]
    assert {turn.id.iteration for turn in learned} == {0, 1, 2}
    for turn in learned:
        votes = voted[turn.id.item]
        assert len(votes) == 15
        assert votes.count(turn.answer) * 2 > len(votes)
    spec = run.scenario.train
    assert spec is not None
    assert [spec.draws(iteration) for iteration in range(3)] == [4, 0, 0]
    assert count_debates(expand(run.scenario), 2) == 2 * 4 + 9 * 3 + 9 * 4
    [zero, one, two, _] = run_iterations(run)
    assert zero.labelled == one.labelled == two.labelled
    assert zero.training_turns == one.training_turns + len(drawn)


def test_an_interrupted_training_with_more_votes_resumes_to_the_same_rows(train: Train) -> None:
    label = {"kind": "vote", "by": "society", "samples": 2}
    whole = train(label=label)
    again = train(label=label, name="again", iterations=1)
    assert trained_on(train(label=label, name="again")) == trained_on(whole)
    assert again.folder.name == "again"


def test_a_learner_may_have_a_label_of_another_stage(train: Train) -> None:
    """Generators learn from the last vote, critics from the first one; both labels are reported."""
    run = train({"critic": {"label": {"kind": "vote", "over": "first"}, "select": "agrees"}})
    firsts: dict[tuple[int, str], list[str | None]] = {}
    for record in load_records(run, split="training"):
        key = (record.result.iteration, record.result.item)
        firsts[key] = [turn.answer for turn in record.first(record.speakers)]
    turns = {turn.id: turn for turn in run.turns()}
    learned = [turns[source] for source in sources(run, learner="critic")]
    assert learned
    assert all(firsts[turn.id.iteration, turn.id.item].count(turn.answer) >= 2 for turn in learned)
    scores = run_iterations(run)[0].learner_labels
    assert set(scores) == {"generator", "critic"}
    counts = [max((f.count(a) for a in f if a is not None), default=0) for (i, _), f in firsts.items() if i == 0]
    assert scores["critic"].missing == sum(most < 2 for most in counts)
    told = dict(read_overview(run).rows())
    labels = sum(s.learner_labels["critic"].right.n for s in run_iterations(run) if s.learner_labels)
    assert "labels" not in told
    assert told["labels of critic"].startswith(f"{labels},")


def test_no_agent_votes_on_its_own_label(train: Train) -> None:
    run = train({"generator": {"label": {"kind": "vote", "over": "first", "leave_one_out": True}}})
    others: dict[tuple[int, str], dict[str, str | None]] = {}
    for record in load_records(run, split="training"):
        turns = record.first(record.speakers)
        others[record.result.iteration, record.result.item] = {turn.id.agent: turn.answer for turn in turns}
    turns_by_id = {turn.id: turn for turn in run.turns()}
    learned = [turns_by_id[source] for source in sources(run, learner="generator")]
    assert learned
    for turn in learned:
        rest = [a for name, a in others[turn.id.iteration, turn.id.item].items() if name != turn.id.agent]
        assert rest == [turn.answer] * 2
    score = run_iterations(run)[0].learner_labels["generator"]
    assert score.right.n + score.missing == 9 * 3  # a label for each agent


def test_weights_have_the_mean_one_and_are_stored(train: Train) -> None:
    select = ["agrees", {"kind": "margin", "power": 1}]
    run = train({"generator": {"select": select, "label": {"kind": "vote", "over": "all"}}}, majority=0, quorum=1)
    rows = [row for row in run.examples() if row.learner == "generator" and row.iteration == 0]
    by_agent = [[row.weight for row in rows if row.agent == agent] for agent in {row.agent for row in rows}]
    assert any(len(set(weights)) > 1 for weights in by_agent)
    assert all(sum(weights) / len(weights) == pytest.approx(1) for weights in by_agent)
    assert {row.rule for row in rows} == {"agrees, margin"}
    for row in adapters(run):
        if row.learner == "generator" and row.hash:
            stored = json.loads((run.folder / row.path / "adapter").read_text())["rows"]
            own = [
                e
                for e in run.examples()
                if (e.iteration, e.learner, e.agent) == (row.iteration, "generator", row.agent)
            ]
            assert [weight for _, weight, _ in stored] == [e.weight for e in own]


def test_accumulated_rows_are_of_all_iterations_within_the_limit_of_one(train: Train) -> None:
    learner = {"rows": 4, "repeat": True, "accumulate": True}
    run = train({"generator": learner, "critic": {"select": "agrees", **learner}}, iterations=4)
    last = [row for row in adapters(run) if row.iteration == 3 and row.hash]
    assert last
    assert all(row.examples == 4 for row in last)
    assert {source.iteration for source in sources(run, iteration=3)} >= {0, 1, 2, 3} - {3}
    right = run_iterations(run)[3].rows_right
    assert sum(share.n for share in right.values()) == len(sources(run, iteration=3))


@pytest.mark.parametrize(
    ("fields", "learner", "message"),
    [
        ({}, {"accumulate": True}, "`accumulate` needs `rows` or `tokens`"),
        ({"label": {"kind": "vote", "lag": 2}}, {}, "`lag` needs `by: previous`"),
        ({"label": "oracle"}, {}, "unknown label"),
        ({"label": {"kind": "vote", "over": "every"}}, {}, "over"),
        ({}, {"select": []}, "select"),
        ({}, {"select": ["agrees", {"kind": "novel", "power": 0}]}, "changes nothing"),
    ],
)
def test_impossible_rules_are_refused_before_anything_runs(
    train: Train, fields: dict[str, Any], learner: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        train({"generator": learner}, **fields)


@pytest.mark.parametrize("on_empty", ["keep", "stop"])
def test_a_learner_whose_rows_are_all_too_long_keeps_its_weights(train: Train, on_empty: str) -> None:
    fields = {"settings": {"max_length": 8}, "on_empty": on_empty}
    if on_empty == "stop":
        with pytest.raises(TooLongError, match="longer than max_length"):
            train(**fields)
        return
    run = train(name="long", **fields)
    trained = [row for row in run.adapters() if row.left_out.get("too long")]
    assert trained
    assert all(row.hash is None and row.examples == 0 for row in trained)
    assert trained[0].left_out["too long"] == len(
        sources(run, iteration=0, learner=trained[0].learner, agent=trained[0].agent)
    )
    assert {turn.adapter for turn in run.turns("iteration = 2")} <= {None, ""}
    assert train(name="long", **fields).adapters() == run.adapters()


def test_rows_that_the_trainer_omitted_are_marked(train: Train) -> None:
    """The weights of the others have the mean 1, and a resumed run keeps the marks."""
    select = ["agrees", {"kind": "margin", "power": 1}]
    fields = {"settings": {"max_length": 15}, "majority": 0, "quorum": 1, "name": "omitted"}
    run = train({"generator": {"select": select}}, **fields)
    exported = [*training_rows(run)]
    assert {row["left_out"] for row in exported} == {"", "too long"}
    assert all(row["trained"] == (len(row["learned"]) <= 15) == (not row["left_out"]) for row in exported)
    for adapter in run.adapters():
        place = (adapter.iteration, adapter.learner, adapter.agent)
        own = [row for row in exported if (row["iteration"], row["learner"], row["agent"]) == place]
        weights = [row["weight"] for row in own if row["trained"]]
        assert len(weights) == adapter.examples
        assert adapter.left_out.get("too long", 0) == len(own) - len(weights)
        assert not weights or sum(weights) / len(weights) == pytest.approx(1)
    printed = StringIO()
    number = [row["trained"] for row in exported].index(False)
    Rows(run, Console(file=printed, width=200)).show(number + 1)
    assert "trained  no: too long" in printed.getvalue()
    again = train({"generator": {"select": select}}, **fields)
    assert (again.examples(), again.adapters()) == (run.examples(), run.adapters())


def test_replies_of_one_turn_are_no_repetitions(train: Train) -> None:
    run = train()
    rows = run.examples()
    debates = load_records(run), load_records(run, split="training")
    twice = [*rows, *(replace(row, part=1) for row in rows)]
    scores = score_iterations(expand(run.scenario), *debates, run.adapters(), twice)
    assert [score.repeated for score in scores] == [2 * score.repeated for score in run_iterations(run)]


# Objectives


def test_a_pair_is_a_reply_with_the_label_and_one_without_it_to_the_same_prompt(train: Train) -> None:
    run = train({"generator": {"objective": "dpo"}})
    turns = {turn.id: turn for turn in run.turns()}
    rows = [row for row in run.examples() if row.learner == "generator"]
    assert rows
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    for good, bad in pairs:
        assert (good.desired, bad.desired) == (True, False)
        assert (good.agent, good.iteration) == (bad.agent, bad.iteration)
        assert good.source.agent == good.agent  # each agent prefers its own replies
        one, other = turns[good.source], turns[bad.source]
        assert one.messages == other.messages
        assert None not in (one.answer, other.answer)
        assert one.answer != other.answer
    left_out = sum((Counter(row.left_out) for row in run.adapters()), Counter())
    assert left_out["no turn with another answer to compare with"]
    exported = [row for row in training_rows(run) if row["learner"] == "generator"]
    assert [row["desired"] for row in exported] == [row.desired for row in rows]
    assert all(
        one["messages"][:-1] == two["messages"][:-1] for one, two in zip(exported[::2], exported[1::2], strict=True)
    )


def test_critics_compare_replies_of_one_round_after_one_prompt(train: Train) -> None:
    run = train({"critic": {"objective": {"kind": "dpo", "against": "question"}, "select": "agrees", "rows": 6}})
    rows = [row for row in run.examples() if row.learner == "critic"]
    assert rows
    assert all(one.source.phase == two.source.phase == "debate" for one, two in zip(rows[::2], rows[1::2], strict=True))
    assert max(row.examples for row in run.adapters() if row.learner == "critic") <= 6  # a pair counts as two rows
    exported = [row for row in training_rows(run) if row["learner"] == "critic"]
    for one, two in zip(exported[::2], exported[1::2], strict=True):
        assert one["messages"][:-1] == two["messages"][:-1]
        assert one["learned"] != two["learned"]


def test_undesired_replies_are_at_most_as_many_as_desired_ones(train: Train) -> None:
    run = train({"generator": {"objective": "kto"}})
    turns = {turn.id: turn for turn in run.turns()}
    for adapter in run.adapters():
        place = (adapter.iteration, adapter.learner, adapter.agent)
        own = [row for row in run.examples() if (row.iteration, row.learner, row.agent) == place]
        bad = [row for row in own if not row.desired]
        assert len(bad) * 2 <= len(own)
        assert all(row.rule == "against" and turns[row.source].answer is not None for row in bad)
    assert any(not row.desired for row in run.examples())
    assert run_iterations(run)[0].rows_right["against"].n


@pytest.mark.parametrize("select", ["all", "success", "agrees"])
@pytest.mark.parametrize("objective", ["kto", "dpo"])
def test_every_turn_is_either_desired_or_undesired_or_left_out(train: Train, objective: str, select: str) -> None:
    """A selected turn with another answer is desired only, and no turn is counted twice."""
    some = {"agents": ["solver-1"]} if select != "agrees" else {}  # the turns of others may then be undesired
    run = train({"generator": {"objective": objective, "select": select, **some}}, majority=0, quorum=1)
    for adapter in run.adapters():
        if adapter.learner == "generator":
            place = (adapter.iteration, adapter.learner, adapter.agent)
            own = [row for row in run.examples() if (row.iteration, row.learner, row.agent) == place]
            desired = {row.source for row in own if row.desired}
            undesired = {row.source for row in own if not row.desired}
            assert not desired & undesired
            turns = {id for id in desired | undesired if id.agent == adapter.agent}
            assert len(turns) + sum(adapter.left_out.values()) == 9  # a first turn for each question


def test_undesired_replies_weigh_as_much_as_desired_ones(train: Train) -> None:
    weigh = {"select": ["agrees", {"kind": "margin", "power": 2}], "objective": "kto"}
    rows = [row for row in training_rows(train({"generator": weigh}, majority=0, quorum=1)) if "weight" in row]
    for key in {(row["iteration"], row["learner"], row["agent"]) for row in rows}:
        own = [row for row in rows if (row["iteration"], row["learner"], row["agent"]) == key]
        good, bad = ([row["weight"] for row in own if row["desired"] is desired] for desired in (True, False))
        assert bad == [pytest.approx(sum(good) / len(good))] * len(bad)
    assert any(not row["desired"] and row["weight"] for row in rows)


@pytest.mark.parametrize(
    ("fields", "learner", "message"),
    [({"backends": {"local": {"kind": "llama_cpp"}}}, {"objective": "dpo"}, "trainer")],
)
def test_objectives_need_a_trainer(train: Train, fields: dict[str, Any], learner: dict[str, Any], message: str) -> None:
    scenario = {**SOCIETY, **fields, "train": {"learners": {"all": {"phases": ["propose"], **learner}}}}
    with pytest.raises(ScenarioError, match=message):
        society.Scenario(**scenario)


def test_an_objective_changes_what_an_adapter_was_trained_on(train: Train) -> None:
    assert trained_on(train({"generator": {"objective": "sft"}})) == BEFORE["consensus"]
    kinds = [{"kind": "kto", "beta": 0.1}, {"kind": "kto", "beta": 0.5}, "dpo"]
    assert len({trained_on(train({"generator": {"objective": kind}})) for kind in kinds}) == 3


# The guard


def test_the_guard_returns_to_the_best_iteration(train: Train) -> None:
    fields = {"guard": {"signal": "margin", "errors": 0, "patience": 1}, "iterations": 6, "majority": 0, "quorum": 1}
    run = train(name="guarded", **fields)
    scores = run_iterations(run)
    [alarm] = [score for score in scores if score.alarm is not None]
    assert alarm.alarm is not None
    assert alarm.alarm < alarm.iteration < 6
    assert scores[-1].iteration == 6  # the society that stays is evaluated as that of the last iteration
    assert max(turn.id.iteration for turn in run.turns() if turn.id.iteration < 6) == alarm.iteration
    best = {(turn.id.phase, turn.id.agent): turn.adapter for turn in run.turns(f"iteration = {alarm.alarm}")}
    last = {(turn.id.phase, turn.id.agent): turn.adapter for turn in run.turns("iteration = 6")}
    assert last == best
    returned = [row for row in run.adapters() if row.back_to is not None]
    assert {row.back_to for row in returned} == {alarm.alarm}
    assert {row.iteration for row in returned} == {alarm.iteration}
    said = read_overview(run).text()
    assert f"ended the training in iteration {alarm.iteration}; the weights of iteration {alarm.alarm} stayed" in said
    assert "after the guard " in said
    assert "after 6 finetunings" not in said
    [finding] = [f for f in conclude(read_runs([run])[0])["findings"] if f["question"] == "Did finetuning help?"]
    end = f"in iteration {alarm.iteration}; the last society has the weights of iteration {alarm.alarm}."
    assert finding["detail"].endswith(f"The guard ended the training {end}")
    listed = StringIO()
    Rows(run, Console(file=listed, width=200)).show(0)
    assert f"guard: weights of iteration {alarm.alarm}" in listed.getvalue()
    with pytest.raises(InputError, match="no training rows"):
        Rows(run, Console(file=listed), iteration=alarm.iteration).show(1)
    again = train(name="guarded", **fields)
    assert [row.trained_on for row in again.adapters()] == [row.trained_on for row in run.adapters()]
    assert "The guard found" in figure(run, "estimates").note
    more = read_overview(train(**{**fields, "name": "guarded", "iterations": 8}))
    assert more.text().count("after the guard") == 1  # the society is that of iteration 6
    assert max(more.summaries) == 8


def test_the_guard_reads_the_label_of_the_training(train: Train) -> None:
    """No learner has it, and its additional votes are drawn."""
    own = {name: {"label": "gold"} for name in LEARNERS}
    guard = {"signal": "agreement", "errors": 0, "patience": 1, "then": "stop"}
    run = train(own, guard=guard, label={"kind": "vote", "over": "first", "samples": 2}, iterations=2)
    assert {turn.id.sample for turn in run.turns("iteration = 0")} == {0, 1, 2}
    assert run.scenario.train is not None
    spec = run.scenario.train.model_dump(mode="json", exclude_unset=True)
    assert not [
        p for p in society.check({**SOCIETY, "train": spec}) if p.path.startswith(("train.label", "train.quorum"))
    ]


def test_the_summary_counts_no_finetuning_without_rows(train: Train) -> None:
    run = train(settings={"max_length": 8}, iterations=1)
    said = read_overview(run).text()
    assert "after 1 iteration without rows" in said
    assert "after 1 finetuning" not in said


def test_the_guard_may_only_stop_or_report(train: Train) -> None:
    fields = {"iterations": 6, "majority": 0, "quorum": 1}
    guard = {"signal": "margin", "errors": 0, "patience": 1}
    stopped, told = (train(guard={**guard, "then": then}, **fields) for then in ("stop", "report"))
    [alarm] = [score.iteration for score in run_iterations(stopped) if score.alarm is not None]
    assert not any(row.back_to is not None for row in stopped.adapters())
    now = {(turn.id.phase, turn.id.agent): turn.adapter for turn in stopped.turns(f"iteration = {alarm}")}
    last = {(turn.id.phase, turn.id.agent): turn.adapter for turn in stopped.turns("iteration = 6")}
    assert last == now
    assert [score.iteration for score in run_iterations(told) if score.alarm is not None] == [alarm]
    assert {row.iteration for row in told.adapters()} == set(range(6))


def figure(run: Run, name: str) -> Any:
    [found] = [one for one in training_figures(run_iterations(run)) if one.id == name]
    return found


def test_the_report_shows_estimates_beside_the_truth(train: Train) -> None:
    table = figure(train({"critic": {"label": {"kind": "vote", "over": "first"}}}), "estimates")
    assert table.columns[1:] == ["agreement", "corrected", "margin", "base", "drift", "labels right", "accuracy"] + [
        f"vote of {name} answers" for name in ("first", "last", "all")
    ]
    assert table.rows[0][4:6] == ["- (n = 0)", "- (n = 0)"]
    assert table.rows[1][4].endswith("(n = 9)")  # each question counts
    labels = figure(train({"critic": {"label": {"kind": "vote", "over": "first"}}}), "learner-labels")
    assert [row[:2] for row in labels.rows] == [[f"{i}", name] for i in (0, 1) for name in ("generator", "critic")]


def test_a_decision_over_all_turns_is_reported_beside_the_last_vote(train: Train, tmp_path: Path) -> None:
    given = {**SOCIETY, "decision": {"kind": "majority", "over": "all"}}
    made = society.run(society.Scenario(**given), tmp_path / "run", progress=False)
    shown = made.summary()
    assert "vote of all turns" in str(shown)
    assert "vote of last answers" in str(shown)
    run = Run(tmp_path / "run")
    for record in load_records(run):
        answers = [turn.answer for turn in record.turns]
        most = max((answers.count(a) for a in answers if a is not None), default=0)
        leading = {a for a in answers if a is not None and answers.count(a) == most}
        assert record.result.decision.answer == (leading.pop() if len(leading) == 1 else None)
    trained = society.Scenario(**given, train={"questions": 9, "learners": LEARNERS})
    society.run(trained, tmp_path / "trained", progress=False)
    turns = {turn.id: turn for turn in Run(tmp_path / "trained").turns()}
    assert all(turns[source].answer is not None for source in sources(Run(tmp_path / "trained")))
