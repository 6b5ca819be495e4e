"""Simulate societies of language-model agents, and train them.

    load_scenario(path, overrides=())   a checked scenario
    run(scenario, out=None, ...)        run it; gives back a Run
    Run(folder)                         a run's turns, results, adapters and what it was made of

They are imported when they are used: `import society` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from society.runs.run import Run as Run
    from society.scenario import load_scenario as load_scenario
    from society.session import run as run

__version__ = "0.1.0"

_HOMES = {"load_scenario": "society.scenario", "run": "society.session", "Run": "society.runs.run"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'society' has no attribute {name!r}")
    check_siblings()
    return getattr(import_module(_HOMES[name]), name)


def check_siblings() -> None:
    """Make sure that `backends` and `topologies` are the packages that came with this one.

    Raises `InputError` if something else of that name is found first (a folder beside a script, say).
    """
    from importlib.util import find_spec
    from pathlib import Path

    from society.core.errors import InputError

    for name in ("backends", "topologies"):
        spec = find_spec(name)
        found = Path(spec.origin).parent if spec and spec.origin else None
        if found != Path(__file__).parent.with_name(name):
            raise InputError(
                f"The package {name!r} is found at {found or 'no file'}, but society brings its own.",
                f"Rename or move what is called {name!r} there, or run from another folder.",
            )
