"""The job script for Slurm, with programs in place of Slurm, Ray and the run; `test_slurm.py` has the real Slurm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32" or not shutil.which("bash"), reason="the script needs bash")

SCRIPT = Path(__file__).parents[2] / "docs" / "cluster" / "slurm.sh"
PROGRAMS = {
    "scontrol": """
case "$1 $2" in
"show hostnames") printf '%s\\n' $NODES ;;
"show job") echo "JobId=$4 JobState=$STATE PreemptTime=$PREEMPTED" ;;
*) echo "$2" >"$FOLDER/requeued" && kill -TERM "$SCRIPT_PID" ;;
esac""",
    "srun": 'while [[ $1 == -* ]]; do shift; done; [ "$1" = hostname ] && echo 127.0.0.1 || exec "$@"',
    "ray": 'if [ "$1" = status ]; then sed "s/.*/ 1 node_1/" "$FOLDER/started"; else exec $RAY "$@"; fi',
    "start": 'echo "$@" >>"$FOLDER/started"; sleep 5',
    "society": """
echo "$@" >"$FOLDER/called"
trap 'exit $STATUS' TERM
if [ -z "$SIGNAL" ]; then exit "$STATUS"; fi
kill -$SIGNAL "$SCRIPT_PID"
for n in {1..100}; do sleep 0.1; done
echo "was not stopped" >"$FOLDER/called" """,
}
"""Sources of programs in place of those that the script calls. The run signals the script and ends with a status."""


@dataclass(frozen=True)
class Job:
    """The end of a job: the status of the script, what it printed, and the files that the programs wrote."""

    status: int
    said: str
    folder: Path

    def read(self, name: str) -> str:
        """Return what a program wrote; "" if it was not called."""
        return (self.folder / name).read_text().strip() if (self.folder / name).exists() else ""


def submit(folder: Path, *arguments: str, **names: str) -> Job:
    for name, source in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/bash\n{source}\n")
        (folder / name).chmod(0o755)
    given = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n1", "NODES": "n1", "SLURMD_NODENAME": "n1", "STATUS": "0"}
    given |= {"STATE": "RUNNING", "PREEMPTED": "now", "SIGNAL": "", "RAY": "start", "FOLDER": str(folder)}
    given |= {"PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder)}
    own = f'export SCRIPT_PID=$$; exec bash {SCRIPT} "$@"'
    command = ["bash", "-c", own, "bash", "s.yaml", str(folder / "run"), *arguments]
    names = os.environ | given | names
    with (folder / "said").open("w") as said:  # a pipe would wait for the programs of Ray
        script = subprocess.Popen(command, env=names, stderr=said, start_new_session=True)
        status = script.wait(60)
        with suppress(ProcessLookupError):
            os.killpg(script.pid, 9)
    return Job(status, (folder / "said").read_text(), folder)


@pytest.mark.parametrize(
    ("status", "again"),
    [(0, False), (1, False), (2, False), (3, False), (4, True), (5, False), (129, True), (130, True), (143, True)],
)
@pytest.mark.parametrize("signal", ["USR1", ""])
def test_a_job_is_queued_again_if_its_run_can_go_on(tmp_path: Path, status: int, again: bool, signal: str) -> None:
    job = submit(tmp_path, STATUS=str(status), SIGNAL=signal)
    assert (job.status, job.read("requeued")) == ((-15, "7") if again else (status, ""))
    assert job.read("called") == f"run s.yaml --out {tmp_path}/run --grace 20"


def test_a_cancelled_job_is_not_queued_again(tmp_path: Path) -> None:
    job = submit(tmp_path, STATUS="143", STATE="COMPLETING")
    assert (job.status, job.read("requeued")) == (143, "")


def test_a_signal_at_once_is_a_wrong_time_limit(tmp_path: Path) -> None:
    job = submit(tmp_path, STATUS="143", SIGNAL="USR1", PREEMPTED="None")
    assert (job.status, job.read("requeued")) == (143, "")
    assert "less than ten seconds. Raise --time" in job.said


@pytest.mark.parametrize("file", ["store.sqlite", ".lock"])
def test_a_run_that_has_begun_is_resumed_and_further_arguments_reach_it(tmp_path: Path, file: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / file).touch()
    job = submit(tmp_path, "--set", "seed=3")
    assert job.read("called") == f"run s.yaml --resume --out {tmp_path}/run --grace 20 --set seed=3"


def test_a_task_of_an_array_runs_its_part_and_queues_only_itself_again(tmp_path: Path) -> None:
    array = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}
    array |= {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "2"}
    job = submit(tmp_path, "--seeds", "3", STATUS="143", **array)
    assert job.read("called") == f"sweep s.yaml --index 2 --of 3 --out {tmp_path}/run --grace 20 --seeds 3"
    assert job.read("requeued") == "7_2"
    gaps = submit(tmp_path, "--seeds", "3", **array | {"SLURM_ARRAY_TASK_MAX": "7"})
    assert gaps.status == 2
    assert "from 0 without gaps" in gaps.said


def test_the_run_joins_the_ray_of_the_nodes(tmp_path: Path) -> None:
    job = submit(tmp_path, NODES="n1 n2", SLURM_GPUS_ON_NODE="4", SLURM_CPUS_PER_TASK="8")
    assert job.status == 0
    shared = "--node-ip-address=127.0.0.1 --num-cpus=8 --num-gpus=4 --block"
    head, worker = job.read("started").splitlines()
    assert head == f"start --head --port=20007 --include-dashboard=false {shared}"
    assert worker == f"start --address=127.0.0.1:20007 {shared}"
    assert job.read("called") == f"run s.yaml --out {tmp_path}/run --grace 20 --set executor.address=127.0.0.1:20007"


def test_a_node_that_does_not_join_ends_the_job(tmp_path: Path) -> None:
    job = submit(tmp_path, NODES="n1 n2", RAY="false")
    assert (job.status, job.read("called"), job.read("requeued")) == (3, "", "")
    assert "The Ray process on n1 ended (1 of at most 1)." in job.said
    assert "A node did not join the Ray cluster" in job.said
