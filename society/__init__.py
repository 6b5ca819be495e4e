"""Simulate societies of language-model agents, and train them.

    load_scenario(path, overrides=())   a checked scenario
    run(scenario, out=None, ...)        run it; gives back a Run
    Run(folder)                         a run's turns, results, adapters and what it was made of

They are imported when they are used: `import society` is fast. The distribution is named `society-of-models`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from society.runs.run import Run as Run
    from society.scenario import load_scenario as load_scenario
    from society.session import run as run

__version__ = "0.2.0"

_HOMES = {"load_scenario": "society.scenario", "run": "society.session", "Run": "society.runs.run"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    from society.core.installation import check_installation

    if name not in _HOMES:
        raise AttributeError(f"module 'society' has no attribute {name!r}")
    check_installation()
    return getattr(import_module(_HOMES[name]), name)
