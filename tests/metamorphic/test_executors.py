"""On a cluster, a society says what it says in one process, and either goes on with the other's run."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from hypothesis import strategies as st

from society.session import run
from tests.cluster.test_ray import ON_RAY, cluster, pytestmark  # noqa: F401 - a fixture, and what Ray leaves behind
from tests.metamorphic.relation import relation
from tests.metamorphic.runs import Spec, differences, load, workplace
from tests.metamorphic.worlds import worlds


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@relation(3, spec=worlds(), concurrency=st.integers(1, 4))
def test_a_cluster_changes_nothing(spec: Spec, concurrency: int) -> None:
    with workplace() as folder:
        here, there = load(spec, folder, "concurrency=1"), load(spec, folder, ON_RAY, f"concurrency={concurrency}")
        one = run(here, folder / "one")
        other: Any = run(there, folder / "other")
        assert not differences(one, other)
        shutil.copytree(folder / "one", folder / "moved")
        assert not differences(one, run(there, folder / "moved", resume=True))
