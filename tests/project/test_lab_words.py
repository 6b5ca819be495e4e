"""The word-problem base of the lab: its rows are right, and its training goes on from a checkpoint."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.lab import words
from benchmarks.lab.words import WordRecipe, place_of, write_rows
from society.core.types import ChatMessage, Example, TurnId
from society.tasks.word_problems import WordProblems
from tests.backends.hf.tiny import one_thread

RECIPE = WordRecipe(stories=24, equations=20, noise=0.4)


@pytest.fixture(scope="module")
def rows() -> list[Example]:
    return write_rows(RECIPE)


def test_only_right_solutions_and_right_equations_are_learned(rows: list[Example]) -> None:
    for row in rows:
        for left, right in re.findall(r"(\d+[-+*]\d+)=(\d+)", row.messages[-1].content):
            assert eval(left) == int(right)


def test_rows_are_stories_second_answers_and_drill_in_their_shares(rows: list[Example]) -> None:
    kinds = [row.source.phase for row in rows]
    assert [kinds.count(kind) for kind in ("propose", "debate", "drill")] == [24, 3, 3]
    differences = re.findall(r"\d-\d", " ".join(r.messages[0].content for r in rows if r.source.phase == "drill"))
    assert 5 <= len(differences) <= 15


def test_second_answers_follow_a_chat_of_the_experiments_own_scenario(rows: list[Example]) -> None:
    for row in (row for row in rows if row.source.phase == "debate"):
        question, own, read, said = (message.content for message in row.messages)
        assert question.endswith("?")
        assert "####" in own
        assert re.fullmatch(r"Another agent answered: \d+\nAnother agent answered: \d+\nAnswer again\.", read.strip())
        assert "####" in said


def test_the_base_learns_from_the_other_half_than_the_society_debates(rows: list[Example]) -> None:
    first = {problem.key for problem in islice(WordProblems(half="first").problems(RECIPE.seed), 24)}
    assert {row.source.item for row in rows if row.source.phase != "drill"} == first


def test_rows_and_their_place_depend_on_the_recipe_alone(rows: list[Example]) -> None:
    assert write_rows(RECIPE) == rows
    other = WordRecipe(stories=24, equations=20, noise=0.4, rate=1e-4)
    assert place_of(RECIPE, rows) == place_of(RECIPE, list(rows)) != place_of(other, rows)
    assert place_of(RECIPE, rows) != place_of(RECIPE, rows[1:])


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch):
    """Return a function that finetunes a tiny model on the same rows, and may be interrupted after some steps."""
    from benchmarks.lab import resumable
    from tests.backends.hf.tiny import TEMPLATE, make_model

    base = resumable.Base(str(make_model(tmp_path / "base")), TEMPLATE)
    said = "the cat sat on a mat and the dog ran so far".split()  # noqa: SIM905 - clearer as a sentence
    examples = [
        Example(
            (ChatMessage("user", said[i % 11]), ChatMessage("assistant", " ".join(said[: 2 + i % 7]))),
            TurnId(0, str(i), "drill", 1, "teacher"),
            "teacher",
        )
        for i in range(20)
    ]
    settings = WordRecipe(0, 0, batch=4, rate=1e-2).settings().model_copy(update={"precision": "float32"})
    monkeypatch.setattr(resumable, "SECONDS", 1e-9)  # a checkpoint after each step
    monkeypatch.setattr("backends.hf.checkpoints.SHARE_OF_TIME", float("inf"))

    def train(name: str, state: str, steps: int | None = None):
        def stop(step: int, *_: object) -> None:
            if step == steps:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(resumable, "_tell", stop)
            return resumable.train_base(base, examples, settings, 3, tmp_path / name, tmp_path / state)

    with one_thread():
        yield train


def weights(folder: Path) -> dict[str, bytes]:
    from safetensors.torch import load_file

    return {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / "model.safetensors").items()}


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_weights(trainer, tmp_path: Path) -> None:
    whole = trainer("whole", "a.checkpoint")
    assert whole.steps == 5
    with pytest.raises(KeyboardInterrupt):
        trainer("part", "b.checkpoint", steps=3)
    assert not (tmp_path / "part").exists()
    assert [path.name for path in (tmp_path / "b.checkpoint").iterdir()] == ["2"]
    again = trainer("part", "b.checkpoint")
    assert (again.steps, again.tokens, again.losses) == (whole.steps, whole.tokens, whole.losses)
    ours, theirs, base = (weights(tmp_path / name) for name in ("part", "whole", "base"))
    assert ours == theirs
    changed = {name for name in base if ours[name] != base[name]}
    assert changed
    assert not any("embed_tokens" in name for name in changed)  # these are frozen


def test_a_base_is_made_once(rows: list[Example], tmp_path: Path, monkeypatch) -> None:
    from benchmarks.lab import resumable

    made: list[Path] = []

    def train(base, rows, settings, seed, out: Path, state: Path) -> resumable.Trained:
        made.append(out)
        out.mkdir(parents=True)
        state.mkdir()
        (state / "0.pt").write_text("half done")
        return resumable.Trained(1, 2, 3.0, (0.5,))

    monkeypatch.setenv("SOCIETY_CACHE", str(tmp_path))
    monkeypatch.setattr(resumable, "train_base", train)
    monkeypatch.setattr(words, "write_rows", lambda recipe: rows)
    folder = words.make(RECIPE)
    assert words.make(RECIPE) == folder
    assert len(made) == 1
    assert {path.name for path in folder.iterdir()} == {"model", "made.json"}
    assert not list(folder.parent.glob("*.checkpoints"))


def test_a_base_is_asked_by_steps_by_left_out_templates_and_by_mawps(tmp_path: Path, monkeypatch) -> None:
    from benchmarks.lab import solved

    (tmp_path / "mawps").mkdir()
    for name in solved.MAWPS:
        (tmp_path / "mawps" / f"{name}.jsonl").write_text('{"input": "How many are 2 and 2?", "target": 4.0}\n')
    asked = []
    monkeypatch.setattr(solved, "run", lambda scenario, *_, **__: asked.append(scenario))
    monkeypatch.setattr(solved, "load_records", lambda _: [])
    sets = dict(solved.tasks(tmp_path, 1))
    for name, task in sets.items():
        solved.ask(70, task, name)
        solved.ask(70, task, name, *solved.GREEDY)
    assert len(sets) == 3 + 1 + len(solved.MAWPS)
    assert [len(scenario.task.load(0)) for scenario in asked] == [1] * len(asked)
    assert {scenario.agents["agent"].count for scenario in asked} == {1, 3}
    assert {scenario.sampling.temperature for scenario in asked} == {0, 0.8}
    assert all(scenario.task.load(0)[0].gold for scenario in asked)
