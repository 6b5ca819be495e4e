"""Validation of a tree by the models: a `Scenario`, or all errors of pydantic as problems in plain words."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from society.components.decisions.base import DecisionRule
from society.components.registry import kinds
from society.components.renamed import former_names
from society.core.component import Component
from society.core.errors import FieldError
from society.core.paths import allow_folders, stored_in
from society.core.problems import Problem, find_near, make_problem, show
from society.scenario.models.phases import EdgeView, PhaseSpec, RepeatSpec
from society.scenario.models.scenario import AgentSpec, RoleSpec, Scenario
from society.scenario.models.settings import NAME_RULE, SamplingSpec
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, existing, find_node, find_place, write_path
from society.scenario.schema.words import describe, find_home, find_schemas, list_keys, list_options
from society.tasks.datasets import DATASETS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

GRAPHS = "topologies"
"""Section of a scenario whose names may stand for a topology."""
KEY = "[key]"
"""Step that pydantic appends if a key itself is invalid."""
_HOMES = {
    **{name: f"sampling.{name}" for name in SamplingSpec.model_fields},
    **{name: f"thinking.{name}" for name in ("enabled", "budget", "template_args")},
    "enable_thinking": "thinking.enabled",
    "thinking_budget": "thinking.budget",
    "chat_template_kwargs": "thinking.template_args",
    "reasoning_effort": "thinking.template_args.reasoning_effort",
    "max_new_tokens": "sampling.max_tokens",
    "repetition_penalty": "sampling.repeat_penalty",
}
"""Places of options that stand elsewhere, by the names that they have here or in other programs."""
_DECIMAL_COMMA = re.compile(r"-?\d*,\d+")
MOST_PROBLEMS = 1000
"""Maximum number of errors that are explained."""


@dataclass(frozen=True, slots=True)
class Flaws:
    """The problems that the models find in a tree. `unknown` are the steps to unknown keys."""

    problems: tuple[Problem, ...]
    unknown: tuple[Steps, ...]


def validate(root: Node, folders: Sequence[Path] | None) -> Scenario | Flaws:
    """Return the scenario of a tree, or its flaws. Paths are relative to the first of `folders`.

    Without folders, paths stay as they are, and no file is accessed.
    """
    context = stored_in(None) if folders is None else allow_folders(folders)
    context[GRAPHS] = _names_in(root, GRAPHS)
    try:
        return Scenario.model_validate_json(json.dumps(root.plain()), context=context)
    except ValidationError as error:
        details = error.errors(include_url=False)[:MOST_PROBLEMS]
    found: dict[Steps, list[ErrorDetails]] = {}
    for detail in details:
        found.setdefault(_find_steps(root, detail), []).append(detail)
    # Pydantic reports errors for each branch of a union: the deepest ones belong to the intended branch.
    above = {path[:i] for path in found for i in range(len(path))}
    deepest = [path for path in found if path not in above]
    unknown = (path for path in deepest if any(detail["type"] == "extra_forbidden" for detail in found[path]))
    return Flaws(tuple(_explain(root, path, found[path]) for path in deepest), tuple(unknown))


def _names_in(root: Node, section: str) -> tuple[str, ...]:
    """Return the keys of a section of the scenario; none if it is missing or no mapping."""
    found = root.value.get(section) if isinstance(root.value, dict) else None
    return tuple(found.value) if found is not None and isinstance(found.value, dict) else ()


def _find_steps(root: Node, detail: ErrorDetails) -> Steps:
    """Return the steps to an error of pydantic, without those of unions. A missing or unknown key is the last step."""
    node, steps, fresh = root, [], True
    *inner, last = detail["loc"] or ("",)
    for step in (*inner, last):
        value = node.value
        if fresh and isinstance(value, dict) and "kind" in value and value["kind"].value == step:
            fresh = False  # the tag of a union, not a key of that name
        elif isinstance(value, dict) and step in value:
            node, fresh = value[str(step)], True
            steps.append(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            node, fresh = value[step], True
            steps.append(step)
    if detail["type"] == "missing" or last == KEY:
        steps.append(last)
    error = detail.get("ctx", {}).get("error")
    return (*steps, *_find_field(node, error)) if isinstance(error, FieldError) else tuple(steps)


def _find_field(node: Node, error: FieldError) -> Steps:
    """Return the steps to the field of an error that the component gives last; none if it gives none of them."""
    order = [*node.value] if isinstance(node.value, dict) else [*range(len(node.value))]
    given = [steps for steps in error.fields if steps[0] in order]
    return existing(node, max(given, key=lambda steps: order.index(steps[0]), default=()))


def _explain(root: Node, steps: Steps, details: Sequence[ErrorDetails]) -> Problem:
    """Return one problem for all errors of pydantic at one place."""
    path = write_path(root, steps)
    known = {detail["type"]: detail for detail in details}
    if "missing" in known:
        expected = describe(find_schemas(root, steps))
        return make_problem(find_place(root, steps[:-1], key=True), path, f"is missing; it should be {expected}")
    node = find_node(root, steps)
    if "extra_forbidden" in known:
        if name := _find_present_name(root, steps):
            message = f"is the former name of {show(name)}, which is given too; remove one of them"
            return make_problem(node.key, path, message, value=steps[-1])
        return _explain_key(root, steps, node, path)
    if steps and steps[-1] == KEY:
        return make_problem(
            node.key,
            path.removesuffix(f".{KEY}"),
            f"{show(steps[-2])} is not a valid name; use {NAME_RULE}",
            value=steps[-2],
        )
    if "too_long" in known:
        most, given = known["too_long"]["ctx"]["max_length"], len(node.value)
        return make_problem(
            find_place(root, steps), path, f"has {given:,} entries; at most {most:,} are possible: remove some"
        )
    if "too_short" in known and isinstance(node.value, list) and node.value:
        least, given = known["too_short"]["ctx"]["min_length"], len(node.value)
        return make_problem(find_place(root, steps), path, f"has {given} of at least {least} entries; add more")
    if "unknown_kind" in known and (problem := _explain_kind(root, node, path, known["unknown_kind"])):
        return problem
    if "secret" in known:  # the value may be a key, which no message may show
        return make_problem(node.place, path, known["secret"]["msg"])
    if "value_error" in known:
        error = known["value_error"]["ctx"]["error"]
        named = isinstance(node.value, dict | list) or isinstance(error, FieldError)
        message = str(error) if named else f"{show(node.value)} {error}"
        return make_problem(find_place(root, steps), path, message, value=_scalar(node))
    return _explain_value(root, steps, node, path)


def _names_stop_rule(node: Node) -> bool:
    """Return whether a value is a stop rule, or a list with one: a kind, or a mapping with `kind`."""
    if isinstance(node.value, list):
        return any(map(_names_stop_rule, node.value))
    found = node.value.get("kind", node).value if isinstance(node.value, dict) else node.value
    return isinstance(found, str) and found in kinds("stop")


def _explain_key(root: Node, steps: Steps, node: Node, path: str) -> Problem:
    """Return the problem of an unknown key. An option of `sampling` or `thinking`, by any name, is sent there."""
    key, allowed = str(steps[-1]), list_keys(root, steps[:-1])
    if key == "stop" and len(steps) == 1 and _names_stop_rule(node):
        message = f"unknown key {show(key)}; stop rules are set in `stop` of a phase, such as `phases.0.stop`"
        return make_problem(node.key, path, message, value=key)
    if home := _HOMES.get(key):
        message = f"unknown key {show(key)}; set `{home}` of the scenario, a role, an agent or a phase's `bind`"
        return make_problem(node.key, path, message, value=key)
    if key in ("seeds", "over"):
        message = (
            f"unknown key {show(key)}; a scenario is one run: `society sweep FILE --seeds 3` repeats it with 3 seeds"
        )
        return make_problem(node.key, path, message, value=key)
    name, colon, value = key.partition(":")
    if colon and node.value is None:
        message = f"unknown key {show(key)}; a colon needs a space after it: `{name}: {value}`"
        return make_problem(node.key, path, message, value=key)
    if right := find_home(root, steps):
        message = f"unknown key {show(key)} here; write it as `{write_path(root, right)}`, or remove it"
        return make_problem(node.key, path, message, value=key)
    if blocks := [block for block, keys in _blocks().items() if key in keys]:
        message = f"unknown key {show(key)} here; it belongs in " + " or ".join(f"`{b}.{key}`" for b in blocks)
        return make_problem(node.key, path, message, value=key, allowed=allowed)
    near = find_near(key, allowed)
    return make_problem(node.key, path, f"unknown key {show(key)}", value=key, allowed=allowed, suggestion=near)


@lru_cache
def _blocks() -> dict[str, frozenset[str]]:
    """Return the keys of each block of the language, without those that many blocks have, by its path."""
    models: dict[str, type[Component]] = {
        "roles.NAME": RoleSpec,
        "agents.NAME": AgentSpec,
        "phases.NAME": PhaseSpec,
        "phases.NAME.edges": EdgeView,
        "repeat.0": RepeatSpec,
        "decision": DecisionRule,
        "train": TrainSpec,
        "train.learners.NAME": LearnerSpec,
    }
    counts = Counter(key for model in models.values() for key in model.model_fields)
    common = {"name", "task", *(key for key, count in counts.items() if count > 2)}
    return {block: frozenset(model.model_fields) - common for block, model in models.items()}


def _find_present_name(root: Node, steps: Steps) -> str | None:
    """Return the present name of a key, if it is a former name of a field of its component; otherwise None."""
    kind = find_node(root, steps[:-1]).value.get("kind")
    names = former_names().get(kind.value, {}) if kind is not None and isinstance(kind.value, str) else {}
    return names.get(str(steps[-1]))


def _explain_value(root: Node, steps: Steps, node: Node, path: str) -> Problem:
    schemas = find_schemas(root, steps)
    if isinstance(node.value, str) and (options := list_options(schemas)):
        return make_problem(
            node.place,
            path,
            f"should not be {show(node.value)}",
            value=node.value,
            allowed=options,
            suggestion=find_near(node.value, options),
        )
    expected = describe(schemas)
    message = f"should be {expected}, not {show(node.value)}"
    if "a number" in expected and isinstance(node.value, str) and _DECIMAL_COMMA.fullmatch(node.value):
        message += f"; write a decimal point in place of the comma: {node.value.replace(',', '.')}"
    if expected.startswith("a list") and isinstance(node.value, str):
        visible = node.value.isprintable() and node.value.strip()
        message += f"; write [{node.value if visible else json.dumps(node.value)}]"
    return make_problem(find_place(root, steps), path, message, value=_scalar(node))


def _explain_kind(root: Node, node: Node, path: str, detail: ErrorDetails) -> Problem | None:
    """Return a problem with the known kinds, or None if the kind is valid."""
    noun = detail["ctx"]["noun"]
    names = _names_in(root, GRAPHS) if noun == "topology" and isinstance(node.value, str) else ()
    allowed = (*kinds(noun), *names)
    if isinstance(node.value, dict) and "kind" not in node.value:
        if typo := next((key for key in node.value if find_near(key, ["kind"])), None):
            return make_problem(
                node.value[typo].key, f"{path}.{typo}", f"unknown key {show(typo)}", value=typo, suggestion="kind"
            )
        return make_problem(node.key, path, f"needs `kind`, the kind of {noun}", allowed=allowed)
    kind = node.value["kind"] if isinstance(node.value, dict) else node
    if not isinstance(kind.value, str):
        return make_problem(
            kind.place,
            path,
            f"should be a {noun}, given by its kind or as a mapping with `kind`, not {show(kind.value)}",
            value=_scalar(kind),
            allowed=allowed,
        )
    if noun == "task" and kind.value in DATASETS:
        message = f"{show(kind.value)} is a data set: write {{kind: dataset, name: {kind.value}}}"
        return make_problem(kind.place, path, message, value=kind.value)
    near = find_near(kind.value, allowed)
    message = f"unknown {noun} {show(kind.value)}"
    if not near:
        message += "; for a kind of your own, add --plugins FILE.py (Python: load_plugins)"
    return make_problem(kind.place, path, message, value=kind.value, allowed=allowed, suggestion=near)


def _scalar(node: Node) -> object:
    return None if isinstance(node.value, dict | list) else node.value
