"""The folder of a run: made, locked, checked to be this scenario's, and labelled with what produced it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from filelock import FileLock, Timeout
from pydantic import BaseModel

import society
from society.errors import RunFolderError
from society.identity import fingerprint, hash_path
from society.scenario.models import Scenario
from society.store import Store

STORE = "store.sqlite"
LOCK = ".lock"
_LIBRARIES = ("llama-cpp-python", "torch", "transformers", "peft", "networkx", "pydantic", "math-verify")


def find_store(folder: Path) -> Path:
    """The store of a run folder. Raises `RunFolderError` if there is none."""
    path = Path(folder) / STORE
    if not path.is_file():
        raise RunFolderError(f"{folder} holds no run (it has no {STORE}).", "Name the folder of a run.")
    return path


class RunFolder:
    """A run's folder while the run is under way; no second process can use it meanwhile."""

    def __init__(self, scenario: Scenario, out: Path | str | None, resume: bool) -> None:
        self._scenario = scenario
        self._resume = resume
        self.path = Path(out) if out is not None else _default(scenario.name, resume)
        self.store = self.path / STORE

    def __enter__(self) -> Self:
        """Raises `RunFolderError` if the folder is in use, not writable, or another scenario's."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.path / LOCK)
            self._lock.acquire(blocking=False)
        except Timeout:
            raise RunFolderError(
                f"Another process is running in {self.path}.", "Wait for it, or choose another --out."
            ) from None
        except OSError as error:
            raise RunFolderError(
                f"{self.path} cannot be written: {error}.", "Choose another folder with --out."
            ) from error
        try:
            self._check()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()
        if not self.store.exists():  # nothing came of it: leave nothing behind
            with suppress(OSError):
                (self.path / LOCK).unlink(missing_ok=True)
                self.path.rmdir()

    def record(self, store: Store, models: dict[str, str]) -> None:
        """Write into the store what the run is made of, and refuse models other than those it began with."""
        known = json.loads(store.meta().get("models", "{}"))
        for name, model_hash in models.items():
            if known.get(name, model_hash) != model_hash:
                raise RunFolderError(
                    f"The model of the backend {name!r} is not the one that the run in {self.path} began with: "
                    f"{_changed(known[name], model_hash)}.",
                    "Give it the same model, or start a new run with another --out.",
                )
        store.set_meta({
            "scenario": self._scenario.model_dump_json(exclude_unset=True),
            "fingerprint": fingerprint(defining(self._scenario)),
            "files": json.dumps(_contents(self._scenario)),
            "models": json.dumps(known | models),
            "versions": json.dumps(_versions()),
        })  # fmt: skip

    def _check(self) -> None:
        if not self.store.exists():
            return
        with Store(self.store, read_only=True) as store:
            meta = store.meta()
        if not meta.get("scenario"):
            return
        if meta["fingerprint"] != fingerprint(defining(self._scenario)):
            before = defining(Scenario.model_validate_json(meta["scenario"], context={"folders": [Path("/")]}))
            self._refuse(_difference(before, defining(self._scenario)))
        known = json.loads(meta.get("files", "{}"))
        changed = [where for where, contents in _contents(self._scenario).items() if known.get(where) != contents]
        if changed:
            self._refuse(f"the contents of {', '.join(changed)} are not those that it began with")
        if not self._resume:
            raise RunFolderError(
                f"{self.path} holds this scenario's run already.", "Go on with it by --resume, or choose another --out."
            )

    def _refuse(self, difference: str) -> NoReturn:
        raise RunFolderError(
            f"{self.path} holds a run of another scenario: {difference}.",
            "Choose another folder with --out, or run the scenario that it belongs to.",
        )


def defining(scenario: Scenario) -> dict[str, Any]:
    """The scenario as plain data without what only tunes speed: what two runs must share to be one.

    Files go by their names alone: a run may go on elsewhere, on files of the same contents.
    """
    return _plain(scenario)  # type: ignore[no-any-return]  # a model becomes a dict


def _contents(scenario: Scenario) -> dict[str, str]:
    """A hash of each file or folder that the scenario names, by its place in the scenario; "" where there is none."""
    found = {}
    for where, path in _paths(scenario):
        found[where] = hash_path(path) if path.is_file() or any(path.rglob("*")) else ""
    return found


def _paths(value: Any, where: str = "") -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield where, value
        return
    inner: Iterable[tuple[object, Any]] = ()
    if isinstance(value, BaseModel | dict):
        inner = value if isinstance(value, BaseModel) else value.items()
    elif isinstance(value, tuple | list):
        inner = enumerate(value)
    for key, item in inner:
        yield from _paths(item, f"{where}.{key}".lstrip("."))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {n: _plain(getattr(value, n)) for n, f in fields.items() if not _tuning(f.json_schema_extra)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.name if isinstance(value, Path) else value


def _tuning(extra: object) -> bool:
    return isinstance(extra, dict) and bool(extra.get("tuning"))


def _difference(before: Any, now: Any, where: str = "") -> str:
    """The first place where two plain data differ, in words."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *now]:
            if before.get(key) != now.get(key):
                return _difference(before.get(key), now.get(key), f"{where}.{key}".lstrip("."))
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, (b, n) in enumerate(zip(before, now, strict=True)):
            if b != n:
                return _difference(b, n, f"{where}.{i}")
    return f"{where} was {before!r:.80} and is {now!r:.80}"


def _changed(before: str, now: str) -> str:
    """Say which part of a model's hash differs: the model itself, or the options after it."""
    (old, _, was), (new, _, options) = before.partition("-"), now.partition("-")
    if old == new:
        return f"it ran as {was!r} and runs as {options!r}"
    return "its weights, configuration, tokenizer or chat template have changed"


def _default(name: str, resume: bool) -> Path:
    """runs/NAME, or with a number if that is taken; to resume, the latest of them."""
    names = (Path("runs") / (name if i == 1 else f"{name}-{i}") for i in count(1))
    free = next(i for i, path in enumerate(names, 1) if not path.exists())
    number = max(free - 1, 1) if resume else free
    return Path("runs") / (name if number == 1 else f"{name}-{number}")


def _versions() -> dict[str, str]:
    found = {"society": society.__version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
