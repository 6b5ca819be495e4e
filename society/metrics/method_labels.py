"""Short labels of methods: the settings in which their scenarios differ, without what all have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from society.core.hidden_chars import reveal
from society.metrics.run_labels import is_swept, label_runs
from society.runs.run import Run
from topologies.base import Topology

LONGEST = 40
"""Maximum number of characters of a label made of settings. Longer ones are replaced by names of folders."""
IGNORED = ("seed", "name", "description", "source", "differs", "extends")
"""Settings that repetitions of one method may differ in, or that do not shape a run."""
Settings = dict[tuple[str, ...], Any]
"""Plain values by the path of keys in the scenario, and whether each is not the default."""


def settings_of(run: Run) -> Settings:
    """Return every setting of a run's scenario except `IGNORED`, as (value, whether it was changed from its default).

    Paths of copies in the run's folder are relative to it.
    """
    scenario, home = run.scenario, run.folder.resolve()
    dropped = {(key,) for key in IGNORED} | {("task", "seed"), ("train", "task", "seed")}
    found = {path: value for path, value in _flatten(scenario, (), True) if path not in dropped}
    return {path: (_shorten_path(value, home), changed) for path, (value, changed) in found.items()}


def _shorten_path(value: Any, home: Path) -> Any:
    inner = isinstance(value, Path) and value.resolve().is_relative_to(home)
    return value.resolve().relative_to(home) if inner else value


def identify_method(run: Run) -> str:
    """Return a text that is equal for repetitions of one method: its settings, and the contents of its files."""
    settings = sorted((path, repr(value)) for path, (value, _) in settings_of(run).items())
    return repr((settings, run.meta().get("files", "")))


def _flatten(value: Any, path: tuple[str, ...], changed: bool) -> Iterator[tuple[tuple[str, ...], tuple[Any, bool]]]:
    if isinstance(value, Topology) and value.reference():
        yield (*path, "kind"), (value.reference(), True)  # a name in `topologies` differs from every kind
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            default = field.get_default(call_default_factory=True, validated_data={})
            yield from _flatten(inner, (*path, name), name == "kind" or inner != default)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, (*path, str(key)), changed)
    elif isinstance(value, list | tuple) and any(isinstance(one, BaseModel) for one in value):
        for number, one in enumerate(value):
            yield from _flatten(one, (*path, str(getattr(one, "name", number))), changed)
    else:
        yield path, (value, changed)


def label_methods(runs: Sequence[Run], names: Sequence[Sequence[str]]) -> list[str]:
    """Return a unique label for each method, of which `runs` has one run. `names` has the folders of all runs of each.

    Names that a user gave to single runs are kept, without what all have in common. Labels of repetitions and of a
    sweep are the settings that differ, if these are short.
    """
    if all(len(found) == 1 for found in names) and not all(is_swept(found[0]) for found in names):
        return label_runs([found[0] for found in names])
    if len(runs) == 1 < len(names[0]):
        return [runs[0].scenario.name]
    labels = _label_by_settings([settings_of(run) for run in runs])
    fits = all(0 < len(label) <= LONGEST for label in labels)
    if fits and len(set(labels)) == len(labels):
        return labels
    return label_runs([_common_start(found) or found[0] for found in names])


def _label_by_settings(found: Sequence[Settings]) -> list[str]:
    paths = dict.fromkeys(path for settings in found for path in settings)
    unlike = [path for path in paths if len({repr(settings.get(path, _MISSING)[0]) for settings in found}) > 1]
    everywhere = {path for path in unlike if all(path in settings for settings in found)}
    labels = []
    for settings in found:
        parts = [
            _describe(path, settings[path][0])
            for path in unlike
            if path in settings and (path in everywhere or settings[path][1])
        ]
        labels.append(reveal(", ".join(parts)))
    return labels


_MISSING = ("", False)


def _describe(path: tuple[str, ...], value: Any) -> str:
    text = re.sub(r"[\s'\"]+", " ", str(value)).strip()
    return text if path[-1] == "kind" else f"{path[-1].replace('_', ' ')} {text}"


def _common_start(names: Sequence[str]) -> str:
    """Return the words that the folder names of one method's runs begin with."""
    words = zip(*(re.split(r"([-_+=/])", name) for name in names), strict=False)
    return "".join(one[0] for one in takewhile(lambda one: len(set(one)) == 1, words)).rstrip("-_+=/ ")
