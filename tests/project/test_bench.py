"""`make bench`: every benchmark is rerun, and missing requirements are reported."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OTHERS = {
    "grader_data.py",
    "grader_pairs.py",
    "bench.py",
    "chart.py",
    "debate_or_vote.py",
    "llama_rivals.py",
    "machine.py",
}
"""Scripts that are no benchmark: helpers, and experiments with their own make target."""


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench", BENCHMARKS / "bench.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = module  # its dataclass looks for its module there
    spec.loader.exec_module(module)
    return module


def test_every_benchmark_is_rerun(bench):
    scripts = {path.name for path in BENCHMARKS.glob("*.py")} - {path.name for path in BENCHMARKS.glob("gpu_*.py")}
    assert {b.script for b in bench.BENCHES} == scripts - OTHERS  # `make gpu` runs the gpu_ ones


def test_what_is_missing_is_said_before_anything_runs(bench, monkeypatch, tmp_path, capfd):
    needy = bench.Bench("nothing.py", ("$BENCH_DATA/questions.jsonl",), ("no_such_module",))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    assert bench.run_all([needy]) == []
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert needy.lacks() == f"there is no {tmp_path}/questions.jsonl"
    (tmp_path / "questions.jsonl").touch()
    assert needy.lacks() == "no module no_such_module"
    assert capfd.readouterr().err == "bench: nothing.py: skipped: BENCH_DATA is not set\n"


def test_a_script_that_fails_is_named_and_the_others_still_run(bench, monkeypatch, tmp_path, capfd):
    (tmp_path / "bad.py").write_text("raise SystemExit(3)")
    (tmp_path / "good.py").write_text("import sys; open(sys.argv[1], 'w').write('ran')")
    monkeypatch.setattr(bench, "HERE", tmp_path)
    monkeypatch.setenv("BENCH_OUT", str(tmp_path / "out"))
    (tmp_path / "out").touch()
    assert bench.run_all([bench.Bench("bad.py"), bench.Bench("good.py", ("$BENCH_OUT",))]) == ["bad.py"]
    assert (tmp_path / "out").read_text() == "ran"
    assert "bad.py: FAILED with status 3" in capfd.readouterr().err
