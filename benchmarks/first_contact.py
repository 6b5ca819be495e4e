"""Claim: from a clone to the first debate takes less than 180 seconds on 2 cores; a plain install has less than 120 MB.

    python benchmarks/first_contact.py [--steps]

The committed state is cloned twice, with empty caches of pip. In the first clone the steps run one after the other,
so that each has its own seconds of wall time and of processor time. In the second clone they run as `make demo` runs
them, side by side, until the first question of the demo is decided. `--steps` leaves the second clone out, and adds up
the steps that wait for each other. The package index decides how long downloads take.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from chart import record
from machine import describe_machine

ROOT = Path(__file__).parent.parent
RESULT = Path(__file__).parent / "results" / "first_contact.md"
LIMIT, MEGABYTES = 180, 120
"""Seconds to the first debate, and size of a plain install, that are claimed."""
BESIDE = ("packages", "model")
"""Steps that run while llama.cpp is compiled, which takes longer."""
STEPS = {
    "clone": None,
    "virtual environment, with current pip": ".venv/.base",
    "packages": ".venv/.packages",
    "model": ".venv/.model",
    "llama.cpp, compiled": ".venv/.llama",
    "installation of what was built": ".venv/.runtime",
}
"""Steps of `make demo`, each with its target."""


@dataclass(frozen=True)
class Step:
    """Seconds of one step: on the wall, and of processor time."""

    name: str
    wall: float
    processor: float

    def row(self) -> str:
        """Return a row of the table."""
        return f"| {self.name} | {self.wall:.0f} | {self.processor:.0f} |"


def timed(name: str, command: list[str], folder: Path, environment: dict[str, str]) -> Step:
    """Run a command to its end and return its seconds. Raises `CalledProcessError` where it fails."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    return _step(name, before, started)


def _step(name: str, before: os.times_result, started: float) -> Step:
    """Return the seconds since `before`, of child processes that have ended."""
    now = os.times()
    used = now.children_user + now.children_system - before.children_user - before.children_system
    return Step(name, time.perf_counter() - started, used)


def first_debate(clone: Path, environment: dict[str, str]) -> Step:
    """Run the demo until its first question is decided, and return the seconds until then."""
    before, started = os.times(), time.perf_counter()
    command = [".venv/bin/society", "run", "scenarios/debate.yaml", "--out", "runs/demo"]
    process = subprocess.Popen(command, cwd=clone, env=environment, stdout=sys.stderr)
    store = clone / "runs" / "demo" / "store.sqlite"
    while not _decided(store):
        if process.poll() is not None:
            raise SystemExit(f"the demo ended with status {process.returncode} before a question was decided")
        time.sleep(0.1)
    wall = time.perf_counter() - started
    process.terminate()  # stores what is finished; --resume would go on
    process.wait()
    return Step("first debate of the demo", wall, _step("", before, started).processor)


def _decided(store: Path) -> bool:
    """Return whether the run has stored the result of a debate."""
    if not store.exists():
        return False
    with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as database:
        try:
            return bool(database.execute("SELECT count(*) FROM results").fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet
            return False


def clone_of(folder: Path) -> list[str]:
    """Return the command that clones the committed state."""
    return ["git", "clone", "--quiet", str(ROOT), str(folder)]


def caches(folder: Path) -> dict[str, str]:
    """Return an environment in which pip's caches are empty."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MAKEFLAGS", "VIRTUAL_ENV")}
    return kept | {"PIP_CACHE_DIR": str(folder / "pip"), "LLAMA_CACHE": str(folder / "llama"), "PYTHON": sys.executable}


def one_after_another(folder: Path) -> list[Step]:
    """Return the seconds of every step by itself."""
    clone, environment = folder / "society", caches(folder)
    folder.mkdir()
    steps = [
        timed(name, ["make", "-s", target] if target else clone_of(clone), clone if target else folder, environment)
        for name, target in STEPS.items()
    ]
    return [*steps, first_debate(clone, environment)]


def side_by_side(folder: Path) -> Step:
    """Return the seconds from the clone to the first debate, as `make demo` goes."""
    clone, environment = folder / "society", caches(folder)
    folder.mkdir()
    steps = [
        timed("", clone_of(clone), folder, environment),
        timed("", ["make", "-s", ".venv/.runtime"], clone, environment),
        first_debate(clone, environment),
    ]
    name = "from the clone to the first debate, side by side"
    return Step(name, sum(step.wall for step in steps), sum(step.processor for step in steps))


def added_up(steps: list[Step]) -> Step:
    """Return the seconds of the steps that wait for each other, and the processor time of all."""
    wall = sum(step.wall for step in steps if step.name not in BESIDE)
    return Step("all, with packages and model beside llama.cpp", wall, sum(step.processor for step in steps))


def plain_install(folder: Path) -> tuple[float, float]:
    """Return the size of a plain install without extras, and of an empty virtual environment, in MB."""
    environment = caches(folder)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "plain")], check=True)
    empty = _size(folder / "plain")
    install = [folder / "plain/bin/pip", "install", "-qq", "--constraint", ROOT / "constraints.txt", ROOT]
    subprocess.run(install, env=environment, check=True)
    return _size(folder / "plain") - empty, empty


def _size(folder: Path) -> float:
    """Return the disk usage of a folder in MB, as `du -sm` counts it."""
    return float(subprocess.run(["du", "-sm", folder], check=True, capture_output=True, text=True).stdout.split()[0])


def report(steps: list[Step], whole: Step, plain: float, empty: float) -> str:
    """Return the result as Markdown."""
    lines = [
        "# From a clone to the first debate",
        "",
        "Seconds, with empty caches of pip. The rows are steps by themselves; the last row is `make demo` until its "
        f"first question is decided, where downloads and the compiler run side by side. Claimed: less than {LIMIT}. "
        f"With {os.cpu_count()} free cores it takes at least {whole.processor / (os.cpu_count() or 1):.0f} seconds.",
        "",
        "| step | on the wall | of processor time |",
        "|---|---|---|",
        *(step.row() for step in steps),
        f"| **{whole.name}** | **{whole.wall:.0f}** | **{whole.processor:.0f}** |",
        "",
        f"A plain install (`pip install .`, no extras) takes {plain:.0f} MB of disk beside the {empty:.0f} MB of an "
        f"empty virtual environment. Claimed: less than {MEGABYTES}.",
        "",
        describe_machine(),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, record, and write the result."""
    with tempfile.TemporaryDirectory(prefix="first-contact-") as name:
        folder = Path(name)
        plain, empty = plain_install(folder)
        steps = one_after_another(folder / "steps")
        whole = added_up(steps) if "--steps" in sys.argv else side_by_side(folder / "demo")
    ratios = {f"{MEGABYTES} MB, to a plain install": (MEGABYTES / plain, 1.0)}
    if "--steps" not in sys.argv:
        ratios[f"{LIMIT} s, to the first debate after a clone"] = (LIMIT / whole.wall, 1.0)
    record("first_contact.py", ratios)
    text = report(steps, whole, plain, empty)
    RESULT.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
