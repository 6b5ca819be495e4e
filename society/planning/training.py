"""The finetunings of a scenario in `society plan`: tokens, memory and time on 1, 4 and 8 GPUs, and the command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from backends.training import Parallel, TrainSettings
from society.core.errors import InputError
from society.planning.footprint import HBM, estimate, g, gb, generation_memory, opened_memory
from society.planning.sizes import KNOWN, ModelSizes, has_experts, read_sizes
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.training.learners import learners

if TYPE_CHECKING:
    from backends.base import BackendConfig
    from society.planning.dry_run import PlannedTurn
    from society.scenario.expand import Society

GPUS = (1, 4, 8)


def launch_command(processes: int, accumulation: int) -> tuple[str, ...]:
    """Return the commands that start such a finetuning: by the run, and with the same processes by hand.

    The processes share the batches of a step, so `accumulation` is rounded up to a multiple of them.
    """
    shared = -(-accumulation // processes) * processes
    more = "" if shared == accumulation else f" --set train.settings.accumulation={shared}"
    return (
        f"society run SCENARIO --set 'train.parallel={{kind: fsdp, processes: {processes}}}'{more}",
        f"  which starts {processes} x `python -m backends.hf.sharded FOLDER`; by hand, with the same folder: "
        f"accelerate launch --multi_gpu --num_processes {processes} --num_machines 1 --mixed_precision no "
        "--dynamo_backend no -m backends.hf.sharded FOLDER",
    )


def describe_training(society: Society, worst: Sequence[PlannedTurn], memory: float = HBM) -> list[str]:
    """Return lines about the maximum footprint of each learner's finetuning on 1, 4 and 8 GPUs, and its commands.

    `memory`: bytes of a GPU. There are no lines for a model whose configuration is not on this machine, and no
    commands if a run would refuse the finetuning of some learner.
    """
    spec = society.scenario.train
    if spec is None:
        return []
    lines: list[str] = []
    processes = spec.parallel.processes if spec.parallel else GPUS[-1]
    refused: list[bool] = []
    for name, learner in spec.learners.items():
        turns = [turn for turn in worst if turn.phase in learner.phases]
        backend = society.scenario.backends[turns[0].backend] if turns else None
        config = backend.read_config() if backend else None
        if not config or backend is None:
            continue
        sizes = read_sizes(config)
        if sizes is None:
            kind = f"{config.get('model_type')}{' with experts' * has_experts(config)}"
            lines.append(f"Finetuning {name!r}: no estimate of memory for models of the kind {kind}. {KNOWN}")
            continue
        if sizes.heads % max(backend.generating_gpus, 1):
            lines.append(f"Finetuning {name!r}: `gpus` cannot share {sizes.heads} attention heads evenly.")
            continue
        longest = max(turn.prompt + turn.answer for turn in worst if turn.backend == turns[0].backend)
        cached = backend.cached_tokens(society.scenario.concurrency * len(society.agents), longest)
        lines += _describe(society, spec, name, turns, sizes, backend, memory, cached)
        refused.append(bool(_refusal(backend, spec, learner, processes)))
    works = bool(refused) and not any(refused)
    return [*lines, *(launch_command(processes, spec.settings.accumulation) if works else ())]


def _describe(
    society: Society,
    spec: TrainSpec,
    name: str,
    turns: Sequence[PlannedTurn],
    sizes: ModelSizes,
    backend: BackendConfig,
    memory: float,
    cached: int,
) -> Iterator[str]:
    """Yield the lines about one learner's finetuning. `cached`: maximum tokens in the KV cache."""
    learner = spec.learners[name]
    longest = min(max(turn.prompt + turn.answer for turn in turns), spec.settings.max_length)
    learned = max(turn.answer for turn in turns)
    sources = max(len(one.sources) for one in learners(society, spec) if one.name == name)
    size, tokens = most_tokens(learner, spec, spec.questions * society.scenario.samples, sources, longest)
    yield (
        f"Finetuning {name!r} once ({spec.settings.method}), at most: {size} x "
        f"{spec.settings.epochs} epochs = {tokens:,} tokens; computed for {_gpus(memory)}:"
    )
    base, generating = backend.weight_bytes(), backend.generating_gpus
    if parts := _describe_parts(sizes):
        yield f"  parameters  {g(sizes.parameters)}, {parts}"
    for gpus in GPUS:
        many = f"{gpus} GPU{'s' if gpus > 1 else ''}"
        if refusal := _refusal(backend, spec, learner, gpus):
            yield f"  {many}: refused. {refusal}"
            continue
        found = estimate(sizes, spec.settings, tokens, gpus, longest, learned, memory, base, cached, generating)
        uneven = gpus > 1 and spec.settings.accumulation % gpus
        needs = f", with `accumulation` as a multiple of {gpus}" if uneven else ""
        where = (
            f"on {'one' if generating == 1 else f'each of {generating}'} to generate, {gb(found.total)} each to train"
        )
        where = "each" if found.total >= found.generation else where
        yield f"  {many}: {gb(found.most)} {where}, {'fits' if found.fits else 'does not fit'}{needs}"
        if found.opened >= 0.9 * memory:
            yield f"    {_held(generating, gb(found.opened))}"
        elif found.generation >= 0.9 * memory:
            yield "    Its KV cache is too large: lower `batch` or `cache_tokens` of the backend."
        elif not found.fits and found.most < memory:
            yield "    A tenth of a GPU's memory is kept as a reserve."
        yield from (f"    {line}" for line in found.lines)
    if generating:
        yield "  " + generation_memory(sizes, cached, base, generating)[1]
    else:
        yield "  generation  on the server that runs at `url`, whose memory is not counted"
    if backend.sleeps:
        held, shown = opened_memory(sizes, base)
        yield f"  main memory {shown} = {gb(held)} for the weights of the server, which sleeps during a training"


def _describe_parts(sizes: ModelSizes) -> str:
    """Return the parts of a model that is no dense one for texts alone; "" for such a model."""
    parts = []
    if (experts := sizes.experts) is not None:
        parts.append(f"of which a token uses {g(sizes.active)}: {experts.active} of {experts.number} experts")
    if sizes.images.parameters:
        parts.append(f"of which about {g(sizes.images.parameters)} read images")
    return ", and ".join(parts)


def _held(gpus: int, size: str) -> str:
    """Return where the backend holds its model, and how it is spread."""
    if gpus > 1:
        return f"The server holds {size} of the model on each of {gpus} GPUs: raise its `gpus`."
    return (
        f"The backend holds the whole model on one GPU before it trains: {size}. The backends vllm and "
        "sglang spread it over several: `gpus`."
    )


def _gpus(memory: float) -> str:
    """Return the GPUs of an estimate in words."""
    return f"H100 GPUs of {gb(HBM)}" if memory == HBM else f"GPUs of {gb(memory)}, with the time of an H100"


def _refusal(backend: BackendConfig, spec: TrainSpec, learner: LearnerSpec, gpus: int) -> str:
    """Return why a run would refuse this finetuning on a number of GPUs; "" if it would not."""
    if gpus == 1:
        return ""
    if learner.objective.contrast:
        return "A sharded training has no objective but `sft`."
    settings: TrainSettings = spec.settings.model_copy(update={"accumulation": gpus})
    try:
        backend.check_parallel(Parallel(processes=gpus), settings)
    except InputError as error:
        return error.cause
    return ""


def most_tokens(learner: LearnerSpec, spec: TrainSpec, debates: int, sources: int, longest: int) -> tuple[str, int]:
    """Return the maximum size of one finetuning in words, and its tokens. `sources`: number of source agents."""
    limit = learner.most_rows(debates) or debates
    rows = sources * (limit if learner.repeat else min(limit, debates))
    whole = rows * longest
    if learner.tokens is not None and (sources * learner.tokens < whole or (learner.repeat and learner.rows is None)):
        return f"{sources * learner.tokens:,} tokens", sources * learner.tokens * spec.settings.epochs
    return f"{rows:,} rows x {longest:,} tokens", whole * spec.settings.epochs
