"""Plugins that take part in a training: labels, selectors, objectives and backends of local files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import society
from society.cli import main
from society.components.plugin_files import hash_code, set_plugins
from society.core.errors import ComponentError
from society.runs.run import Run
from tests.training.test_rules import GUESSER, SOCIETY

OBJECTIVE = '''
from typing import ClassVar, Literal

from backends.objectives import Objective


class Squared(Objective):
    """The squared distance of a pair's lead from a goal."""

    contrast: ClassVar = "pair"
    kind: Literal["squared"] = "squared"
    goal: float = 1.0

    def loss(self, batch):
        return batch.weights[0::2] * (self.goal - batch.gains[0::2] + batch.gains[1::2]) ** 2
'''
Train = Callable[..., Run]


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Train]:
    """Return a function that writes plugin files, and trains the guessers with them in one folder."""

    def run(files: Mapping[str, str], learner: Mapping[str, Any], **fields: Any) -> Run:
        paths = [tmp_path / name for name in files]
        for path in paths:
            path.write_text(files[path.name])
        guesser = [] if "guesser.py" in files else [GUESSER]
        set_plugins(*guesser, *paths)
        spec = {"questions": 9, "learners": {"all": {"phases": ["propose"], **learner}}, **fields}
        out = tmp_path / "run"
        society.run(society.Scenario(**SOCIETY, train=spec), out, progress=False, resume=out.exists())
        return Run(out)

    yield run
    set_plugins()


def hashes(run: Run) -> set[str]:
    return {row.trained_on for row in run.adapters() if row.hash}


def test_a_corrected_objective_trains_again(train: Train) -> None:
    first = hashes(train({"mine.py": OBJECTIVE}, {"objective": "squared"}))
    assert first
    assert hashes(train({"mine.py": OBJECTIVE}, {"objective": "squared"})) == first
    assert not hashes(train({"mine.py": OBJECTIVE.replace("** 2", "** 4")}, {"objective": "squared"})) & first


def test_a_corrected_trainer_trains_again(train: Train) -> None:
    code = GUESSER.read_text()
    first = hashes(train({"guesser.py": code}, {}))
    assert first
    assert not hashes(train({"guesser.py": code + "\n# corrected\n"}, {})) & first


def test_the_export_of_a_backend_without_an_exporter_has_tables_and_rows(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train({}, {})
    arguments = ["export", str(run.folder), "--to", str(tmp_path / "out"), "--format", "csv", "--plugins", str(GUESSER)]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "The backend 'local' exports nothing of what it trained" in said
    assert "Tables and training rows are complete" in said
    rows = (tmp_path / "out" / "training_rows.jsonl").read_text().splitlines()
    assert len(rows) == len(run.examples())
    assert (tmp_path / "out" / "turns.csv").exists()
    assert not (tmp_path / "out" / "scenario.yaml").exists()
    assert main([*arguments, "--no-adapters"]) == 0


def test_built_in_components_have_no_hash_of_code() -> None:
    """So the hashes of earlier runs remain valid."""
    scenario = society.Scenario(**{**SOCIETY, "backends": {"local": {"kind": "scripted", "rules": [{"say": "4"}]}}})
    assert hash_code(scenario.backends["local"]) == ""


RULES = '''
from math import nan, inf
from typing import Literal

from society.components.labels.base import Label, LabelRule
from society.components.selectors import Selector


class Odd(LabelRule):
    """A label that is none."""

    kind: Literal["odd"] = "odd"

    def find(self, evidence, agent):
        return {label}


class Strange(Selector):
    """Rows that are none."""

    kind: Literal["strange"] = "strange"

    def choose(self, cases, seed):
        return {chosen}

    def weigh(self, cases, seed):
        return {weights}
'''
RIGHT = {"label": "Label('4')", "chosen": "[(c, 'all') for c in cases]", "weights": "[1] * len(cases)"}


@pytest.mark.parametrize(
    ("part", "code", "message"),
    [
        ("label", "Label(4)", "'odd' returned a Label with the answer 4, which is neither text nor None, in `find` on"),
        ("label", "None", "'odd' returned NoneType instead of Label in `find`"),
        ("label", "Label(None)", "'odd' returned a Label with neither an answer nor a reason"),
        ("label", "Label(None, 3)", "'odd' returned a Label with the reason 3, which is no text"),
        ("label", "Label('4', '', '2')", "which are no numbers of votes"),
        ("chosen", "[(c, 3) for c in cases]", "'strange' returned the rule 3, which is no text, in `choose` for the"),
        ("chosen", "None", "'strange' returned NoneType instead of a list"),
        ("chosen", "cases", "'strange' returned a list with Case instead of a pair"),
        ("chosen", "[(c, 'x') for c in cases] * 2", "that was not given, or is in the list twice, in `choose`"),
        ("weights", "[inf] * len(cases)", "'strange' returned the weight inf, which is no finite number"),
        ("weights", "[nan] * len(cases)", "'strange' returned the weight nan"),
        ("weights", "[-1] * len(cases)", "'strange' returned the weight -1.0"),
        ("weights", "[]", "'strange' returned 0 weights for"),
        ("weights", "[None] * len(cases)", "'strange' raised TypeError"),
    ],
)
def test_a_rule_that_returns_something_else_is_one_error(train: Train, part: str, code: str, message: str) -> None:
    rules = RULES.format(**{**RIGHT, part: code})
    with pytest.raises(ComponentError, match=re.escape(message)) as raised:
        train({"rules.py": rules}, {"select": "strange"}, label="odd")
    assert "Correct the plugin file." in str(raised.value)


def test_the_rules_of_these_tests_can_train(train: Train) -> None:
    assert hashes(train({"rules.py": RULES.format(**RIGHT)}, {"select": "strange"}, label="odd"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ValueError('boom')", "'guesser' raised ValueError: boom (guesser.py, line"),
        ("return 3", "'guesser' returned int instead of a Training"),
    ],
)
def test_a_trainer_that_fails_is_one_error(train: Train, code: str, message: str) -> None:
    broken = GUESSER.read_text().replace("        plain = ", f"        {code}\n        plain = ")
    with pytest.raises(ComponentError, match=re.escape(message)) as raised:
        train({"guesser.py": broken}, {})
    assert "in `train` for the learner 'all', agent 'solver-1', iteration 0." in str(raised.value)
