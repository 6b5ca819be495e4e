"""Simulate societies of language-model agents, and train them.

    load_scenario(path, overrides=())   load and check a scenario file
    Scenario.from_dict(data)            make and check a scenario in Python
    check(source)                       list every problem of a file or of such data
    load_plugins(path, ...)             add the components of plugin files, before a scenario names them
    ask(question, ...)                  debate one question and return a Run
    run(scenario, out=None, ...)        run a scenario, in scripts and notebooks, and return a Run
    run_async(scenario, ...)            run a scenario within an event loop
    sweep(path, vary, ...)              run a scenario for each combination of values, and with several seeds
    Run(folder)                         read a run: summary(), accuracy, to_pandas(), report()
    compare(runs)                       compare runs on the same questions, with paired statistics
    Watcher                             follow a run as it goes
    SocietyError                        the base of every error; ScenarioError lists a scenario's problems

Each name is imported on first use, so `import society` is fast. The distribution is named `society-of-models`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from society.asking import ask
    from society.components.plugin_files import load_plugins
    from society.core.errors import InputError, ScenarioError, SocietyError
    from society.core.interrupt import Interrupted
    from society.core.problems import Problem
    from society.metrics.comparison import compare
    from society.planning.preflight import check
    from society.results import Run
    from society.runner.sweep import sweep
    from society.scenario import load_scenario
    from society.scenario.models.scenario import Scenario
    from society.session import run, run_async
    from society.watcher import Watcher

__version__ = "0.2.0"
__all__ = [
    "InputError",
    "Interrupted",
    "Problem",
    "Run",
    "Scenario",
    "ScenarioError",
    "SocietyError",
    "Watcher",
    "ask",
    "check",
    "compare",
    "load_plugins",
    "load_scenario",
    "run",
    "run_async",
    "sweep",
]
_HOMES = {
    "InputError": "society.core.errors.InputError",
    "Interrupted": "society.core.interrupt.Interrupted",
    "Problem": "society.core.problems.Problem",
    "Run": "society.results.Run",
    "Scenario": "society.scenario.models.scenario.Scenario",
    "ScenarioError": "society.core.errors.ScenarioError",
    "SocietyError": "society.core.errors.SocietyError",
    "Watcher": "society.watcher.Watcher",
    "ask": "society.asking.ask",
    "check": "society.planning.preflight.check",
    "compare": "society.metrics.comparison.compare",
    "load_plugins": "society.components.plugin_files.load_plugins",
    "load_scenario": "society.scenario.load_scenario",
    "run": "society.session.run",
    "run_async": "society.session.run_async",
    "sweep": "society.runner.sweep.sweep",
}
"""The module and the name there of each public name."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    from society.core.installation import check_installation

    if name not in _HOMES:
        raise AttributeError(f"module 'society' has no attribute {name!r}")
    check_installation()
    module, _, attribute = _HOMES[name].rpartition(".")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
