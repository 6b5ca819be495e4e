"""The job script on a real Slurm of three nodes on this machine: `make slurm`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from society.runs.run import Run
from tests.cluster.local_slurm import local_slurm, missing_programs

MISSING = missing_programs()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING) or not os.environ.get("SOCIETY_SLURM"),
        reason=f"needs Slurm (missing: {', '.join(MISSING) or 'nothing'}): apt-get install slurm-wlm munge; make slurm",
    ),
]
SCRIPT = Path(__file__).parents[2] / "docs" / "cluster" / "slurm.sh"
SCENARIO = """
version: 1
name: queued
task: {kind: arithmetic, limit: 20}
backends: {m: {kind: scripted, delay: DELAY, rules: [{calculate: {skill: 0.7}}]}}
roles: {r: {prompt: "{{ question }} {{ instruction }}"}}
agents: {a: {count: 3}}
phases: [{name: answer, rounds: 2}]
concurrency: 2
"""
RAY = "executor: {kind: ray, generate: {replicas: 2, gpus: 1, cpus: 1}}"


class Cluster:
    """A Slurm, and a folder for the jobs' files."""

    def __init__(self, names: Mapping[str, str], folder: Path) -> None:
        self.names, self.folder = names, folder
        folder.mkdir()

    def ask(self, *command: str) -> str:
        """Run a command of Slurm and return what it prints."""
        done = subprocess.run(command, env=self.names, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def submit(self, name: str, delay: float, *options: str, more: str = "", after: tuple[str, ...] = ()) -> str:
        """Submit a scenario whose replies take `delay` seconds. Return the number of the job."""
        (self.folder / f"{name}.yaml").write_text(SCENARIO.replace("DELAY", str(delay)) + more)
        own = ("sbatch", "--parsable", "--gpus-per-node=1", "--cpus-per-task=2", "--time=10", f"--output={name}.out")
        return self.ask(*own, *options, str(SCRIPT), f"{name}.yaml", f"runs/{name}", "--grace", "10", *after)

    def said(self, name: str) -> str:
        """Return what a job has printed."""
        path = self.folder / f"{name}.out"
        return path.read_text() if path.exists() else ""

    def state(self, job: str) -> str:
        """Return the state of a job."""
        return self.ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")

    def release(self, job: str) -> None:
        """Start a job that was queued again now, and not after Slurm's delay."""
        wait(lambda: self.state(job) == "PENDING")
        self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def finish(self, job: str, name: str, seconds: float = 120) -> None:
        """Wait until a job has ended well and its run is finished."""
        wait(lambda: self.state(job) in ("COMPLETED", "FAILED"), seconds)
        assert self.state(job) == "COMPLETED", self.said(name)
        assert Run(self.folder / "runs" / name).sessions()[-1].state == "finished"
        turns = [turn.id for turn in Run(self.folder / "runs" / name).turns()]
        assert len(turns) == len(set(turns)) == 120


def wait(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.3)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("slurm")
    with local_slurm(folder / "slurm", 3) as names:
        programs = str(Path(sys.executable).parent)
        yield Cluster({**names, "PATH": f"{programs}:{names['PATH']}", "PYTHONPATH": str(Path.cwd())}, folder / "jobs")


def test_a_job_that_is_told_of_its_limit_stops_and_goes_on_in_a_new_one(cluster: Cluster) -> None:
    job = cluster.submit("limit", 1)
    wait(lambda: "20 debates" in cluster.said("limit"))
    time.sleep(11)  # less would be a wrong time limit
    cluster.ask("scancel", "--batch", "--signal=USR1", job)
    cluster.release(job)
    assert "The run is not finished; the job is queued again." in cluster.said("limit")
    cluster.finish(job, "limit")


def test_a_cancelled_job_stays_cancelled(cluster: Cluster) -> None:
    job = cluster.submit("cancel", 1)
    wait(lambda: "20 debates" in cluster.said("cancel"))
    cluster.ask("scancel", job)
    wait(lambda: cluster.state(job) == "CANCELLED")
    wait(lambda: Run(cluster.folder / "runs" / "cancel").sessions()[-1].state == "interrupted")
    assert "queued again" not in cluster.said("cancel")


def test_a_preempted_job_stops_and_goes_on_later(cluster: Cluster) -> None:
    job = cluster.submit("preempted", 1)
    wait(lambda: "20 debates" in cluster.said("preempted"))
    other = cluster.ask(
        "sbatch", "--parsable", "-p", "high", "-N3", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2"
    )
    wait(lambda: cluster.state(other) == "COMPLETED", 90)
    cluster.release(job)
    cluster.finish(job, "preempted")


def test_the_tasks_of_an_array_share_a_sweep(cluster: Cluster) -> None:
    job = cluster.submit("sweep", 0.1, "--array=0-2", after=("--seeds", "3"))
    wait(lambda: set(cluster.state(job).split()) == {"COMPLETED"}, 120)
    found = sorted((cluster.folder / "runs" / "sweep").glob("seed=*"))
    assert [Run(folder).sessions()[-1].state for folder in found] == ["finished"] * 3


@pytest.mark.needs("ray")
def test_a_ray_node_that_dies_is_replaced_and_its_logs_are_kept(cluster: Cluster) -> None:
    job = cluster.submit("ray", 2, "--nodes=2", more=RAY)
    wait(lambda: "20 debates" in cluster.said("ray"), 240)
    os.kill(_find_raylet("n2"), 9)
    cluster.finish(job, "ray", 300)
    assert re.search(r"The Ray process on n2 ended \(1 of at most 3\)", cluster.said("ray"))
    logs = cluster.folder / "runs" / f"ray-ray-logs/{job}"
    assert any(logs.glob("*/raylet*"))
    shutil.rmtree(logs)


def _find_raylet(node: str) -> int:
    """Return the process of Ray's daemon on a node, by its environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            names = (process / "environ").read_bytes()
            if (process / "comm").read_text() == "raylet\n" and f"SLURMD_NODENAME={node}\0".encode() in names:
                return int(process.name)
        except OSError:
            continue
    raise AssertionError(f"no Ray on {node}")
