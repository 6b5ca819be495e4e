"""Writes what is generated from the code: the table of scenarios, the reference of the language, the JSON Schema.

python docs/generate.py            write what has changed
python docs/generate.py --check    only say what is not up to date; exit status 1 if anything is
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from society.planning.dry_run import dry_run, rough_count
from society.scenario import load_scenario, scenario_schema
from society.scenario.expand import Society, expand
from society.scenario.reference import write_reference
from society.types import Item

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "docs" / "scenario.schema.json"
REFERENCE = ROOT / "docs" / "scenarios.md"
TABLE = ROOT / "scenarios" / "README.md"
MARK = "<!-- Everything below is made by docs/generate.py. -->\n"
INTRO = """# Scenarios

Each file is a method of the literature, or a family of graphs, in YAML alone. They run as they are on a small model
that comes from PyPI: `society run scenarios/debate.yaml`. [docs/scenarios.md](../docs/scenarios.md) explains the
language. *Calls* is how often a model is asked for one question; with ≤, a rule may end the debate earlier or let
agents rest. This page is made by `docs/generate.py`.
"""


def generate() -> dict[Path, str]:
    """Every generated file and what should be in it."""
    tutorial = REFERENCE.read_text(encoding="utf-8").partition(MARK)[0] if REFERENCE.exists() else ""
    return {
        SCHEMA: json.dumps(scenario_schema(), indent=2) + "\n",
        REFERENCE: tutorial + MARK + "\n" + write_reference(),
        TABLE: write_tables(),
    }


def write_tables() -> str:
    """The table of the scenarios, and one more for each folder of scenarios below them."""
    folder = ROOT / "scenarios"
    parts = [INTRO, _table(sorted(folder.glob("*.yaml")), folder)]
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        if files := sorted(below.glob("*.yaml")):
            parts += [f"\n## {below.name}\n", _table(files, folder)]
    return "\n".join(parts)


def _table(files: Iterable[Path], folder: Path) -> str:
    head = "| scenario | what it is | agents | topology | schedule | calls | source |\n|---|---|---|---|---|---|---|\n"
    return head + "".join(_row(file, folder) for file in files)


def _row(file: Path, folder: Path) -> str:
    society = expand(load_scenario(file))
    kinds = (getattr(phase.spec.topology, "kind", "") for phase in society.phases)
    cells = (
        f"[{file.stem}]({file.relative_to(folder).as_posix()})",
        society.scenario.description,
        str(len(society.agents)),
        _in_order(kinds),
        _in_order(phase.spec.schedule for phase in society.phases),
        ("≤ " if may_be_fewer(society) else "") + str(count_calls(society)),
        society.scenario.source,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _in_order(words: Iterable[str]) -> str:
    """The words in their order, each repetition said once: "none, complete"."""
    return ", ".join(dict.fromkeys(words))


def may_be_fewer(society: Society) -> bool:
    """Whether a rule of the scenario may save calls."""
    return any(p.spec.stop or p.spec.controllers or p.spec.speak == "heard" for p in society.phases)


def count_calls(society: Society) -> int:
    """How often a model is asked for one question if no rule ends a phase early or lets an agent rest."""
    scenario = society.scenario
    turns = dry_run(society, Item("any", "Any question?", ""), dict.fromkeys(scenario.backends, rough_count))
    return len(turns) * scenario.samples


def main(check: bool) -> int:
    """Write, or with `check` only compare; the exit status."""
    stale = [path for path, text in generate().items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not up to date" if check else f"wrote {path.relative_to(ROOT)}")
        if not check:
            path.write_text(generate()[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
