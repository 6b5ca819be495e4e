"""Sweeps share what their runs have in common; plans foresee what runs cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import society
from society.cli import main
from society.core.errors import InputError, ScenarioError
from society.core.types import Turn
from society.planning.plan import make_plan
from society.runner.grid import expand_grid, folder_name, split_values
from society.runner.sweep import sweep
from society.runs.records import load_records
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run
from society.watcher import Watcher
from tests.conftest import rows

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 20}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.6, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: 4}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""
TOPOLOGIES = [
    "complete",
    "ring",
    "star",
    "chain",
    "tree",
    "grid",
    "none",
    "{kind: erdos_renyi, p: 0.5}",
    "{kind: k_regular, k: 2}",
    "{kind: edges, edges: [[solver-1, solver-2]]}",
]


class Fresh(Watcher):
    """Counts what was generated, by round."""

    def __init__(self) -> None:
        self.rounds: list[int] = []

    def turn(self, turn: Turn, replayed: bool) -> None:
        if not replayed:
            self.rounds.append(turn.id.round)


def test_ten_topologies_generate_first_answers_once(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    scenario(TEXT)
    watcher = Fresh()
    vary = [f"phases.debate.topology={','.join(TOPOLOGIES)}"]
    variants = sweep(tmp_path / "scenario.yaml", vary, tmp_path / "sweep", watch=lambda changes: watcher)
    assert len(variants) == 10
    assert watcher.rounds.count(1) == 20 * 4
    for variant in variants[1:]:
        assert variant.run.count_reused() >= 20 * 4
        alone = run(variant.run.scenario, tmp_path / "alone" / variant.run.folder.name)
        assert [{**r, "reused": 0} for r in rows(alone)] == [{**r, "reused": 0} for r in rows(variant.run)]


def test_a_sweep_goes_on_where_it_was(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    scenario(TEXT)
    again = Fresh()
    sweep(tmp_path / "scenario.yaml", ["seed=1,2"], tmp_path / "sweep")
    sweep(tmp_path / "scenario.yaml", ["seed=1,2"], tmp_path / "sweep", watch=lambda changes: again)
    assert again.rounds == []


def test_every_variant_is_checked_before_the_first_runs(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    scenario(TEXT)
    with pytest.raises(ScenarioError, match="rings"):
        sweep(tmp_path / "scenario.yaml", ["phases.debate.topology=ring,rings"], tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_values_split_at_outer_commas_only() -> None:
    assert split_values('ring,{kind: tree, branching: 3},"a,b"') == ["ring", "{kind: tree, branching: 3}", '"a,b"']
    assert expand_grid(["a=1,2", "b=x"]) == [("a=1", "b=x"), ("a=2", "b=x")]
    for bad in (["a"], ["a="], ["=1"], ["a=1,,2"], ["a=1,2,1"], ["a=1", "a=2"]):
        with pytest.raises(InputError):
            expand_grid(bad)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (["sampling.temperature=0.7"], "temperature=0.7"),
        (["phases.debate.topology={kind: small_world, k: 4, p: 0.3}"], "topology=_kind_small_world_k_4_p_0.3"),
        (["seed=1", "backends.local.model=models/a.gguf"], "seed=1+model=models_a.gguf"),
    ],
)
def test_a_folder_is_named_after_what_varies_and_its_value(changes: list[str], name: str) -> None:
    folder, _, digest = folder_name(changes).rpartition("-")
    assert folder == name
    assert len(digest) == 6


def test_a_plan_foresees_calls_and_tokens(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    loaded = scenario(TEXT)
    plan = make_plan(expand(loaded), calibrate=5)
    turns = [turn for record in load_records(run(loaded, tmp_path / "run")) for turn in record.turns]
    assert plan.likely is not None
    assert plan.likely.calls == len(turns)
    assert plan.likely.generated_tokens == pytest.approx(sum(t.usage.generated_tokens for t in turns), rel=0.2)
    assert plan.likely.prompt_tokens == pytest.approx(sum(t.usage.prompt_tokens for t in turns), rel=0.2)
    assert max(t.usage.prompt_tokens for t in turns) <= max(t.prompt for t in plan.worst)


def test_a_plan_says_who_reads_whom_and_what_will_not_fit(scenario: Callable[..., Scenario]) -> None:
    small = scenario(TEXT, "backends.scripted.context=40", "sampling.max_tokens=20")
    plan = make_plan(expand(small), calibrate=0)
    first, second = plan.worst[0], plan.worst[4]
    assert (first.round, first.reads) == (1, ())
    assert second.reads == (("solver-2", "debate", 1), ("solver-3", "debate", 1), ("solver-4", "debate", 1))
    assert {turn.round for turn in plan.too_long} == {2}


def test_a_training_run_counts_all_its_debates(scenario: Callable[..., Scenario]) -> None:
    from society.planning.plan import count_debates
    from society.scenario.models.training import LearnerSpec, TrainSpec

    loaded = scenario(TEXT)
    spec = TrainSpec(iterations=3, questions=50, learners={"all": LearnerSpec(phases=("debate",))})
    assert count_debates(expand(loaded.model_copy(update={"train": spec})), 20) == 20 * 4 + 50 * 3


def test_errors_name_the_option_that_the_value_comes_from(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    scenario(TEXT)
    for vary, overrides, start in (
        ("phases.debat.rounds=1,2", (), "--vary phases.debat.rounds=1: "),
        ("seed=1,x", (), "--vary seed=x: "),
        ("seed=1,2", ("phases.debat.rounds=1",), "--set phases.debat.rounds: "),
    ):
        with pytest.raises(ScenarioError) as error:
            sweep(tmp_path / "scenario.yaml", [vary], tmp_path / "sweep", overrides)
        assert str(error.value).startswith(start)


def test_seeds_repeat_the_same_questions(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    scenario(TEXT, "task.limit=3")
    path = tmp_path / "scenario.yaml"
    variants = sweep(path, ["phases.debate.rounds=1,2"], tmp_path / "sweep", ["task.limit=3"], seeds=[4, 9])
    assert [(variant.overrides, variant.seed) for variant in variants] == [
        ((f"phases.debate.rounds={rounds}", f"seed={seed}"), seed) for seed in (4, 9) for rounds in (1, 2)
    ]
    asked = {tuple(row.question for row in variant.run.results()) for variant in variants}
    [plain] = sweep(path, ["phases.debate.rounds=1"], tmp_path / "plain", ["task.limit=3"])
    assert asked == {tuple(row.question for row in plain.run.results())}
    assert [variant.run.count_reused() for variant in variants] == [0, 12, 0, 12]


def test_seeds_that_make_no_repetitions_are_refused(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    scenario(TEXT)
    for seeds, vary, match in ((1, [], "no repetitions"), ([3, 3], [], "repeated"), (2, ["seed=1,2"], "given twice")):
        with pytest.raises(InputError, match=match):
            sweep(tmp_path / "scenario.yaml", vary, tmp_path / "sweep", seeds=seeds)
    assert main(["sweep", str(tmp_path / "scenario.yaml")]) == 2
    assert main(["sweep", str(tmp_path / "scenario.yaml"), "--seeds", "a,b"]) == 2


def test_options_keep_their_order_in_repetitions(tmp_path: Path) -> None:
    rows = "".join(f'{{"question": "Which, {n}?", "choices": ["a", "b", "c", "d"], "gold": 0}}\n' for n in range(4))
    (tmp_path / "questions.jsonl").write_text(rows)
    task = "{kind: jsonl, path: questions.jsonl, choices: choices, gold: gold, gold_as: index0, shuffle_choices: true}"
    text = TEXT.replace("{kind: arithmetic, form: a+b, limit: 20}", task).replace(
        "calculate: {skill: 0.6, wrong: spread}", "say: A"
    )
    (tmp_path / "scenario.yaml").write_text(f"version: 1\nname: options{text}")
    variants = sweep(tmp_path / "scenario.yaml", [], tmp_path / "sweep", seeds=3)
    assert len({tuple((row.question, row.gold) for row in variant.run.results()) for variant in variants}) == 1


def test_variants_without_a_common_question_have_a_table_and_no_statistics(
    scenario: Callable[..., Scenario],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    scenario(TEXT.replace("limit: 20", "limit: 4"))
    command = ["sweep", str(tmp_path / "scenario.yaml"), "--vary", "seed=0,1", "-o", str(tmp_path / "out")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "no question in common" in caplog.text
    assert [line.split()[0] for line in said.splitlines() if line.startswith("seed=")] == ["seed=0", "seed=1"]
    assert "society compare" not in said
    assert main([*command, "--json"]) == 0
    caplog.clear()
    sweep(tmp_path / "scenario.yaml", ["task.limit=2,3"], tmp_path / "more")
    sweep(tmp_path / "scenario.yaml", ["seed=0,1"], tmp_path / "same", ["task.seed=5"])
    assert "no question in common" not in caplog.text


def test_a_plan_foresees_dollars(
    scenario: Callable[..., Scenario], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    price = "backends.scripted.price={prompt: 1000, generated: 10000}"
    loaded = scenario(TEXT, price)
    plan = make_plan(expand(loaded), calibrate=5)
    spent = run(loaded, tmp_path / "run").sessions()[-1].dollars
    assert plan.likely is not None
    assert plan.likely.dollars == pytest.approx(float(spent), rel=0.2)
    assert plan.most.dollars == pytest.approx((plan.most.prompt_tokens + 10 * plan.most.generated_tokens) / 1000)
    assert make_plan(expand(scenario(TEXT)), calibrate=0).most.dollars is None
    scenario(TEXT)
    assert main(["plan", str(tmp_path / "scenario.yaml"), "--set", price, "--calibrate", "0"]) == 0
    assert "generated tokens, $496.4800" in " ".join(capsys.readouterr().out.split())


def test_a_sweep_takes_resume_as_the_command_does(
    scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And plain texts: a path, and one entry that varies."""
    scenario(TEXT)
    monkeypatch.chdir(tmp_path)
    watcher = Fresh()
    for resume in (True, True, False):
        variants = society.sweep("scenario.yaml", "seed=1,2", resume=resume, watch=lambda changes: watcher)
        assert not any(variant.missing for variant in variants)
    assert len(watcher.rounds) == 2 * 20 * 4 * 2
    assert sorted(path.parent.name for path in Path("runs/sweep-scenario").glob("*/store.sqlite")) == sorted(
        variant.run.folder.name for variant in variants
    )


def test_a_sweep_says_what_it_cannot_use(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    scenario(TEXT)
    path = tmp_path / "scenario.yaml"
    with pytest.raises(InputError, match="something that varies"):
        society.sweep(path)
    with pytest.raises(InputError, match="`vary` contains 3"):
        society.sweep(path, [3])  # type: ignore[list-item]
    with pytest.raises(InputError, match="path of a scenario's file"):
        society.sweep({}, "seed=1,2")  # type: ignore[arg-type]
