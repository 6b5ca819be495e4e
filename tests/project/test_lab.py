"""The lab: its model is reproducible and equal in llama.cpp, and its experiment resumes."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lab import arms, plan
from benchmarks.lab.teacher import ORDERS, Manner, answer_of, hear, summarise, used_questions, write_chain
from society.core.errors import InputError
from society.core.types import ChatMessage
from society.scenario import check_scenario, load_scenario
from tests.backends.hf.tiny import one_thread

FILES = sorted(arms.SCENARIOS.glob("*.yaml"))
ODD = [
    "12+3*4",
    " 7",
    "What is  the\n\nvalue of 90?",
    "naïve café 東京 🙂",
    "they're <|end|> '7's",
    "\tx\u200by",
    "٣٤",
    "",
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_scenarios_can_run_and_are_short(path: Path) -> None:
    assert check_scenario(path) == []
    assert len(path.read_text().splitlines()) < 60


def test_every_arm_loads_and_its_changes_change_something() -> None:
    assert {arm.file for arm in plan.ARMS.values()} == {path.stem for path in FILES if load_scenario(path).train}
    assert all({*arm.seeds} <= {*arms.RESERVED} for arm in plan.ARMS.values())
    assert len({suite.page for suite in plan.SUITES}) == len(plan.SUITES)
    for suite in plan.SUITES:
        loaded = [arm.load(1, 1) for arm in suite.arms.values()]
        assert len({scenario.model_dump_json() for scenario in loaded}) == len(suite.arms)
        assert len({scenario.task.model_dump_json() for scenario in loaded}) == 1  # all on the same questions
        assert all({*pair} <= {*suite.arms} for look in suite.looks for pair in look.pairs)


def test_chains_are_right_without_noise_whatever_the_order() -> None:
    draw = random.Random(1)
    assert len({write_chain((1, 2, 3, 4, 5, 6), draw, noise=0) for _ in range(100)}) == len(ORDERS)
    for _ in range(200):
        a, b, c, d, e, f = numbers = [draw.randint(0, 9) for _ in range(6)]
        chain = write_chain(numbers, draw, noise=0)
        assert answer_of(chain) == str(a + b * c + d - e * f)
        assert all(eval(left) == int(right) for left, right in re.findall(r"(\S+)=(\S+)", chain))


def test_noise_makes_the_chains_wrong_as_often_as_it_says() -> None:
    draw = random.Random(1)
    right = [answer_of(write_chain((2, 3, 4, 5, 6, 7), draw, 0.12)) == "-23" for _ in range(2000)]
    assert 0.50 < np.mean(right) < 0.58  # (1 - 0.12) ** 5, and two errors that cancel


def test_a_summary_says_each_answer_once() -> None:
    assert summarise(["1+1=2", "3-1=2", "5-2=3"]) == "They answered 2 and 3."


def test_the_teacher_speaks_in_the_scenarios_own_debates() -> None:
    heard = hear("with_summary", 3, Manner(0.3), seed=7)
    assert heard == hear("with_summary", 3, Manner(0.3), seed=7)
    assert len(heard) == 3 * (3 + 3 + 3)
    critics = [e for e in heard if e.source.phase == "debate" and e.source.agent.startswith("agent")]
    for example in critics:
        question, first, asked, second = (message.content for message in example.messages)
        assert question.startswith("What is the value of")
        assert "Other agents: They answered" in asked
        assert first.count("=") == second.count("=") == 5


def test_a_teacher_that_heeds_agrees_with_what_it_can_derive() -> None:
    def share(answers: str, tries: int) -> float:
        said = [ChatMessage("user", "What is the value of 1+2*3+4-5*1?"), ChatMessage("assistant", "... 9-5=4")]
        read = ChatMessage("user", "\n".join(f"Another agent answered: {answer}" for answer in answers.split()))
        draws = [Manner(0.1, tries=tries).reply([*said, read], random.Random(seed)) for seed in range(300)]
        return float(np.mean([answer_of(chain) == answers.split()[0] for chain in draws]))

    assert 0.5 < share("6 6", tries=1) < 0.7  # right by itself
    assert share("6 6", tries=8) > 0.95
    assert share("99 99", tries=8) == 0  # which no chain comes to


def test_what_the_experiment_asks_is_not_in_the_text() -> None:
    scenario = load_scenario(arms.SCENARIOS / "multiagent.yaml")
    used = used_questions(scenario, arms.RESERVED)
    assert len(used) > 9000
    some = hear("without_debate", 20, Manner(0.1), seed=1)
    assert {example.source.item for example in some} <= used  # the same seed: the experiment's own questions
    assert hear("without_debate", 20, Manner(0.1), seed=1, reserved=used) == []


@pytest.fixture(scope="module")
def recipe():
    from benchmarks.lab.model import Recipe

    return Recipe(hidden=32, layers=2, heads=2, inner=64, alone=40, debated=20, summarised=10)


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benchmarks.lab.model import make

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOCIETY_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = make(recipe)
        before = (folder / "made.json").stat().st_mtime_ns
        assert make(recipe) == folder  # found, not made again
        assert (folder / "made.json").stat().st_mtime_ns == before
        assert make(replace(recipe, alone=41)) != folder
    return folder


@pytest.mark.slow
def test_the_same_recipe_makes_the_same_weights(made: Path, recipe, tmp_path, monkeypatch) -> None:
    import json

    from benchmarks.lab.model import make

    def weights(folder: Path) -> str:
        return str(json.loads((folder / "made.json").read_text())["weights"])

    monkeypatch.setenv("SOCIETY_CACHE", str(tmp_path / "cache"))
    assert weights(make(recipe)) == weights(made)
    assert weights(make(replace(recipe, seed=5))) != weights(made)


def test_llama_cpp_reads_the_same_tokens_and_gives_the_same_logits(made: Path) -> None:
    import torch
    from llama_cpp import Llama

    from backends.hf.loading import load_chat, load_model

    chat = load_chat(made / "model", None)
    llama = Llama(str(made / "model.gguf"), n_ctx=256, n_threads=1, verbose=False, logits_all=True)
    try:
        turns = [ChatMessage("user", "What is the value of 3+4*5+6-2*7?")]
        ids = chat.prompt_ids(turns)
        text = "<|user|>What is the value of 3+4*5+6-2*7?<|end|><|assistant|>"
        assert llama.tokenize(text.encode(), add_bos=False, special=True) == ids
        for odd in [*ODD, text]:
            plain = llama.tokenize(odd.encode(), add_bos=False, special=False)
            assert plain == chat.reply_ids(odd)[:-1], odd
        llama.eval(ids)
        theirs = np.array(llama.scores[: len(ids)])
    finally:
        llama.close()
    with torch.inference_mode():
        ours = load_model(made / "model", torch.float32, "cpu")(torch.tensor([ids])).logits[0].numpy()
    assert np.abs(ours - theirs).max() < 0.05
    assert ours.std() > 0.1  # they say something


def test_both_backends_run_it(made: Path, tmp_path) -> None:
    from society.runs.records import load_records
    from society.session import run

    for kind, name in (("hf", "model"), ("llama_cpp", "model.gguf")):
        settings = [
            f"backends.local={{kind: {kind}, model: {made / name}, context: 512}}",
            "train=null",
            "task.limit=2",
        ]
        records = load_records(run(load_scenario(arms.SCENARIOS / "with_summary.yaml", settings), tmp_path / kind))
        assert [turn.status for record in records for turn in record.turns] == ["ok"] * 2 * 9


# The experiment


SMALL = (
    "task.limit=4",
    "train.questions=6",
    "train.settings.epochs=1",
    "sampling.max_tokens=24",
)


@pytest.fixture
def experiment(made: Path, tmp_path, monkeypatch):
    """Return the experiment with two small arms, with runs and summaries in a temporary folder."""
    from benchmarks.lab import paper, summary

    changes = (*SMALL, f"backends.local.model={made / 'model'}")
    arms = {"multiagent": plan.Arm("multiagent", 2, changes), "union": plan.Arm("union", 1, changes)}
    monkeypatch.setattr(paper, "ARMS", arms)
    monkeypatch.setattr(summary, "ARMS", arms)
    monkeypatch.setattr(paper, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paper, "CHUNK", 1)
    monkeypatch.setattr(summary, "RESULTS", tmp_path / "results")
    with one_thread():
        yield paper


def test_every_rule_of_the_experiment_passes_the_check(made: Path) -> None:
    for arm in plan.RULE_SUITES["a"].arms.values():
        changes = [*arm.changes, f"backends.local.model={made / 'model'}"]
        assert check_scenario(arms.SCENARIOS / f"{arm.file}.yaml", changes, allow=[made]) == []


def test_the_experiment_goes_on_where_it_was_and_repeats_nothing(experiment, capsys) -> None:
    from benchmarks.lab.summary import place_of, read

    experiment.advance("multiagent", 1, 1)
    short = read("multiagent", 1)
    assert [one["iteration"] for one in short["iterations"]] == [0, 1]
    began = capsys.readouterr().err
    assert "iteration 1: evaluation" in began
    experiment.advance("multiagent", 1, 1)  # nothing to do
    assert capsys.readouterr().err == ""
    experiment.advance("multiagent", 1, 2)
    longer = read("multiagent", 1)
    assert longer["iterations"][:1] == short["iterations"][:1]
    assert longer["iterations"][1]["right"] == short["iterations"][1]["right"]
    assert (longer["scenario"], longer["models"]) == (short["scenario"], short["models"])
    for one in longer["iterations"]:
        assert len(one["right"]) == one["accuracy"]["n"] == 4
        assert one["right"].count("1") == one["accuracy"]["successes"]
        assert one["first_vote"]["n"] == 4
        assert sum(share["n"] for share in one["rows_right"].values()) == sum(one["examples"].values())
    place_of("multiagent", 1).unlink()
    experiment.salvage("multiagent", 1)
    assert read("multiagent", 1)["iterations"][2]["right"] == longer["iterations"][2]["right"]


def test_arms_of_a_seed_begin_alike(experiment) -> None:
    from benchmarks.lab.summary import read

    for arm in ("multiagent", "union"):
        experiment.advance(arm, 1, 1)
    ours, theirs = (read(arm, 1)["iterations"][0] for arm in ("multiagent", "union"))
    assert ours["right"] == theirs["right"]
    assert ours["labels"] == theirs["labels"]


def test_the_time_of_an_arm_is_measured_once_and_told_for_the_rest(experiment, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(experiment, "TIMES", tmp_path / "times.json")
    used = experiment.measure("multiagent", questions=2)
    assert {*used} == {"training", "evaluation"}
    assert min(used.values()) > 0
    with pytest.raises(InputError, match="Remove the folder"):
        experiment.measure("multiagent")
    assert json.loads(experiment.TIMES.read_text()) == {"multiagent": {**used, "questions": 2}}
    experiment.TIMES.write_text(json.dumps({"multiagent": {"training": 3600, "evaluation": 1800}}))
    experiment.tell("multiagent", 1, 2)
    experiment.tell("union", 1, 1)
    first, second = capsys.readouterr().out.splitlines()
    # Evaluated after 0, 1 and 2; the control is on the same questions.
    assert first.endswith("0 of 2 iterations, 3.5 hours of one core left (measured on multiagent)")
    assert second.endswith("0 of 1 iterations, 2.0 hours of one core left (measured on multiagent)")


def test_two_processes_never_run_the_same_arm_and_seed(tmp_path, monkeypatch) -> None:
    from benchmarks.lab import paper

    monkeypatch.setattr(paper, "RUNS", tmp_path)
    began: list[str] = []
    monkeypatch.setattr(paper, "advance", lambda arm, *_: began.append(arm))
    with paper.taken("union", 1) as mine:
        assert mine
        paper.bring("union", 1, 10, False)
        assert began == []
        paper.bring("union", 2, 10, False)
    paper.bring("union", 1, 10, False)
    assert began == ["union", "union"]


def test_a_commit_has_the_summary_alone(tmp_path, monkeypatch) -> None:
    import subprocess

    from benchmarks.lab import paper

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True, text=True).stdout

    monkeypatch.setattr(paper, "ROOT", tmp_path)
    monkeypatch.setattr(paper, "RUNS", tmp_path)
    git("init", "--quiet")
    git("config", "user.email", "nobody@example.org")
    git("config", "user.name", "Nobody")
    for name in ("other", "summary.json"):
        (tmp_path / name).write_text("{}")
    git("add", "other")
    paper.commit(tmp_path / "summary.json", "Result of union, seed 1, 10 iterations")
    assert git("show", "--name-only", "--format=%s").split("\n\n") == [
        "Result of union, seed 1, 10 iterations",
        "summary.json\n",
    ]


def test_stage_b_takes_the_best_rules_and_only_after_stage_a(tmp_path, monkeypatch) -> None:
    from benchmarks.lab import rules

    monkeypatch.setattr(rules, "RESULTS", tmp_path)
    with pytest.raises(InputError, match="--stage a"):
        rules.best_rules()
    assert rules.known_rules("b") == ("paper",)
    shares, last = {rule: place for place, rule in enumerate(rules.RULES)}, rules.PLAN["stages"]["a"]["iterations"]
    for rule, share in shares.items():
        for seed in rules.PLAN["stages"]["a"]["seeds"]:
            bits = ("1" * share).ljust(20, "0")
            summary = {"iterations": [{"right": bits if i == last else ""} for i in range(last + 1)]}
            (tmp_path / f"a_{rule}-{seed}.json").write_text(json.dumps(summary))
    assert rules.best_rules() == ("paper", *rules.RULES[: -1 - rules.PLAN["best"] : -1][: len(rules.RULES) - 1])
    arms_of_b = rules.arms_of("b", rules.rules_of("b"))
    assert {*arms_of_b} <= {*rules.RULE_ARMS}
    assert not {*rules.PLAN["stages"]["a"]["seeds"]} & {*rules.PLAN["stages"]["b"]["seeds"]}
    with pytest.raises(InputError, match="'b_dpo'"):
        plan.suite_of("b_dpo")  # by the results of stage a, no arm of stage b


def test_undesired_replies_are_no_rows_that_teach_a_right_answer() -> None:
    from benchmarks.lab.table import rows_table

    share = {"successes": 9, "n": 10}
    learned = made_up(["1", "1"])
    learned["iterations"][0] |= {"labels": share, "rows_right": {"agrees": share, "against": {"successes": 0, "n": 90}}}
    assert "90.0% of 10" in rows_table({"a_dpo": {1: learned}})
    assert "of 100" not in rows_table({"a_dpo": {1: learned}})


SHARES = ("accuracy", "alone", "first_vote", "labels")


def made_up(right: list[str], seconds: float = 1.0) -> dict:
    """Return a summary with these outcomes, one string per iteration."""
    usage = {"generated_tokens": 10, "prompt_tokens": 20, "cached_tokens": 0, "seconds": seconds}
    spread = {
        name: {"value": 0.5, "error": 0.1, "n": 4} for name in ("consensus", "entropy", "distinct_1", "distinct_2")
    }
    rounds = [
        {
            "iteration": i,
            "debates": len(bits),
            "right": bits,
            "unlabelled": 1,
            "diversity": spread,
            "usage": usage,
            "training_usage": usage,
            "trained_tokens": 100,
            "trained_seconds": 2.0,
            "unlike": spread["entropy"],
            "first_turns": None,
            "rows_right": {},
            **{what: {"successes": bits.count("1"), "n": len(bits)} for what in SHARES},
        }
        for i, bits in enumerate(right)
    ]
    return {"iterations": rounds, "models": {"local": "a" * 40}, "machine": {"processor": "one"}, "versions": {}}


def test_the_tables_say_what_the_summaries_hold(tmp_path) -> None:
    from benchmarks.lab import table

    better = {seed: made_up(["0011"] + ["0" * (4 - n) + "1" * n for n in (3, 4, 3)] * 4) for seed in (1, 2, 3)}
    better[3]["iterations"][10] = better[3]["iterations"][10] | {"right": "0011"}
    worse = {seed: made_up(["0011"] * 13) for seed in (1, 2, 3)}
    text = table.write_results(plan.LAB, {"multiagent": better, "union": worse})
    assert "6 runs" in text
    assert "planned iterations have not been run" in text
    assert "do not compare" not in text
    assert all(text.count(taint) == text.count("\n## ") == 5 for taint in plan.LAB.taints)  # beside each table
    [line] = [line for line in text.splitlines() if line.startswith("| multiagent less union, after 10")]
    assert "| 3 | +16.7% |" in line  # 3, 3 and 2 right of four against 2
    worse[1]["models"] = {"local": "b" * 40}
    assert "do not compare" in table.write_results(plan.LAB, {"multiagent": better, "union": worse})
    table.draw(plan.LAB, {"multiagent": better, "union": worse}, tmp_path / "figure.svg")
    assert "multiagent: society" in (tmp_path / "figure.svg").read_text()


def test_rows_are_told_by_role_whatever_selected_them() -> None:
    from benchmarks.lab import table

    one = made_up(["0011"] * 31)
    rules = {"agrees, novel": (3, 4), "novel, corrected": (1, 2), "stayed right": (2, 2)}
    one["iterations"][0]["rows_right"] = {rule: {"successes": k, "n": n} for rule, (k, n) in rules.items()}
    text = table.rows_table({"multiagent": {1: one}})
    assert text.splitlines()[2].endswith("| 75.0% of 4 | 100.0% of 2 | 50.0% of 2 |")


def test_seeds_are_the_unit_of_the_test() -> None:
    from scipy.stats import ttest_rel

    from benchmarks.lab.compare import test as paired_test

    values = [0.02, 0.05, 0.01, 0.04, 0.03]
    low, high, p, effect = paired_test(values)
    assert p == pytest.approx(ttest_rel(values, [0] * 5).pvalue)
    assert low < np.mean(values) < high
    assert effect == pytest.approx(np.mean(values) / np.std(values, ddof=1))
    assert paired_test([0.1])[2] == 1.0


def test_a_missing_comparison_of_a_family_counts_in_the_p_of_the_others() -> None:
    from benchmarks.lab.compare import contrast
    from benchmarks.lab.compare import test as paired_test

    look = arms.Look(0, (("one", "rival"), ("two", "rival"), ("missing", "rival")))
    gains = {1: "1110", 2: "1100", 3: "1111"}
    summaries = {
        "one": {seed: made_up([bits]) for seed, bits in gains.items()},
        "two": {seed: made_up(["0001"]) for seed in gains},
        "rival": {seed: made_up(["0000"]) for seed in gains},
    }
    rows = {row[0].split(" ")[0]: row for row in contrast(summaries, look)}
    assert {*rows} == {"one", "two"}
    p = paired_test([0.75, 0.5, 1.0])[2]
    assert rows["one"][5] == f"{3 * p:.2g}"  # the smallest of three
    assert rows["two"][4] == "-"  # equal in all seeds: the t-test is not defined


def test_stage_b_has_the_families_of_its_plan() -> None:
    from benchmarks.lab.rules import suite_of_stage

    looks = suite_of_stage("b", ("paper", "all_turns", "cross")).looks
    planned = [(look.vote, len(look.pairs), {rival for _, rival in look.pairs}) for look in looks if look.planned]
    controls = {f"b_{rule}_control" for rule in ("paper", "all_turns", "cross")}
    assert planned == [
        ("last", 6, controls | {"b_majority"}),
        ("last", 3, {"b_frozen_alone"}),
        ("all", 6, controls | {"b_majority_six"}),
    ]


def test_costs_are_compared_over_the_same_iterations_and_seeds() -> None:
    from benchmarks.lab.table import cost_table

    long, short = made_up(["1"] * 4), made_up(["1"] * 3)
    for i, one in enumerate(long["iterations"]):
        one["trained_tokens"] = 100 * (i + 1)
    text = cost_table({"society": {1: long, 2: long}, "control": {1: short}})
    assert "Means over the first 2 iterations of seeds that all arms have: 1." in text
    assert "| society | 10 | 20 | 150 |" in text
    assert "| control | 10 | 20 | 100 |" in text
    assert cost_table({"society": {2: long}, "control": {1: short}}) == "No seed is common to all arms.\n"
