"""The scenario language: `load_scenario` reads a file, `check_scenario` says everything that is wrong with it.

`models` is the language itself, `source` reads YAML with its places, `merge` applies `extends` and overrides,
`validate` holds the tree against the models, `check` (with `graphs` and `templates`) finds what no model can see,
`expand` makes of it what the engine runs.
"""

from society.core.problems import Problem
from society.scenario.load import check_scenario, load_scenario, load_with_warnings
from society.scenario.schema.json_schema import scenario_schema

__all__ = ["Problem", "check_scenario", "load_scenario", "load_with_warnings", "scenario_schema"]
