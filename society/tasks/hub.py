"""Data sets of the Hugging Face hub: their files, from the local cache or downloaded. No code of a data set runs.

A copy in the cache is used without asking the hub. `HF_HOME`, `HF_HUB_CACHE` and `HF_HUB_OFFLINE` are honoured.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from society.core.errors import InputError, MissingExtraError
from society.core.hub_cache import find_snapshot, hub_cache, is_offline
from society.core.paths import HUB
from society.tasks.data_files import Wanted, choose_files, list_files

log = logging.getLogger(__name__)

CONVERTED = "refs/convert/parquet"
"""Branch of a data set with Parquet files that the hub itself writes, even where the data set is a script."""
TIMEOUT = 10.0
"""Seconds to wait for the hub's first reply."""
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})(?=\D)")


def cached_files(name: str, wanted: Wanted, revision: str | None) -> list[Path]:
    """Return the files of a data set in the local cache; none where it is not there, or not whole.

    Raises `InputError` where the cached files do not have the wanted configuration or split.
    """
    for branch in _branches(revision):
        snapshot = find_snapshot(name, branch)
        files = list_files(snapshot) if snapshot else []
        chosen = choose_files(files, wanted, name) if files else []
        if snapshot and chosen and _is_whole(chosen):
            return [snapshot / file for file in chosen]
    return []


def fetch_files(name: str, wanted: Wanted, revision: str | None) -> list[Path]:
    """Return the files of a data set, after a download if they are not in the local cache.

    Raises `InputError` for an unknown or closed data set, or without a network, and `MissingExtraError` without
    huggingface-hub.
    """
    try:
        found = cached_files(name, wanted, revision)
    except InputError:  # the cache may hold another configuration or split alone
        if is_offline():
            raise
        found = []
    if found:
        return found
    if is_offline():
        raise _absent(name, revision, "HF_HUB_OFFLINE is set")
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError:
        raise MissingExtraError(f"The data set {HUB}{name}", "huggingface-hub", "tables") from None
    try:
        api = HfApi()
        branch, files = _list_remote(api, name, wanted, revision)
        log.info("downloading %s files of %s%s", len(files), HUB, name)
        folder = snapshot_download(
            name,
            repo_type="dataset",
            revision=branch,
            allow_patterns=list(files),
            cache_dir=hub_cache(),
            endpoint=api.endpoint,
        )
    except InputError:
        raise
    except Exception as error:  # the hub client raises its own, its HTTP library's and OS errors
        raise _explain(name, revision, error) from error
    return [Path(folder) / file for file in files]


def _list_remote(api: Any, name: str, wanted: Wanted, revision: str | None) -> tuple[str, Sequence[str]]:
    """Return the branch of the hub that has the wanted files, and their names."""
    for branch in _branches(revision):
        info = api.dataset_info(name, revision=branch, timeout=TIMEOUT)
        files = list_files([entry.rfilename for entry in info.siblings or ()])
        if files:
            return branch, choose_files(files, wanted, name)
    raise InputError(
        f"{HUB}{name}: has no CSV, JSON or Parquet files, and code of a data set is never run.",
        "Download it by other means, save it as JSONL, and give the path of the file.",
    )


def describe_source(source: str, revision: str | None) -> str:
    """Return the name of a data set, with its revision if one is asked for."""
    return f"{source} at the revision {revision!r}" if revision else source


def _branches(revision: str | None) -> Sequence[str]:
    return (revision,) if revision else ("main", CONVERTED)


def _is_whole(files: Sequence[str]) -> bool:
    """Return whether no part of a file in numbered parts is missing."""
    parts = [(_SHARD.sub("", file), int(match[2])) for file in files if (match := _SHARD.search(file))]
    return all(sum(name == other for other, _ in parts) == count for name, count in parts)


def _absent(name: str, revision: str | None, reason: str) -> InputError:
    option = f" --revision {revision}" if revision else ""
    return InputError(
        f"The data set {describe_source(HUB + name, revision)} is not in the local cache and cannot be downloaded: "
        f"{reason}.",
        f"Where there is a network, run: hf download --repo-type dataset {name}{option}. "
        "Or give the path of a local copy as `task.path`.",
        ("path",),
    )


def _explain(name: str, revision: str | None, error: Exception) -> InputError:
    """Return the error for a data set that the hub does not give."""
    kinds = {cls.__name__ for cls in type(error).__mro__}
    if "GatedRepoError" in kinds:
        return InputError(
            f"The data set {HUB}{name} is open only to users who have accepted its terms.",
            f"Accept them on its page (https://huggingface.co/datasets/{name}), then run: hf auth login",
        )
    if "RevisionNotFoundError" in kinds:
        return InputError(
            f"The data set {HUB}{name} has no revision {revision!r}.", "Correct `task.revision`.", ("revision",)
        )
    if "RepositoryNotFoundError" in kinds or "HFValidationError" in kinds:
        return InputError(
            f"The hub has no data set {name!r}, or it is private.",
            "Write hub:OWNER/NAME. Private ones need: hf auth login",
        )
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return _absent(name, revision, reason.rstrip("."))
