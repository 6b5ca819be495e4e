"""Export of trainings: rows token by token, adapters, and a scenario that generates with the adapters."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from backends.training import TrainSettings
from society.cli import main
from society.cli.rows import fit_widths
from society.core.errors import InputError
from society.core.types import ChatMessage, Example, Turn, TurnId
from society.runs.opening import open_backends
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store.rows import SHARED
from society.training.export import TrainingExport, training_examples, training_rows
from tests.backends.hf.tiny import make_model, one_thread

SCENARIO = """
version: 1
name: colours
task: {kind: jsonl, path: data/colours.jsonl, limit: 4, answer: {extract: [text], equal: exact}}
backends: {tiny: {kind: hf, model: MODEL, device: cpu, dtype: float32, context: 200}}
roles:
  generator: {prompt: "{{ question }}", choices: [red, green]}
  critic:
    prompt: |
      {% for m in heard %}
      {{ m.text }}
      {% endfor %}
      {{ question }}
    choices: [red, green]
agents: {painter: {count: 3, role: generator}}
phases:
  - {name: propose}
  - {name: debate, topology: complete, bind: {painter: {role: critic}}}
sampling: {temperature: 0}
train:
  iterations: 2
  questions: 6
  learners:
    generator: {phases: [propose], turn: first}
    critic: {phases: [debate], select: agrees, adapter: shared}
  settings: {rank: 2, batch_size: 4, accumulation: 1, epochs: 4, learning_rate: 0.02}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three painters with generators of their own and one critic for all, finetuned twice."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "data").mkdir()
    words = ("cat", "dog", "mat", "far", "one", "two", "three", "four", "ran", "sat")
    lines = [{"question": f"the {word} is", "answer": ["red", "green"][i % 2]} for i, word in enumerate(words)]
    (folder / "data" / "colours.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with one_thread():
        model = make_model(folder / "tiny")
        (folder / "colours.yaml").write_text(SCENARIO.replace("MODEL", str(model)))
        return run(load_scenario(folder / "colours.yaml"), folder / "run")


def texts(turns: list[Turn]) -> dict[tuple[str, ...], str]:
    return {(t.id.item, t.id.phase, t.id.agent): t.text for t in turns}


# Rows


def test_reasons_break_between_words() -> None:
    titles = ("iteration", "learner", "agent", "rows", "left out", "loss", "seconds")
    why = "12 stayed right, with corrected_share 1, 3 no turn with another answer to compare with"
    line = ("0", "generator", "solver-1", "18 (12 from text)", why, "0.512 → 0.215", "123.4")
    assert sum(w or 0 for w in fit_widths([titles, line], 200)) == 149
    widths = fit_widths([titles, line], 80)
    assert sum(w or 0 for w in widths) == 80 - 12
    assert (widths[4] or 0) >= len("corrected_share")
    assert fit_widths([titles, line], 60) == [None] * 7


@pytest.mark.slow
def test_a_row_is_its_turns_chat_and_reply(trained: Run) -> None:
    turns = {turn.id: turn for turn in trained.turns()}
    rows = list(training_examples(trained))
    assert len(rows) == len(trained.examples()) > 6
    exporter = trained.scenario.backends["tiny"].exporter()
    spec = trained.scenario.train
    assert exporter is not None
    assert spec is not None
    for _, _, example in rows:
        turn = turns[example.source]
        pieces = exporter.render(example, spec.settings)
        assert "".join(text for text, learned in pieces if learned) == f"{turn.text}<|end|>"
        context = "".join(text for text, learned in pieces if not learned)
        assert context.endswith("<|assistant|> ")
        assert all(message.content.strip() in context for message in turn.messages)
        assert [learned for _, learned in pieces] == sorted(learned for _, learned in pieces)


def test_a_row_that_was_too_long_shows_nothing_learned(trained: Run) -> None:
    exporter = trained.scenario.backends["tiny"].exporter()
    spec = trained.scenario.train
    assert exporter is not None
    assert spec is not None
    example = next(found for _, _, found in training_examples(trained))
    pieces = exporter.render(example, spec.settings.model_copy(update={"max_length": 8}))
    assert not any(learned for _, learned in pieces)


def test_rows_are_listed_and_shown(trained: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(trained.folder), "--training-row"]) == 0
    listed = capsys.readouterr().out
    assert all(word in listed for word in ("generator", "painter-2", "critic", "→", "not selected"))
    assert "From text:" not in listed  # every reply's tokens are known
    row = ("--training-row", "1", "--learner", "critic", "--iteration", "1")
    assert main(["show", str(trained.folder), *row]) == 0
    unopened = capsys.readouterr().out  # the model is not in the run's folder
    assert f"--allow {trained.folder.parent}" in " ".join(unopened.split())
    assert "⟦assistant: " in unopened
    assert "are trained" not in unopened  # messages are no tokens
    assert main(["show", str(trained.folder), *row, "--allow", str(trained.folder.parent)]) == 0
    shown = capsys.readouterr().out
    first = next(e for e in trained.examples() if (e.learner, e.iteration) == ("critic", 1))
    assert first.agent == SHARED
    said = next(turn for turn in trained.turns() if turn.id == first.source)
    assert f"⟦{said.text}<|end|>⟧" in shown
    assert "are trained" in shown
    assert f"iteration 1, {said.id.item}, debate, round 1, {said.id.agent}" in shown
    assert f"adapter {said.adapter}" in shown
    assert "agrees" in shown
    assert "tokens as drawn" in shown


def test_rows_without_drawn_tokens_are_counted(
    trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil
    import sqlite3

    copy = Path(shutil.copytree(trained.folder, tmp_path / "old"))
    with sqlite3.connect(copy / "store.sqlite") as database:  # as a run of a version that kept no ids
        database.execute("UPDATE turns SET tokens = NULL WHERE phase = 'debate'")
    database.close()
    main(["show", str(copy), "--training-row"])
    listed = capsys.readouterr().out
    assert "From text:" in listed
    main(["show", str(copy), "--training-row", "1", "--learner", "critic"])
    assert "tokenized from its text" in capsys.readouterr().out
    rows = list(training_rows(Run(copy)))
    assert {row["learner"] for row in rows if row["tokens"] is None} == {"critic"}
    assert all(row["tokens"] for row in rows if row["learner"] == "generator")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["999"], "from 1 to"),
        (["1", "--agent", "nobody"], "leave out --agent."),
        (["1", "--agent", "nobody", "--iteration", "7"], "leave out --agent and --iteration."),
        (["--learner", "nobody"], "critic of"),
        (["0"], "not a number from 1"),
        (["x"], "not a number from 1"),
    ],
)
def test_rows_that_are_not_there(
    trained: Run, capsys: pytest.CaptureFixture[str], options: list[str], match: str
) -> None:
    assert main(["show", str(trained.folder), "--training-row", *options]) == 2
    assert match in " ".join(capsys.readouterr().err.split())


def test_a_run_that_did_not_train_has_no_rows(debates: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    debates("""
        task: {kind: arithmetic, limit: 1}
        roles: {solver: {prompt: "{{ question }}"}}
        agents: {solver: {}}
        phases: [{name: answer}]
    """)
    assert main(["show", str(tmp_path / "run-0"), "--training-row"]) == 2
    told = capsys.readouterr().err
    assert "has no training rows" in told
    assert "--learner" not in told
    with pytest.raises(InputError, match="has no adapters"):
        TrainingExport(Run(tmp_path / "run-0"), tmp_path / "out").write()


# Export


@pytest.mark.needs("pandas")
def test_options_that_export_cannot_follow_are_refused(
    debates: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    debates("""
        task: {kind: arithmetic, limit: 1}
        roles: {solver: {prompt: "{{ question }}"}}
        agents: {solver: {}}
        phases: [{name: answer}]
    """)
    folder, out = str(tmp_path / "run-0"), str(tmp_path / "out")
    before = sorted(path.name for path in (tmp_path / "run-0").iterdir())
    for options, match in (
        (["--merged"], "--merged cannot be used"),
        (["--iteration", "1"], "has no adapters"),
        (["--base", "m.gguf"], "leave out --base"),
    ):
        assert main(["export", folder, "-o", out, *options]) == 2
        assert match in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "out").exists()
    for inside in (folder, f"{folder}/tables", f"{folder}/../run-0"):
        assert main(["export", folder, "-o", inside]) == 2
        assert "in the folder of the run" in " ".join(capsys.readouterr().err.split())
    assert sorted(path.name for path in (tmp_path / "run-0").iterdir()) == before


def test_the_exported_society_says_what_the_trained_one_said(trained: Run, tmp_path: Path) -> None:
    written = TrainingExport(trained, tmp_path / "out", allow=[trained.folder.parent]).write()
    assert all(path.exists() for path in written)
    names = {str(path.relative_to(tmp_path / "out")) for path in written}
    assert {"adapters/critic/shared", "adapters/critic/shared.gguf", "adapters/generator/painter-3.gguf"} <= names
    assert not [path for path in (tmp_path / "out").rglob("*") if "part" in path.name]
    scenario = load_scenario(tmp_path / "out" / "scenario.yaml")
    assert scenario.train is None
    with one_thread():
        done = run(scenario, tmp_path / "again")
    assert texts(done.turns()) == texts(trained.turns("iteration = 2"))
    assert texts(done.turns()) != {key: texts(trained.turns("iteration = 0"))[key] for key in texts(done.turns())}
    assert {t.adapter for t in done.turns()} == {t.adapter for t in trained.turns("iteration = 2")}


def test_another_base_is_refused_before_anything_is_written(
    trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.backends.models.test_gguf_file import write

    options = ["--base", str(write(tmp_path / "other.gguf")), "--allow", str(trained.folder.parent)]
    assert main(["export", str(trained.folder), "--to", str(tmp_path / "out"), *options]) == 2
    assert "is not the base of this run as GGUF" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_an_earlier_iteration_and_merged_models(trained: Run, tmp_path: Path) -> None:
    allow = ("--allow", str(trained.folder.parent))
    main(["export", str(trained.folder), "--to", str(tmp_path), "--iteration", "1", "--merged", *allow])
    rows = [json.loads(line) for line in (tmp_path / "training_rows.jsonl").read_text().splitlines()]
    assert rows == [row for row in training_rows(trained) if row["iteration"] == 0]
    assert rows[0]["messages"][-1] == {"role": "assistant", "content": rows[0]["learned"]}
    assert (tmp_path / "merged" / "generator" / "painter-1" / "model.safetensors").exists()
    assert (tmp_path / "turns.parquet").exists()
    with one_thread():
        done = run(load_scenario(tmp_path / "scenario.yaml"), tmp_path / "again")
    told = texts(trained.turns("iteration = 1"))  # of the training questions, too
    assert texts(done.turns()).items() < told.items()


def test_no_adapters_on_request_and_none_before_the_first_training(
    trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(trained.folder), "--to", str(tmp_path), "--no-adapters"]) == 0
    assert not (tmp_path / "scenario.yaml").exists()
    with pytest.raises(InputError, match="has no adapters in iteration 0"):
        TrainingExport(trained, tmp_path, iteration=0).write()


def test_an_altered_adapter_is_not_exported(trained: Run, tmp_path: Path) -> None:
    from shutil import copytree

    from society.core.errors import BackendError

    copy = copytree(trained.folder, tmp_path / "run")
    [config] = (copy / "adapters" / "2" / "critic").rglob("adapter_config.json")
    config.write_text(config.read_text().replace('"r": 2', '"r": 3'))
    with pytest.raises(BackendError, match="its files have changed"):
        TrainingExport(Run(copy), tmp_path / "out", allow=[trained.folder.parent]).write()
    assert not (tmp_path / "out" / "scenario.yaml").exists()


def test_a_place_that_cannot_be_written_is_named(trained: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        TrainingExport(trained, tmp_path / "file", allow=[trained.folder.parent]).write()


LAPTOP = Path(__file__).parents[2] / "scenarios" / "paper" / "laptop.yaml"
SMALL = (
    "task.limit=1",
    "train.questions=2",
    "train.iterations=1",
    "agents.agent.count=2",
    "sampling={temperature: 0, max_tokens: 12}",
    "train.learners.critic.select.corrected_share=0",
    "train.settings={rank: 4, learning_rate: 2.0e-3, epochs: 2, batch_size: 4, accumulation: 1, schedule: constant}",
)


@pytest.mark.model
def test_characters_of_several_tokens_are_shown_whole() -> None:
    exporter = load_scenario(LAPTOP).backends["local"].exporter()
    assert exporter is not None
    said = "Reykjavík 🦙 東京."
    chat = (ChatMessage("user", "Où ? 🦙"), ChatMessage("assistant", said))
    pieces = exporter.render(Example(chat, TurnId(0, "q", "p", 1, "a"), "test"), TrainSettings())
    assert "".join(text for text, learned in pieces if learned) == f"{said}<|im_end|>"
    assert "".join(text for text, learned in pieces if not learned).endswith(
        "Où ? 🦙<|im_end|>\n<|im_start|>assistant\n"
    )
    assert [text for text, _ in pieces if "🦙" in text]


@pytest.mark.slow
@pytest.mark.model
def test_a_society_trained_here_speaks_the_same_in_llama_cpp(tmp_path: Path) -> None:
    with one_thread():  # on cores that others use, two would wait for each other
        done = run(load_scenario(LAPTOP, SMALL), tmp_path / "run")
    TrainingExport(done, tmp_path / "out").write()
    scenario = load_scenario(tmp_path / "out" / "scenario.yaml")
    assert scenario.backends["local"].kind == "llama_cpp"  # type: ignore[attr-defined]
    turns = done.turns("iteration = 1")
    assert len({turn.adapter for turn in turns}) == 4  # one for each agent and phase
    here = run(scenario, tmp_path / "llama").turns()
    assert len({turn.adapter for turn in here}) == 4
    ended = [turn for turn in turns if turn.finish_reason == "stop"]  # else an end counts that was not said
    assert len(ended) > 1
    said = [(turn.logprob or 0.0) / turn.usage.generated_tokens for turn in ended]
    own, base = zip(*asyncio.run(score(scenario, ended)), strict=True)
    assert own == pytest.approx(said, abs=0.05)
    assert sum(base) < sum(said) - 0.05 * len(said)  # the adapters matter more than the precision


async def score(scenario: Scenario, turns: list[Turn]) -> list[tuple[float, float]]:
    """Mean natural log-probabilities per token of trained turns, under their speakers' adapters and the base."""
    society = expand(scenario)
    async with open_backends(society) as (backends, hashes):
        likelihood = backends["local"].likelihood
        assert likelihood is not None
        found = []
        for turn in turns:
            plan = next(p for p in society.phases if p.name == turn.id.phase).agents[turn.id.agent]
            scores = [
                await likelihood.logprob(turn.messages, turn.text, name) for name in (hashes[str(plan.adapter)], None)
            ]
            found.append((scores[0][0] / scores[0][1], scores[1][0] / scores[1][1]))
        return found
