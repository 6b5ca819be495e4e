"""A finetuning that goes on ends as one that was never disturbed: what was trained on other rows is trained again."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import backends.hf.backend as hf
from society.core.errors import BackendError, InputError, RunFolderError
from society.core.types import ChatMessage, Example, GenerateOutput, GenerateRequest, TurnId
from society.metrics.measure import measure_diversity
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.scenario.questions import load_items
from society.session import run
from society.training.export import training_examples
from society.training.finetuning import complete_examples
from society.watcher import Watcher
from tests.backends.hf.tiny import make_model, one_thread
from tests.faults.injection import contents

TEXT = """
version: 1
name: colours
task: {{kind: jsonl, path: colours.jsonl, limit: 3, answer: {{extract: [text], equal: exact}}}}
backends: {{tiny: {{kind: hf, model: "{model}", device: cpu, dtype: float32, context: 200}}}}
roles:
  critic:
    prompt: "{{% for m in heard %}}{{{{ m.text }}}} {{% endfor %}}. {{{{ question }}}}"
    choices: [red, green, blue]
agents: {{painter: {{count: 3, role: critic}}}}
phases: [{{name: propose}}, {{name: debate, topology: complete}}]
train:
  iterations: 2
  questions: 5
  label: gold
  learners: {{critic: {{phases: [debate], turn: last, select: {{kind: all}}}}}}
  settings: {{rank: 2, batch_size: 4, accumulation: 1, epochs: 1, learning_rate: 0.01}}
"""


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Scenario]]:
    folder = tmp_path_factory.mktemp("colours")
    questions = [f"the {a} {b} is" for a in ("cat", "dog", "mat") for b in ("one", "two", "three", "four")]
    lines = (json.dumps({"question": q, "answer": ["red", "green", "blue"][i % 3]}) for i, q in enumerate(questions))
    (folder / "colours.jsonl").write_text("\n".join(lines))
    with one_thread():
        (folder / "colours.yaml").write_text(TEXT.format(model=make_model(folder / "tiny")))
        yield lambda *overrides: load_scenario(folder / "colours.yaml", overrides)


@pytest.fixture(scope="module")
def whole(colours: Callable[..., Scenario], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(colours(), tmp_path_factory.mktemp("whole") / "run")


def trace(done: Run) -> dict[str, Any]:
    """Return the contents of a run's store, except texts that no row refers to."""
    return {table: found for table, found in contents(done.folder).items() if table != "texts"}


class Steps(Watcher):
    """Counts adapters that are trained."""

    trained = 0

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        self.trained += step == 1


def fail(monkeypatch: pytest.MonkeyPatch, scenario: Scenario, count: int) -> None:
    """Let the first `count` proposals on training questions fail."""
    questions = {item.question for item in load_items(expand(scenario)).training}
    generate, left = hf.HuggingFaceBackend.generate, [count]

    async def failing(self: hf.HuggingFaceBackend, request: GenerateRequest) -> GenerateOutput:
        asked = request.messages[-1].content.removeprefix(". ")
        if left[0] and len(request.messages) == 1 and asked in questions:
            left[0] -= 1
            raise BackendError("This turn was made to fail.", "")
        return await generate(self, request)

    monkeypatch.setattr(hf.HuggingFaceBackend, "generate", failing)


@pytest.mark.slow
def test_failed_turns_of_training_are_mended_with_all_that_came_of_them(
    colours: Callable[..., Scenario], whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        fail(patched, colours(), 2)
        broken = run(colours(), tmp_path / "run")
    assert sum(turn.status == "failed" for turn in broken.turns()) == 2
    assert trace(broken) != trace(whole)
    trained = {(row.iteration, row.agent): row.hash for row in broken.adapters()}
    resumed = run(colours(), tmp_path / "run", resume=True)
    assert trace(resumed) == trace(whole)
    again = {(row.iteration, row.agent): row.hash for row in resumed.adapters()}
    assert again == {(row.iteration, row.agent): row.hash for row in whole.adapters()}
    assert again != trained


def test_an_evaluation_of_other_weights_goes_if_it_is_not_asked_for_again(
    colours: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom = colours("train.evaluate=[]")
    with monkeypatch.context() as patched:
        fail(patched, colours(), 2)
        broken = run(colours(), tmp_path / "run")
    stale = {turn.adapter for turn in broken.turns() if turn.id.iteration == 1}
    resumed = run(seldom, tmp_path / "run", resume=True)
    assert not stale & {turn.adapter for turn in resumed.turns() if turn.adapter}
    fresh = run(seldom, tmp_path / "fresh")
    assert {name: trace(resumed)[name] for name in ("turns", "results")} == {
        name: trace(fresh)[name] for name in ("turns", "results")
    }


def test_an_evaluation_of_the_same_weights_stays_if_it_is_not_asked_for_again(
    colours: Callable[..., Scenario], whole: Run, tmp_path: Path
) -> None:
    shutil.copytree(whole.folder, tmp_path / "run")
    resumed = run(colours("train.evaluate=[]"), tmp_path / "run", resume=True)
    assert [*resumed.turns()] == [*whole.turns()]
    assert [*resumed.results()] == [*whole.results()]


def test_turns_of_helpers_do_not_make_an_evaluation_stale(colours: Callable[..., Scenario], tmp_path: Path) -> None:
    helped = (
        'roles.reader={prompt: "{{ summary }} {{ question }}", choices: [red, green, blue]}',
        "agents={painter: {count: 3, role: reader}, scribe: {role: critic}}",
        "phases=[{name: debate, topology: complete, rounds: 2, summarizer: scribe, edges: {show: summary}}]",
    )
    done = run(colours(*helped), tmp_path / "run")
    before = [*done.turns()]
    assert any("/" in turn.id.agent for turn in before)
    assert [*run(colours(*helped, "train.evaluate=[]"), tmp_path / "run", resume=True).turns()] == before


def test_what_learned_from_the_same_rows_is_taken_up(
    colours: Callable[..., Scenario], whole: Run, tmp_path: Path
) -> None:
    once, twice = Steps(), Steps()
    done = run(colours(), tmp_path / "run", watcher=once)
    assert once.trained == 6
    before = contents(done.folder)
    assert contents(run(colours(), tmp_path / "run", resume=True, watcher=twice).folder) == before
    assert twice.trained == 0


def test_an_agent_that_had_nothing_to_learn_learns_once_it_has(
    colours: Callable[..., Scenario], whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("society.training.selection._unusable", lambda *arguments: "left out")
        empty = run(colours(), tmp_path / "run")
    assert {row.hash for row in empty.adapters()} == {None}
    resumed = run(colours(), tmp_path / "run", resume=True)
    assert trace(resumed) == trace(whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: replace(e, messages=(*e.messages[:-1], ChatMessage("assistant", "another text"))),
        lambda e: replace(e, messages=(ChatMessage("system", "Be brief."), *e.messages)),
        lambda e: replace(e, tokens=(*(e.tokens or ()), 7)),
        lambda e: replace(e, tokens=None),
        lambda e: replace(e, finish_reason="stop_text"),
    ],
)
def test_every_part_of_a_row_tells_trainings_apart(
    colours: Callable[..., Scenario], whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: object
) -> None:
    from society.training import selection

    make = selection.make_example

    def changed(*arguments: object) -> Example:
        return change(make(*arguments))  # type: ignore[operator,arg-type,no-any-return]

    once = Steps()
    with monkeypatch.context() as patched:
        patched.setattr("society.training.selection.make_example", changed)
        run(colours("train.iterations=1"), tmp_path / "run", watcher=once)
    twice = Steps()
    run(colours("train.iterations=1"), tmp_path / "run", resume=True, watcher=twice)
    assert (once.trained, twice.trained) == (3, 3)


def test_rows_are_trained_on_as_they_were_drawn(whole: Run) -> None:
    turns = {turn.id: turn for turn in whole.turns()}
    rows = [example for _, _, example in training_examples(whole)]
    assert rows
    for example in rows:
        turn = turns[example.source]
        assert example.tokens == turn.tokens is not None
        assert example.finish_reason == turn.finish_reason


def test_token_ids_of_another_model_are_not_learned(colours: Callable[..., Scenario]) -> None:
    """Agents of several models may teach one: each id means another token to it."""
    society = expand(colours())
    [propose, debate] = society.phases
    other = replace(propose.agents["painter-2"], backend="other")
    society = replace(society, phases=(replace(propose, agents={**propose.agents, "painter-2": other}), debate))
    places = [(phase, f"painter-{n}") for phase in ("propose", "debate") for n in (1, 2)]
    rows = [Example((), TurnId(0, "i", phase, 1, agent), "all", (1, 2)) for phase, agent in places]
    kept = complete_examples(society, {"tiny": "a", "other": "b"}, "tiny", rows)
    assert [row.tokens for row in kept] == [(1, 2), None, (1, 2), (1, 2)]
    same = complete_examples(society, {"tiny": "a", "other": "a"}, "tiny", rows)
    assert [row.tokens for row in same] == [(1, 2)] * 4


def test_a_run_goes_on_for_more_iterations_and_not_for_fewer(
    colours: Callable[..., Scenario], whole: Run, tmp_path: Path
) -> None:
    done = run(colours("train.iterations=1"), tmp_path / "run")
    assert trace(run(colours(), done.folder, resume=True)) == trace(whole)
    with pytest.raises(RunFolderError, match=r"train.iterations was 2 and is 1"):
        run(colours("train.iterations=1"), done.folder, resume=True)


def test_responses_are_not_scored_by_another_model(whole: Run, tmp_path: Path) -> None:
    allow = [Path(whole.open_scenario([Path("/")]).backends["tiny"].model)]  # type: ignore[attr-defined]
    assert measure_diversity(whole, likelihood=True, allow=allow)
    copy = tmp_path / "copy"
    shutil.copytree(whole.folder, copy)
    with sqlite3.connect(copy / "store.sqlite") as db:
        db.execute("UPDATE meta SET value = json_set(value, '$.tiny', 'another') WHERE name = 'models'")
    db.close()
    with pytest.raises(InputError, match="is not the one that the run"):
        measure_diversity(Run(copy), likelihood=True, allow=allow)
