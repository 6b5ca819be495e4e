"""The scenario language: `load_scenario` reads a file, `check_scenario` lists all problems in it.

reading    YAML to a tree with places, `extends` and overrides, validation by the models
models     the models of the language
checks     checks that no single model can do: names, graphs, prompts, effects
schema     the JSON Schema, and the reference
expand     a scenario to the plans that the engine runs
"""

from society.core.problems import Problem
from society.scenario.load import check_scenario, load_scenario, load_with_warnings
from society.scenario.schema.json_schema import scenario_schema

__all__ = ["Problem", "check_scenario", "load_scenario", "load_with_warnings", "scenario_schema"]
