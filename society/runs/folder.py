"""The folder of a run: created, locked, checked against the scenario, and labelled with models and versions."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import society
from society.components.plugin_files import loaded_plugins, require_current
from society.core.disks import advise, find_shared
from society.core.errors import InputError, RunFolderError, SocietyError, StoreError, WaitedTooLongError
from society.core.identity import fingerprint
from society.core.machine import read_versions
from society.core.plain import count
from society.core.types import Item
from society.runs.changes import describe_scenario, drop_begun, find_changes, keep_begun, read_begun
from society.runs.files import check_folder, count_forgotten, read_json
from society.runs.lease import Found, Holder
from society.runs.locking import LOCK, hold, wait_for
from society.runs.mirror import Mirror, open_mirror, salvage
from society.runs.places import FILES, STORE, has_begun
from society.runs.provenance import find_commits, find_licences, with_later
from society.scenario.models.scenario import Scenario
from society.store import Store

log = logging.getLogger(__name__)

EARLIER = "earlier"
"""Folder, in that of a run, of the stores from before its scenario was changed, each in a folder of its own."""
_STORE_FILES = (STORE, f"{STORE}-wal", f"{STORE}-shm", f"{STORE}-journal")
"""Names of the store's file and of those that SQLite keeps beside it."""


class RunFolder:
    """A run's folder while the run is under way; no second process can use it meanwhile."""

    def __init__(self, scenario: Scenario, out: Path | str | None, resume: bool, force: bool = False) -> None:
        """`force`: with `resume`, the run goes on with a changed scenario. Its store so far is put into `EARLIER`."""
        self._scenario = scenario
        self._resume = resume
        self._force = force
        self._numbered = out is None and not resume
        self.path = Path(out) if out is not None else _default(scenario.name, resume)
        self.store = self._kept = self.path / STORE
        """The store to write to. On a shared disk, `_kept` is only its copy."""
        self._seen: Found | None = None
        self._holder: Holder | None = None
        self._mirror: Mirror | None = None
        self._begun = False
        """Whether a run began in the folder before this call."""
        self._aside: Path | None = None
        """The folder of the store from before a change of the scenario; None without a change."""

    async def ready(self) -> Self:
        """Wait until no process of another machine can be working on the run. Raises `RunFolderError` if one does."""
        self._seen = await wait_for(self.path)
        return self

    def __enter__(self) -> Self:
        """Lock and check the folder.

        Raises `RunFolderError` if it is in use, cannot be written, belongs to another scenario, or has no run to
        continue. Raises `InputError` if a plugin file of the scenario was loaded again after the scenario was made, or
        if the folder is on a shared disk and this machine has no local one.
        """
        require_current(self._scenario)
        if self._force and not self._resume:
            raise InputError(
                "--force (Python: force=True) is for runs that go on.", "Add --resume (Python: resume=True)."
            )
        if self._resume and not has_begun(self.path):
            raise RunFolderError(
                f"{self.path} holds no run to continue.",
                "Name the folder of the run with --out (Python: `out`), or start a new run without --resume.",
            )
        with ExitStack() as stack:
            try:
                self._make()
                check_folder(self.path, FILES)
                self._begun = has_begun(self.path)
                stack.push(self._clean_up)
                self._holder = holder = stack.enter_context(hold(self.path, self._seen, runs=True))
                stack.callback(self._put_back)
                salvage(holder, self._kept)
                self._check()
                if not self._kept.exists():
                    keep_begun(self.path, self._scenario)
            except OSError as error:
                remedy = "Choose another folder with --out (Python: `out`)."
                if self._resume:
                    remedy = "Check its permissions, or that its disk is not read-only."
                raise RunFolderError(f"{self.path} cannot be written: {error}.", advise(error, remedy)) from error
            self._mirror = stack.enter_context(open_mirror(holder, self._kept))
            self.store = self._mirror.live if self._mirror else self._kept
            self._entered = stack.pop_all()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lost = self._find_loss() if exc is None or isinstance(exc, Exception) else None
        if lost is None:
            self._entered.__exit__(exc_type, exc, traceback)
            return
        self._begun = True  # what has the folder's name now is left alone
        with self._entered:
            raise lost from exc

    def _find_loss(self) -> StoreError | None:
        """Return the error of a folder that was moved or taken over: the cause of whatever failed in it afterwards."""
        try:
            self.holder.check()
        except StoreError as error:
            return error
        except OSError:  # the disk does not answer
            return None
        return None

    @property
    def holder(self) -> Holder:
        """The lease of the folder. The run must have been entered."""
        assert self._holder is not None
        return self._holder

    def _make(self) -> None:
        """Make the folder. Of several new runs that start at once without --out, each gets a number of its own."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while self._numbered:
            try:
                self.path.mkdir()
                return
            except FileExistsError:
                self.path = _default(self._scenario.name, resume=False)
                self.store = self._kept = self.path / STORE
        self.path.mkdir(exist_ok=True)

    def _clean_up(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave nothing behind if a new run did not start.

        After an interruption, and after waiting for a server, the folder stays, to be resumed.
        """
        if kind is not None and (not issubclass(kind, Exception) or issubclass(kind, WaitedTooLongError)):
            return
        if self._begun or self._kept.exists() or self.store.exists():
            return
        with suppress(OSError):
            if self._holder is not None:
                self._holder.remove()
                drop_begun(self.path)
                (self.path / LOCK).unlink(missing_ok=True)
            self.path.rmdir()

    def _put_back(self) -> None:
        """Put the store back in its place if the run did not start with its changed scenario."""
        if self._aside is None or self._kept.exists() or self.store.exists():
            return
        drop_begun(self.path)
        for name in _STORE_FILES:
            if (self._aside / name).exists():
                (self._aside / name).rename(self.path / name)
        self._aside.rmdir()
        with suppress(OSError):  # it holds earlier stores
            self._aside.parent.rmdir()

    def report_progress(self, last: Callable[[], float], stop: Callable[[SocietyError], object]) -> None:
        """Let others see when the run last made progress, which `last` returns by the clock `time.monotonic`.

        `stop` is called by the running event loop if the folder was removed, or if another process has taken it over.
        """
        if self._holder is not None:
            self._holder.last_progress = last
            loop = asyncio.get_running_loop()
            self._holder.on_loss = lambda error: loop.call_soon_threadsafe(stop, error)

    def copy_soon(self) -> None:
        """Copy the store to a shared disk within moments, as something that took long was stored."""
        if self._mirror is not None:
            self._mirror.copy_soon()

    def bring_near(self, store: Path) -> Path:
        """Return another run's store, whose turns are reused: a local copy of one on a shared disk."""
        return self._mirror.fetch(store) if self._mirror is not None and find_shared(store) else store

    def earlier(self) -> list[Path]:
        """Return the stores from before the run's scenario was changed, the newest first.

        Raises `RunFolderError` if a part of their path is a link.
        """
        if not (self.path / EARLIER).exists():
            return []
        if (self.path / EARLIER).is_symlink():
            raise RunFolderError(f"{self.path / EARLIER} is a link.", "Remove it, and copy the folder here.")
        folders = sorted((self.path / EARLIER).iterdir(), key=lambda path: (len(path.name), path.name), reverse=True)
        for folder in folders:
            if folder.is_symlink():
                raise RunFolderError(f"{folder} is a link.", "Remove it, and copy the folder here.")
            check_folder(folder, FILES)
        return [folder / STORE for folder in folders if (folder / STORE).is_file()]

    def stores(self) -> list[Path]:
        """Return the store to write to, which may not exist yet, and the earlier ones."""
        return [self.store, *self.earlier()]

    def record(
        self, store: Store, models: dict[str, str], items: Sequence[Item], more: Mapping[str, str] | None = None
    ) -> None:
        """Store the run's definition, and refuse other models and questions than those of its start.

        The library versions of the start are kept; the versions of later calls are listed beside them. `more`: further
        facts, stored in the same transaction.
        """
        meta = store.meta()
        known = read_json(meta, "models")
        for name, model_hash in models.items():
            if known.get(name, model_hash) != model_hash:
                raise RunFolderError(
                    f"The model of the backend {name!r} is not the one that the run in {self.path} began with: "
                    f"{_changed(known[name], model_hash)}{_describe_age(meta)}.",
                    "Give it the same model and options, or start a new run with another --out (Python: `out`).",
                )
        asked = fingerprint([[item.id, item.question, item.choices] for item in items])
        if meta.get("questions", asked) != asked:
            raise RunFolderError(
                f"The questions are not those that the run in {self.path} began with: another version of society, or "
                "of the library that the task takes them from, gives others.",
                "Install the versions that the run began with (its store's meta table names them), or start a new run "
                "with another --out (Python: `out`).",
            )
        now = read_versions()
        plugins = {file.path.name: file.hash for file in loaded_plugins()}
        store.set_meta(
            {
                **describe_scenario(self._scenario),
                "models": json.dumps(known | models),
                "commits": json.dumps(find_commits(self._scenario) | read_json(meta, "commits")),
                "licences": meta.get("licences") or json.dumps(find_licences(self._scenario)),
                "plugins": json.dumps(plugins | read_json(meta, "plugins")),
                "later_plugins": json.dumps(with_later(meta, "plugins", plugins)),
                "questions": asked,
                "versions": json.dumps(read_json(meta, "versions") or now),
                "later_versions": json.dumps(with_later(meta, "versions", now)),
                **(more or {}),
            }
        )
        drop_begun(self.path)
        self.copy_soon()

    def _check(self) -> None:
        if not self._kept.exists():
            if self._resume and not self._force:
                self._check_begun()
            return
        with Store(self._kept, read_only=True) as store:
            store.require_resumable()
            meta = store.meta()
        if not meta.get("scenario"):
            return
        if deleted := count_forgotten(meta):
            raise RunFolderError(
                f"{self.path} cannot be resumed: {count(deleted, 'question')} was deleted, and would be asked again.",
                "Remove the question from the task, then start a new run with --reuse (Python: the argument reuse).",
            )
        self._check_plugins(read_json(meta, "plugins"))
        changes = find_changes(self._scenario, meta)
        if changes and self._force:
            self._set_aside(changes)
            return
        if changes:
            self._refuse(changes)
        if not self._resume:
            raise RunFolderError(
                f"{self.path} holds this scenario's run already.",
                "Continue it with --resume (Python: resume=True), or choose another --out.",
            )

    def _check_begun(self) -> None:
        """Refuse to go on with another scenario than that of a run that ended while its models were being loaded."""
        begun = read_begun(self.path)
        if begun is None:
            log.warning(
                "%s says nothing of its scenario, as it stored nothing: the run begins with this one.", self.path
            )
        elif changes := find_changes(self._scenario, begun):
            self._refuse(changes)

    def _set_aside(self, changes: str) -> None:
        """Move the store into a new folder of `EARLIER`. The run then begins anew and reuses its replies."""
        with Store(self._kept, read_only=True) as store:
            if any(row.hash for row in store.adapters()):
                raise RunFolderError(
                    f"The run in {self.path} has trained adapters, which belong to its scenario: {changes}.",
                    "Start a new run with another --out and --reuse (Python: the arguments out and reuse).",
                )
        taken = [int(path.name) for path in self.path.glob(f"{EARLIER}/*") if path.name.isdecimal()]
        place = self.path / EARLIER / str(max(taken, default=0) + 1)
        place.mkdir(parents=True)
        self._aside = place
        for name in reversed(_STORE_FILES):
            if (self.path / name).exists():
                (self.path / name).rename(place / name)
        log.warning("The scenario has changed: %s. Equal turns are kept, the others are made again.", changes)

    def _check_plugins(self, known: Mapping[str, str]) -> None:
        """Refuse a run whose plugin files are not loaded; warn of files that have changed. `known`: hashes by name."""
        now = {file.path.name: file.hash for file in loaded_plugins()}
        for name, digest in known.items():
            if name not in now:
                raise RunFolderError(
                    f"The run in {self.path} was made with the plugin file {name}, which is not loaded.",
                    f"Add --plugins {name} (Python: load_plugins), with the path of the file.",
                )
            if now[name] != digest:
                log.warning("%s has changed since the run began: its code is applied to all debates anew.", name)

    def _refuse(self, difference: str) -> NoReturn:
        more = ""
        if self._resume:
            more = (
                ", or go on with the changed scenario with --force (Python: force=True): turns with the same prompt "
                "and settings are kept, the others are made again"
            )
        raise RunFolderError(
            f"{self.path} holds a run of another scenario: {difference}.",
            f"Choose another folder with --out (Python: `out`), or run the scenario that it belongs to{more}.",
        )


def _changed(before: str, now: str) -> str:
    """Return in words which part of a model's hash differs: the model, or the options after it."""
    (old, _, was), (new, _, options) = before.partition("-"), now.partition("-")
    if old == new:
        return f"it ran as {was!r} and runs as {options!r}"
    return "its weights, configuration, tokenizer or chat template have changed"


def _describe_age(meta: Mapping[str, str]) -> str:
    """Return that another version of society began a run, as versions may differ in what they count as the model."""
    began = read_json(meta, "versions").get("society", society.__version__)
    return "" if began == society.__version__ else f", or society {began}, with which it began, names it otherwise"


def _default(name: str, resume: bool) -> Path:
    """Return runs/NAME, with a number if that is taken; to resume, the latest of these."""
    names = (Path("runs") / (name if i == 1 else f"{name}-{i}") for i in itertools.count(1))
    free = next(i for i, path in enumerate(names, 1) if not os.path.lexists(path))
    number = max(free - 1, 1) if resume else free
    return Path("runs") / (name if number == 1 else f"{name}-{number}")
