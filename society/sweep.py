"""A grid of runs over one scenario: each takes over from the ones before it whatever is shaped by the same things."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from society.errors import InputError
from society.folder import STORE
from society.runs import Run
from society.scenario import load_scenario
from society.session import Watcher, run


@dataclass(frozen=True, slots=True)
class Variant:
    """One point of the grid: its overrides (`a.b=c`) and the run that it became."""

    overrides: tuple[str, ...]
    run: Run


def expand_grid(vary: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of overrides. `vary` has entries `a.b=x,y,z`; commas inside brackets do not split.

    Raises `InputError` for an entry without a key or without values.
    """
    axes: list[list[str]] = []
    for entry in vary:
        key, equals, values = entry.partition("=")
        options = split_values(values)
        if not equals or not key or not all(options):
            raise InputError(f"--vary {entry!r} should be a key and values, such as phases.debate.rounds=1,2,3.")
        axes.append([f"{key}={option}" for option in options])
    return list(product(*axes))


def split_values(text: str) -> list[str]:
    """Split at commas that are not inside [], {} or quotes."""
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        if char == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def sweep(
    scenario: Path,
    vary: Sequence[str],
    out: Path,
    overrides: Sequence[str] = (),
    allow: Sequence[Path] = (),
    watch: Callable[[tuple[str, ...]], Watcher] | None = None,
) -> list[Variant]:
    """Run the whole grid below `out`, one folder a variant; a sweep that was interrupted goes on where it was.

    All variants are checked before the first runs. Raises what `load_scenario` and `run` raise.
    """
    grid = expand_grid(vary)
    loaded = [load_scenario(scenario, (*overrides, *changes), allow) for changes in grid]
    done: list[Variant] = []
    for changes, variant in zip(grid, loaded, strict=True):
        folder = out / folder_name(changes)
        reuse = [other.run.folder for other in done]
        watcher = watch(changes) if watch else None
        exists = (folder / STORE).exists()
        done.append(Variant(changes, run(variant, folder, resume=exists, reuse=reuse, watcher=watcher)))
    return done


def folder_name(changes: Sequence[str]) -> str:
    """A folder's name that says what was varied; a digest keeps long ones apart."""
    from society.identity import fingerprint

    label = "+".join(re.sub(r"[^A-Za-z0-9._=-]+", "_", change.rsplit(".", 1)[-1]).strip("_") for change in changes)
    return f"{label[:80]}-{fingerprint(list(changes))[:6]}"
