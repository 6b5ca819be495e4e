"""The Ray executor on a local cluster of two nodes: the results of one process, also when workers and nodes die."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from society.core.errors import BackendError, ContextOverflowError, InputError, MissingExtraError, ScenarioError
from society.core.machine import read_process, read_versions
from society.core.types import Turn
from society.executors.cluster import Placement, Ray, check_all, check_one
from society.executors.file_transfer import Chunk, ChunkReceiver, Digest, read_chunks
from society.runner.sweep import sweep
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from society.watcher import Watcher
from tests.backends.hf.tiny import make_model, one_thread
from tests.conftest import rows
from tests.processes import descendants

# Ray would find out this machine's outward address and use that; read when it is imported, here and in its processes.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray

# Ray's own: sockets and files that its processes leave to the interpreter's end, and what it plans to change.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),
]

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 30}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.6, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: 4}}
phases: [{name: debate, topology: complete, rounds: 3}]
"""
ON_RAY = "executor={kind: ray, address: auto, generate: {replicas: 2, cpus: 0.5}, train: {cpus: 1}, trainings: 2}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yield a cluster of a head without CPUs and a node for workers, which this process has joined."""
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # short, because paths of sockets are limited
    (folder / "ray").mkdir()
    patch.setenv("RAY_TMPDIR", str(folder))
    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "node_ip_address": "127.0.0.1",
            "include_dashboard": False,
            "object_store_memory": 80 << 20,
        },
    )
    made.add_node(num_cpus=2, node_ip_address="127.0.0.1", object_store_memory=80 << 20)
    ray.init(address=made.address, log_to_driver=False, configure_logging=False, _node_ip_address="127.0.0.1")
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()
    patch.undo()
    shutil.rmtree(folder, ignore_errors=True)


class Disaster(Watcher):
    """Runs a function after a number of committed turns, and counts the events of each turn."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.at, self.act = at, act
        self.seen: list[Any] = []

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.seen.append(turn.id)
        if len(self.seen) == self.at:
            self.act()


def find_workers(name: str) -> list[int]:
    """Return the process ids of the cluster's workers that run this function or class."""
    return [pid for pid, line in descendants(os.getpid()).items() if line.startswith(f"ray::{name}")]


def kill_workers() -> None:
    """Kill the cluster's workers that hold a model."""
    workers = find_workers("Replica")
    assert workers
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


def untimed(done: Run) -> list[dict[str, Any]]:
    return rows(done)


@pytest.fixture
def here(scenario: Callable[..., Scenario], tmp_path: Path) -> Run:
    """Run the scenario in one process."""
    return run(scenario(TEXT), tmp_path / "here")


def test_results_are_those_of_one_process(cluster, scenario, here, tmp_path):
    there = run(scenario(TEXT, ON_RAY), tmp_path / "there")
    assert untimed(there) == untimed(here)
    assert len([turn.id for turn in there.turns()]) == 30 * 4 * 3
    assert [session.workers for session in here.sessions()] == [""]
    assert [session.workers for session in there.sessions()] == [read_process().describe(read_versions())]


def test_no_turn_is_lost_or_doubled_when_workers_die(cluster, scenario, here, tmp_path):
    disaster = Disaster(60, kill_workers)
    there = run(scenario(TEXT, ON_RAY, "concurrency=4"), tmp_path / "there", watcher=disaster)
    assert untimed(there) == untimed(here)
    assert len(disaster.seen) == len(set(disaster.seen)) == 30 * 4 * 3


def test_no_turn_is_lost_or_doubled_when_a_node_dies(cluster, scenario, here, tmp_path):
    extra = cluster.add_node(num_cpus=2, node_ip_address="127.0.0.1", object_store_memory=80 << 20)
    cluster.wait_for_nodes()
    disaster = Disaster(60, lambda: cluster.remove_node(extra, allow_graceful=False))
    there = run(scenario(TEXT, ON_RAY, "concurrency=4"), tmp_path / "there", watcher=disaster)
    assert untimed(there) == untimed(here)
    assert len(disaster.seen) == len(set(disaster.seen))


def test_a_local_run_is_resumed_on_a_cluster(cluster, scenario, here, tmp_path):
    """The executor is not a part of a turn's key."""
    done = run(scenario(TEXT, ON_RAY), here.folder, resume=True)
    assert done.folder == here.folder


def test_runs_of_a_sweep_run_concurrently(cluster, scenario, tmp_path, monkeypatch):
    from society.executors import pool as module

    pools, real = [], module.Pool
    monkeypatch.setattr(module, "Pool", lambda *options: pools.append(real(*options)) or pools[-1])
    scenario(TEXT)
    vary = ["phases.debate.topology=complete,ring,chain"]
    there = sweep(tmp_path / "scenario.yaml", vary, tmp_path / "there", [ON_RAY])
    for variant in there:
        alone = run(
            variant.run.scenario.model_copy(update={"executor": scenario(TEXT).executor}),
            tmp_path / "alone" / variant.run.folder.name,
        )
        assert [{**r, "reused": 0} for r in rows(alone)] == [{**r, "reused": 0} for r in rows(variant.run)]
    assert [variant.run.count_reused() > 0 for variant in there] == [False, True, True]
    assert there[1].run.count_reused() >= 30 * 4
    assert len(pools) == 1  # the runs share the weights


def test_errors_of_a_backend_arrive_unchanged(cluster, scenario):
    from society.core.types import ChatMessage, GenerateRequest, Sampling

    loaded = scenario(TEXT, ON_RAY, "backends.scripted.context=5")

    async def ask() -> None:
        async with loaded.executor.open() as executor, executor.backend("scripted", loaded.backends["scripted"]) as b:
            assert b.tokenizer is not None
            assert b.tokenizer.count([ChatMessage("user", "one two three")]) == 3
            assert b.likelihood is None
            with pytest.raises(ContextOverflowError) as caught:
                await b.generate(GenerateRequest((ChatMessage("user", "one two three"),), Sampling(max_tokens=9), 1))
            assert (caught.value.prompt, caught.value.answer, caught.value.context) == (3, 9, 5)
            with pytest.raises(BackendError, match="No adapter abc is loaded"):
                await b.generate(GenerateRequest((ChatMessage("user", "one"),), Sampling(max_tokens=1), 1, "abc"))

    asyncio.run(ask())


def test_a_cluster_without_the_demanded_gpus(cluster, scenario, tmp_path):
    loaded = scenario(TEXT, "executor={kind: ray, address: auto, generate: {gpus: 1}}")
    with pytest.raises(InputError, match=r"1 GPU, 1 CPU for a replica .* no machine .* 2 CPU, 0 GPU") as caught:
        run(loaded, tmp_path / "run")
    assert "num-gpus" in caught.value.remedy
    assert not (tmp_path / "run").exists()


def test_more_replicas_than_fit(cluster, scenario, tmp_path):
    with pytest.raises(InputError, match=r"need 99 CPU, but the Ray cluster has \d CPU"):
        run(scenario(TEXT, "executor={kind: ray, address: auto, generate: {replicas: 99}}"), tmp_path / "run")


def test_an_unused_backend(cluster, scenario, tmp_path):
    with pytest.raises(InputError, match="names 'other'"):
        run(scenario(TEXT, "executor={kind: ray, address: auto, backends: {other: {}}}"), tmp_path / "run")


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "no-such-host.invalid:6379", "127.0.0.1:99999"])
def test_no_cluster_at_the_address(scenario, tmp_path, address):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # but no server listens
        there = address.format(port=free.getsockname()[1])
        with pytest.raises(InputError, match=f"Cannot join a Ray cluster at executor.address '{there}'") as caught:
            run(scenario(TEXT, f"executor={{kind: ray, address: '{there}'}}"), tmp_path / "run")
    assert "ray start --head" in caught.value.remedy
    assert not (tmp_path / "run").exists()


# Training

COLOURS = """
version: 1
name: colours
task: {{kind: jsonl, path: colours.jsonl, limit: 2, answer: {{extract: [text], equal: exact}}}}
backends: {{tiny: {{kind: hf, model: "{model}", device: cpu, dtype: float32, context: 200}}}}
roles: {{painter: {{prompt: "{{{{ question }}}}", choices: [red, green, blue]}}}}
agents: {{painter: {{count: 2}}}}
phases: [{{name: propose}}]
train:
  questions: 6
  learners: {{painters: {{phases: [propose], select: all}}}}
  settings: {{rank: 4, batch_size: 2, accumulation: 2, epochs: 60, learning_rate: 0.0005, precision: float32}}
"""


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colours")
    with one_thread():
        model = make_model(folder / "tiny")
    lines = (json.dumps({"question": f"the cat {n} is", "answer": "red"}) for n in ("one", "two", "three", "four") * 2)
    questions = [json.loads(line) for line in lines]
    for i, question in enumerate(questions):
        question["question"] += " so" * i
    (folder / "colours.jsonl").write_text("\n".join(map(json.dumps, questions)))
    (folder / "colours.yaml").write_text(COLOURS.format(model=model))
    return folder / "colours.yaml"


class KillOnce(Watcher):
    """Kills a finetuning once, at the first step whose worker has not ended when the step is reported."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int]] = []
        self.killed = False

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        self.steps.append((agent, step))
        if not self.killed and (workers := find_workers("finetune")):
            os.kill(workers[0], signal.SIGKILL)
            self.killed = True


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_finetunings_as_tasks_one_of_them_killed(colours, tmp_path):
    from society.scenario import load_scenario

    with one_thread():
        here = run(load_scenario(colours), tmp_path / "here")
    watcher = KillOnce()
    small = "executor={kind: ray, address: auto, generate: {cpus: 1}, train: {cpus: 1}, trainings: 2}"
    there = run(load_scenario(colours, [small]), tmp_path / "there", watcher=watcher)
    assert (
        [row.agent for row in there.adapters()] == [row.agent for row in here.adapters()] == ["painter-1", "painter-2"]
    )
    for a, b in zip(there.adapters(), here.adapters(), strict=True):
        assert a.losses == pytest.approx(b.losses, abs=1e-4)
        assert a.base == b.base
        assert (there.folder / a.path / "adapter_config.json").exists()
    assert watcher.killed
    assert len(watcher.steps) > sum(len(row.losses) for row in there.adapters())  # one started again
    spoken = {turn.adapter for turn in there.turns() if turn.id.iteration == 1}
    assert spoken == {row.hash for row in there.adapters()}
    with sqlite3.connect(there.folder / "store.sqlite") as db:
        assert db.execute("SELECT COUNT(*) FROM adapters").fetchone() == (2,)
    db.close()
    assert not list(there.folder.rglob("*.part"))


# Without a cluster


def test_names_and_fractions_are_checked(scenario):
    with pytest.raises(ScenarioError, match="whole"):
        scenario(TEXT, "executor={kind: ray, generate: {gpus: 1.5}}")
    with pytest.raises(ScenarioError, match="did you mean 'ray'"):
        scenario(TEXT, "executor={kind: rai}")


def test_without_ray(scenario, monkeypatch):
    monkeypatch.setattr("society.executors.cluster.importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"society-of-models\[ray\]"):
        Ray().open()


def test_demands_are_compared_with_machines():
    machines = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 2.0}]
    check_one("it", {"GPU": 2}, machines)
    check_all({"GPU": 4}, machines)
    with pytest.raises(InputError, match="no machine"):
        check_one("it", {"GPU": 4}, machines)
    with pytest.raises(InputError, match="need 5 GPU, but the Ray cluster has 4 GPU"):
        check_all({"GPU": 5}, machines)
    assert Placement(gpus=2, resources={"big": 1}).demand() == {"GPU": 2, "CPU": 1, "big": 1}


def test_files_arrive_complete_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("society.executors.file_transfer.CHUNK_SIZE", 5)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"0123456789abc")
    (tmp_path / "a" / "empty").write_bytes(b"")
    digest = Digest()
    chunks = list(digest.hash_each(read_chunks(tmp_path / "a")))
    assert [len(chunk.data) for chunk in chunks] == [5, 5, 3, 0]
    place = ChunkReceiver(tmp_path / "target")
    for chunk in chunks:
        place.add(chunk)
    assert not (tmp_path / "target").exists()
    arrived = place.finish(digest.value)
    assert (arrived / "b" / "c").read_bytes() == b"0123456789abc"
    assert (arrived / "empty").exists()
    damaged = ChunkReceiver(tmp_path / "damaged")
    for chunk in chunks[:-1]:
        damaged.add(chunk)
    with pytest.raises(BackendError, match="damaged in transit"):
        damaged.finish(digest.value)
    damaged.discard()
    assert not list(tmp_path.glob("damaged*"))
    for name in ("/etc/x", "../x", "a/../../x"):
        with pytest.raises(BackendError, match="one folder"):
            damaged.add(Chunk(name, b""))


@pytest.mark.slow
def test_errors_can_be_pickled():
    import pickle

    from society.core.errors import TransientError
    from society.core.pip_command import pip

    overflow = pickle.loads(pickle.dumps(ContextOverflowError(3, 9, 5)))
    assert (type(overflow), overflow.prompt, str(overflow)) == (
        ContextOverflowError,
        3,
        str(ContextOverflowError(3, 9, 5)),
    )
    missing = pickle.loads(pickle.dumps(MissingExtraError("It", "ray", "ray")))
    assert (missing.cause, missing.remedy) == (
        MissingExtraError("It", "ray", "ray").cause,
        pip("install 'society-of-models[ray]'"),
    )
    assert pickle.loads(pickle.dumps(TransientError("busy"))).cause == "busy"
