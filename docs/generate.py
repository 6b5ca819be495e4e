"""Writes what is generated from the code: tables of scenarios, reference, JSON Schema, parts of the README.

python docs/generate.py            write what has changed
python docs/generate.py --check    only say what is not up to date; exit status 1 if anything is
"""

from __future__ import annotations

import ast
import json
import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from society.core.types import Item
from society.planning.dry_run import dry_run, rough_count
from society.scenario import load_scenario, scenario_schema
from society.scenario.expand import Society, expand
from society.scenario.schema.reference import write_reference

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "docs" / "scenario.schema.json"
REFERENCE = ROOT / "docs" / "scenarios.md"
TABLE = ROOT / "scenarios" / "README.md"
README = ROOT / "README.md"
SHOWN = ROOT / "scenarios" / "debate.yaml"
OTHERS = {
    "scenarios/": "every debate of the literature in YAML; paper/ has the method and its baselines",
    "tests/": "test_<module>.py; contract suites live beside what they test",
    "docs/": "tutorial and reference, design, what is generated and what generates it",
    "benchmarks/": "one script per claim, its result beside it in results/",
    "Makefile": "demo, test, lint",
    "constraints.txt": "the versions that the tests pass with",
}
"""What the tree says of what has no docstring."""
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
        README: write_readme(README.read_text(encoding="utf-8")),
    }


def write_readme(text: str) -> str:
    """The README with the scenario that it shows and the tree of the repository as they are now."""
    shown = [line for line in SHOWN.read_text("utf-8").splitlines() if not line.startswith(("#", "source", "descr"))]
    text = _between(text, "scenario", "```yaml\n" + "\n".join(shown) + "\n```\n")
    return _between(text, "tree", "```\n" + "\n".join(tree_lines()) + "\n```\n")


def _between(text: str, name: str, content: str) -> str:
    """`text` with what stands between the marks of `name` replaced."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = text.partition(start)
    return before + start + content + end + rest.partition(end)[2]


def tree_lines() -> list[str]:
    """One line for each folder and module: its name, and what it says of itself."""
    lines = []
    for package in ("society", "backends", "topologies"):
        lines.append(_tree_line(0, f"{package}/", ROOT / package / "__init__.py"))
        for path in sorted((ROOT / package).iterdir(), key=lambda path: (path.is_file(), path.name)):
            if (path / "__init__.py").exists():
                lines.append(_tree_line(1, f"{path.name}/", path / "__init__.py"))
            elif path.suffix == ".py" and not path.name.startswith("__"):
                lines.append(_tree_line(1, path.name, path))
    return [*lines, *(f"{name:<20}{what}" for name, what in OTHERS.items())]


def _tree_line(depth: int, name: str, module: Path) -> str:
    said = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    sentence = re.split(r"(?<=[.;])\s", said.split("\n\n")[0].replace("\n", " "))[0].rstrip(".; ")
    return f"{'  ' * depth + name:<20}{textwrap.shorten(sentence, 98, placeholder=' ...')}".rstrip()


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
    """Return whether a rule of the scenario may save calls."""
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
