"""Only the reply is reused from another store: each run parses its answer again."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.core.errors import RunFolderError
from society.core.identity import request_key
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Item, Sampling, Thinking, ToolSpec
from society.runner.sweep import sweep
from society.runs.records import load_records
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store.reader import explain
from society.tasks.arithmetic import Arithmetic
from tests.conftest import rows

TWO_SIGNS = """
task: {kind: arithmetic, limit: 6, answer: {extract: [boxed], equal: numeric}}
backends:
  scripted:
    kind: scripted
    rules:
      - {choose: ["\\\\boxed{1} but really 7. Confidence: 0.9", "\\\\boxed{2} but really 8. Confidence: 0.1"]}
roles:
  debater: {prompt: "{{ question }}"}
agents: {debater: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""
AXES = {
    "how an answer is found": ["task.answer.extract=[boxed],[last_number],[text]"],
    "how answers are compared": ["task.answer.equal=numeric,exact"],
    "whether confidences are read": ["roles.debater.confidence=none,stated", "decision.kind=majority,weighted"],
    "what the model may say": ["roles.debater.choices=[A,B],[A,B,C]"],
    "how long a reply may be": ["sampling.max_tokens=2,40"],
    "where a reply stops": ["sampling.stop=[],['but']"],
    "how tokens are drawn": ["sampling.temperature=0,1", "sampling.top_p=0.5,1"],
    "how many take part": ["agents.debater.count=2,3"],
}


def alone(found: Run, folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a run by itself of the same scenario."""
    return unmarked(run(found.scenario, folder))


def unmarked(found: Run) -> list[dict[str, Any]]:
    return sorted(({**row, "reused": 0} for row in rows(found)), key=repr)


@pytest.mark.parametrize("axis", AXES)
def test_a_variant_of_a_sweep_equals_the_scenario_alone(
    scenario: Callable[..., Scenario], tmp_path: Path, axis: str
) -> None:
    scenario(TWO_SIGNS)
    variants = sweep(tmp_path / "scenario.yaml", AXES[axis], tmp_path / "sweep")
    assert len(variants) > 1
    for variant in variants:
        assert unmarked(variant.run) == alone(variant.run, tmp_path / "alone" / variant.run.folder.name)


def test_answers_of_another_reader_are_not_taken_over(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    first = run(scenario(TWO_SIGNS), tmp_path / "boxed")
    second = run(scenario(TWO_SIGNS, "task.answer.extract=[last_number]"), tmp_path / "last", reuse=[first.folder])
    assert second.count_reused() == len(second.turns()) == 36
    assert {turn.answer for turn in first.turns()} == {"1", "2"}
    assert {turn.answer for turn in second.turns()} == {"7", "8"}  # what follows "Confidence" is no answer


def test_confidences_of_another_role_are_not_taken_over(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    first = run(scenario(TWO_SIGNS, "decision.kind=majority"), tmp_path / "none")
    stated = scenario(TWO_SIGNS, "decision.kind=weighted", "roles.debater.confidence=stated")
    second = run(stated, tmp_path / "stated", reuse=[first.folder])
    assert second.count_reused() == 36
    assert {turn.confidence for turn in first.turns()} == {None}
    assert {turn.confidence for turn in second.turns()} == {0.9, 0.1}


def _breaks(self: Arithmetic, text: str, item: Item) -> str | None:
    raise RuntimeError("this reader is broken")


def _reads_length(self: Arithmetic, text: str, item: Item) -> str | None:
    return str(len(text))


@pytest.mark.parametrize(("before", "after"), [(_breaks, None), (None, _breaks), (None, _reads_length)])
@pytest.mark.parametrize("resume", [True, False])
def test_a_reader_that_has_changed_reads_every_stored_reply(
    scenario: Callable[..., Scenario],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: Callable[..., str | None] | None,
    after: Callable[..., str | None] | None,
    resume: bool,
) -> None:
    """A newer version of a task, or of a plugin, may read otherwise, where the scenario stays as it was."""
    loaded = scenario(TWO_SIGNS)
    with monkeypatch.context() as patched:
        if before is not None:
            patched.setattr(Arithmetic, "parse", before)
        first = run(loaded, tmp_path / "first")
    if after is not None:
        monkeypatch.setattr(Arithmetic, "parse", after)
    if resume:
        second = run(loaded, first.folder, resume=True)
    else:
        second = run(loaded, tmp_path / "second", reuse=[first.folder])
        assert second.count_reused() >= 18  # a broken turn is not in its agent's memory
    assert unmarked(second) == alone(second, tmp_path / "alone")
    assert [r.result.correct for r in load_records(second)] == [
        r.result.correct for r in load_records(Run(tmp_path / "alone"))
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("task.answer.extract=[last_number]", "task.answer.extract"),
        ("task.answer.equal=exact", "task.answer.equal"),
        ("roles.debater.confidence=stated", "roles.debater.confidence"),
        ("decision.kind=weighted", "decision.kind"),
        ("sampling.temperature=0.5", "sampling.temperature"),
        ("backends.scripted.context=5000", "backends.scripted.context"),
        ("seed=3", "seed"),
    ],
)
def test_a_changed_option_is_refused_and_named_on_resume(
    scenario: Callable[..., Scenario], tmp_path: Path, change: str, named: str
) -> None:
    done = run(scenario(TWO_SIGNS), tmp_path / "run")
    before = rows(done)
    with pytest.raises(RunFolderError, match=rf"another scenario: {named}"):
        run(scenario(TWO_SIGNS, change), done.folder, resume=True)
    assert rows(done) == before


REQUEST = GenerateRequest((ChatMessage("user", "?"),), Sampling(), 1, None, ())
OTHERS: dict[str, object] = {
    "messages": (ChatMessage("user", "? "),),
    "sampling": Sampling(max_tokens=4),
    "seed": 2,
    "adapter": "a",
    "choices": ("A", "B"),
    "thinking": Thinking(budget=0),
    "template_args": (("reasoning_effort", "low"),),
    "tools": (ToolSpec("calculator", "Computes.", "expression"),),
}
OTHER_SAMPLINGS: dict[str, object] = {
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 3,
    "min_p": 0.1,
    "repeat_penalty": 1.1,
    "max_tokens": 3,
    "stop": ("x",),
}
OTHER_THINKINGS: dict[str, object] = {"enabled": False, "budget": 1, "tags": ("<a>", "</a>")}


def changed() -> Iterator[GenerateRequest]:
    """Yield a request for every field that a request and a sampling have, which differs in it alone."""
    for field in fields(GenerateRequest):
        if field.name == "options":  # the prompt has them
            continue
        yield replace(REQUEST, **{field.name: OTHERS[field.name]})  # type: ignore[arg-type]
    for field in fields(Sampling):
        sampling = replace(Sampling(), **{field.name: OTHER_SAMPLINGS[field.name]})  # type: ignore[arg-type]
        yield replace(REQUEST, sampling=sampling)
    for field in fields(Thinking):
        thinking = replace(Thinking(), **{field.name: OTHER_THINKINGS[field.name]})  # type: ignore[arg-type]
        yield replace(REQUEST, thinking=thinking)


def test_every_field_of_a_request_is_in_its_key() -> None:
    keys = [request_key(request, "model") for request in (REQUEST, *changed())]
    assert len(set(keys)) == len(keys)
    assert request_key(REQUEST, "another model") not in keys


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=4)), max_size=3), st.text(max_size=4)
)
def test_keys_tell_apart_where_one_text_ends_and_the_next_begins(chat: list[tuple[Any, str]], more: str) -> None:
    messages = tuple(ChatMessage(role, text) for role, text in chat)
    longer = (*messages, ChatMessage("user", more))
    assert request_key(replace(REQUEST, messages=messages), "m") != request_key(replace(REQUEST, messages=longer), "m")


def test_a_store_gives_out_replies_and_nothing_that_was_read_in_them(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    from society.store import Store

    done = run(scenario(TWO_SIGNS), tmp_path / "run")
    [turn, *_] = done.turns()
    with Store(tmp_path / "new.sqlite", [done.folder / "store.sqlite"]) as store:
        assert isinstance(store.find_reusable(turn.key), GenerateOutput)
        assert store.find_reusable("0" * 32) is None
    with Store(done.folder / "store.sqlite") as store:
        found = store.find(turn.id, turn.key)
        assert found == GenerateOutput(turn.text, turn.finish_reason, turn.usage, turn.logprob, turn.tokens)


def test_a_reused_store_that_cannot_be_read_is_named(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    """The run's own store is whole, so neither its name nor `--resume` helps."""
    loaded = scenario(TWO_SIGNS)
    done = run(loaded, tmp_path / "run")
    broken = tmp_path / "broken" / "store.sqlite"
    shutil.copytree(done.folder, broken.parent)
    broken.write_bytes(broken.read_bytes()[:4096] + b"\xff" * 20_000)
    with pytest.raises(RunFolderError, match=re.escape(str(broken))):
        run(loaded, tmp_path / "new", reuse=[broken.parent])
    error = explain(broken, sqlite3.OperationalError("unable to open database file"), of_this_run=False)
    assert str(broken) in str(error)
    assert "--reuse" in error.remedy
    assert "--resume" not in error.remedy


def test_turns_without_a_reply_are_not_taken_over(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    loaded = scenario(TWO_SIGNS)
    done = run(loaded, tmp_path / "run")
    with sqlite3.connect(done.folder / "store.sqlite") as db:
        db.execute("UPDATE turns SET replied=0, status='failed', text='', answer=NULL, error='gone' WHERE round=2")
    db.close()
    again = run(loaded, tmp_path / "again", reuse=[done.folder])
    assert again.count_reused() == 18
    assert all(turn.status == "ok" for turn in again.turns())
