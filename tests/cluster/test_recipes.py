"""The recipes of docs/cluster for Kubernetes and containers: their fields, and what their commands run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "cluster"
POD = {
    "securityContext": {"runAsNonRoot", "runAsUser", "fsGroup"},
    "volumes": {"name", "persistentVolumeClaim"},
    "containers": {"name", "image", "env", "resources", "volumeMounts"},
}
"""Fields of a pod's specification that the manifest may have; Kubernetes drops unknown ones in silence."""
JOB = {"entrypoint", "submissionMode", "backoffLimit", "shutdownAfterJobFinishes", "rayClusterSpec"}
CLUSTER = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
GROUP = {"rayStartParams", "template", "groupName", "replicas", "minReplicas", "maxReplicas"}


@pytest.fixture(scope="module")
def job() -> Mapping[str, Any]:
    """Return the specification of the RayJob."""
    found = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text("utf-8"))
    assert (found["apiVersion"], found["kind"]) == ("ray.io/v1", "RayJob")
    return dict(found["spec"])


def test_the_ray_job_has_known_fields_alone(job: Mapping[str, Any]) -> None:
    cluster = job["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert set(job) <= JOB
    assert set(cluster) <= CLUSTER
    for group in groups:
        pod = group["template"]["spec"]
        assert set(group) <= GROUP
        assert set(pod) == set(POD)
        assert set(pod["securityContext"]) == POD["securityContext"]
        assert all(set(entry) <= POD[part] for part in ("volumes", "containers") for entry in pod[part])


def test_the_ray_job_has_the_versions_and_volumes_that_it_needs(job: Mapping[str, Any]) -> None:
    cluster = job["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert f"ray=={cluster['rayVersion']}\n" in (ROOT / "constraints.txt").read_text("utf-8")
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            # A worker writes checkpoints into the folder of the run, if it sees the folder.
            assert {"name": "runs", "mountPath": "/runs"} in container["volumeMounts"]
            assert container["resources"]["limits"] == container["resources"]["requests"]


@pytest.mark.skipif(sys.platform == "win32" or not shutil.which("bash"), reason="the command is for a shell")
@pytest.mark.parametrize("begun", [False, True])
def test_the_ray_job_resumes_a_run_that_has_begun(job: Mapping[str, Any], tmp_path: Path, begun: bool) -> None:
    """A shell of KubeRay passes the command to `ray job submit`, which quotes it for a shell of the head."""
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    if begun:
        (tmp_path / "runs" / "mine" / "store.sqlite").touch()
    (tmp_path / "society").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "society").chmod(0o755)
    entrypoint = job["entrypoint"].replace("/runs/", f"{tmp_path}/runs/")
    for quote in (shlex.join, subprocess.list2cmdline):
        outer = ["bash", "-c", f"printf '%s\\0' {entrypoint}"]
        arguments = subprocess.run(outer, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
        names = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(["sh", "-c", quote(arguments)], env=names, capture_output=True, text=True, check=True)
        called = done.stdout.split()
        assert called[:2] == ["run", f"{tmp_path}/runs/scenario.yaml"]
        assert "--grace 20" in " ".join(called)  # Kubernetes sends SIGKILL after 30 seconds
        assert called[-1] == ("--resume" if begun else "executor.address=auto")


def test_the_image_is_hashed_and_belongs_to_no_root() -> None:
    text = (FOLDER / "Dockerfile").read_text("utf-8")
    final = text[text.rindex("\nFROM ") :]
    assert re.search(r"(?m)^USER 1000$", final)
    assert "PIP_REQUIRE_HASHES=1 PIP_CONSTRAINT=/src/constraints-hashed.txt" in text
    extras = set(re.findall(r"EXTRAS=([\w,]+)", text + (FOLDER / "kubernetes.yaml").read_text("utf-8")))
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(re.search(rf"(?m)^{extra} = \[", project) for found in extras for extra in found.split(","))


def test_the_image_is_made_of_what_the_packages_need() -> None:
    kept = re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"))
    assert all((ROOT / name).exists() for name in kept)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    packages = re.findall(r'"(\w+)\*"', re.search(r"(?m)^include = \[.*\]$", project)[0])  # type: ignore[index]
    assert {*packages, "pyproject.toml", "README.md", "constraints-hashed.txt"} <= set(kept)
