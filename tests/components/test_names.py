"""A moderator's reply names an agent by its whole name; a reply that names none, or several, is said to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.scripted.backend import ScriptedBackend
from society.answers.agent_names import find_names
from society.cli import main
from society.core.types import GenerateOutput, GenerateRequest
from society.runs.records import DebateRecord
from society.scenario.models.scenario import Scenario

TWELVE = tuple(f"agent-{i}" for i in range(1, 13))


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        ("agent-10", TWELVE, ("agent-10",)),
        ("I choose agent-10.", TWELVE, ("agent-10",)),
        ("I choose **Agent-10**!", TWELVE, ("agent-10",)),
        ("agent-1's turn", TWELVE, ("agent-1",)),
        ("agent-1, then agent-10", TWELVE, ("agent-1", "agent-10")),
        ("agent-100", TWELVE, ()),
        ("agent-1-2", TWELVE, ()),
        ("my-agent-1", TWELVE, ()),
        ("agent-1_x", TWELVE, ()),
        ("nobody", TWELVE, ()),
        ("", TWELVE, ()),
        ("  left \n", ("left", "left_scribe"), ("left",)),
        ("left_scribe", ("left", "left_scribe"), ("left_scribe",)),
        ("Bob", ("Bob", "bob"), ("Bob",)),
        ("bob please", ("Bob", "bob"), ("bob",)),
        ("BOB please", ("Bob", "bob"), ("Bob", "bob")),
        ("agent-2 agent-2", TWELVE, ("agent-2",)),
    ],
)
def test_whole_names_only(text: str, names: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert find_names(text, names) == found


NAMES = st.lists(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,5}", fullmatch=True), min_size=1, max_size=8, unique_by=str.lower
)


@given(NAMES, st.data(), st.sampled_from(["{}", "I choose {}.", "({})", "next:\n{}\n"]))
def test_a_reply_with_one_name_names_one_agent(names: list[str], data: st.DataObject, reply: str) -> None:
    name = data.draw(st.sampled_from(names))
    others = {word.lower() for word in reply.replace("{}", " ").replace(".", " ").replace(":", " ").split()}
    if not others & {other.lower() for other in names}:
        assert find_names(reply.format(name), tuple(names)) == (name,)


MODERATED = """
task: {{kind: arithmetic, form: a+b, limit: 1}}
backends: {{scripted: {{kind: scripted, rules: [{{when: WHO, say: {said}}}, {{say: "It is 4."}}]}}}}
roles: {{speaker: {{prompt: "{{{{ question }}}}"}}, chair: {{prompt: WHO}}}}
agents: {{agent: {{count: 12, role: speaker}}, chair: {{role: chair}}}}
phases: [{{name: talk, schedule: moderated, moderator: chair, topology: complete, rounds: 2}}]
"""
Play = Callable[..., list[DebateRecord]]


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scripted backend follow its rules even if it should choose one of several texts."""
    generate = ScriptedBackend.generate

    async def without_choices(self: ScriptedBackend, request: GenerateRequest) -> GenerateOutput:
        return await generate(self, replace(request, choices=()))

    monkeypatch.setattr(ScriptedBackend, "generate", without_choices)


@pytest.mark.usefixtures("talkative")
def test_the_tenth_agent_speaks_when_it_is_named(debates: Play) -> None:
    [record] = debates(MODERATED.format(said=json.dumps("agent-10 should speak")))
    assert [turn.id.agent for turn in record.turns if turn.id.agent != "chair"] == ["agent-10", "agent-10"]
    assert not any(turn.error for turn in record.turns)


@pytest.mark.usefixtures("talkative")
@pytest.mark.parametrize(
    ("said", "remark"),
    [
        ("agent-3 or agent-11", "No single speaker is named but agent-3, agent-11: agent-1 speaks"),
        ("whoever wants", "No single speaker is named: agent-1 speaks"),
    ],
)
def test_an_unclear_choice_is_shown(
    said: str, remark: str, scenario: Callable[..., Scenario], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario(MODERATED.format(said=json.dumps(said)))
    run = str(tmp_path / "run")
    assert main(["run", str(tmp_path / "scenario.yaml"), "--out", run]) == 0
    assert "choice unclear" in capsys.readouterr().out
    assert main(["show", run, "--number", "1"]) == 0
    assert remark in " ".join(capsys.readouterr().out.split())
