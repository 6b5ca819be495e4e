"""The job script for Slurm, with programs in place of Slurm, Ray and the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32" or not shutil.which("bash"), reason="the script needs bash")

SLURM = {
    "scontrol": 'if [ "$1" = requeue ]; then touch "$REQUEUED"; else echo node-1; fi',
    "srun": "case $* in *hostname*) echo 127.0.0.1 ;; esac",
    "ray": 'echo " 1 node_1"',
    "openssl": "echo token",
    "society": "trap 'exit $STATUS' TERM; sleep 0.5; kill -USR1 $PPID; for n in {1..200}; do sleep 0.1; done",
}
"""Sources of programs in place of those that the job script calls. The run ends with a status after the signal."""


@pytest.mark.parametrize(("status", "again"), [(0, False), (2, False), (3, False), (4, True), (5, False), (143, True)])
def test_a_job_near_its_time_limit_is_queued_again_unless_that_helps_nothing(
    tmp_path: Path, status: int, again: bool
) -> None:
    for name, source in SLURM.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{source}\n")
        (tmp_path / name).chmod(0o755)
    script = Path(__file__).parents[2] / "docs" / "cluster" / "slurm.sh"
    names = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node-1", "SLURM_CPUS_PER_TASK": "1"}
    names |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "STATUS": str(status), "REQUEUED": str(tmp_path / "requeued")}
    done = subprocess.run(
        ["bash", str(script), "s.yaml", str(tmp_path / "run")], env=os.environ | names, check=False, timeout=60
    )
    assert (done.returncode, (tmp_path / "requeued").exists()) == (status, again)
