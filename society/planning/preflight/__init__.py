"""The check of a scenario before a run: the scenario itself, the files that it names, and the prompts of a dry run.

findings    the problems found
machine     models, adapters, libraries, tools and prices
questions   the rows of tasks, and whether choices answer them
prompts     variables of prompts, and the prompts of two debates
"""

from __future__ import annotations

from pathlib import Path

from society.core.problems import Problem, sort_problems
from society.planning.preflight.findings import Findings
from society.planning.preflight.machine import MachineChecks
from society.planning.preflight.prompts import PromptChecks
from society.planning.preflight.questions import QuestionChecks
from society.scenario.expand import expand
from society.scenario.load import Folders, Overrides, Source, load_tree


def check(
    source: Source, overrides: Overrides = (), allow: Folders = (), folder: Path | str = ".", offline: bool = False
) -> list[Problem]:
    """Return all problems of a scenario, warnings included, in the order of the file or by field of the dictionary.

    `source` is the YAML file of a scenario, or a dictionary with its keys. `overrides` are changes such as
    `phases.debate.rounds=3`. Relative paths in a dictionary start at `folder`. Files elsewhere may be read if their
    folder is in `allow`. The list is empty if the scenario has no problem.

    The check reads data files and the headers of local models, and renders the prompts of one debate, also with the
    models' chat templates. It needs no network and loads no weights. Models that must be downloaded first are not
    checked; with `offline`, they and missing data sets are errors, as on a machine without a network.
    """
    scenario, root, problems = load_tree(source, overrides, allow, folder)
    if scenario is None or root is None or any(problem.level == "error" for problem in problems):
        return problems
    society, findings = expand(scenario), Findings(root, problems, offline)
    MachineChecks(society, findings).check()
    items = QuestionChecks(society, findings).check()
    if items is not None:
        PromptChecks(society, findings).check(items)
    return sort_problems([*problems, *findings.problems])
