"""Runs that debate and finetune, killed while they train and resumed, as `society run` starts them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.backends.hf.tiny import make_model

pytest.importorskip("torch")

TEXT = """
version: 1
name: colours
task: {{kind: jsonl, path: colours.jsonl, limit: 3, answer: {{extract: [text], equal: exact}}}}
backends: {{tiny: {{kind: hf, model: "{model}", device: {device}, dtype: {dtype}, quantize: {quantize}, context: 200}}}}
roles: {{painter: {{prompt: "{{{{ question }}}}", choices: [red, green, blue]}}}}
agents: {{painter: {{count: 2}}}}
phases: [{{name: debate}}]
train:
  iterations: 1
  questions: 6
  label: gold
  learners: {{painter: {{phases: [debate], turn: last, select: {{kind: all}}}}}}
  settings: {{method: {method}, batch_size: 4, accumulation: 1, epochs: 150, learning_rate: 0.001}}
"""
PATIENCE = 240
"""Seconds within which a process on a busy machine must begin to train."""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full", "qlora"])
def test_a_run_that_is_killed_while_it_trains_is_resumed(tmp_path, device, dtype, method):
    if method == "qlora" and (device != "cuda" or importlib.util.find_spec("bitsandbytes") is None):
        pytest.skip("QLoRA needs a GPU and bitsandbytes")
    quantize = "nf4" if method == "qlora" else "none"
    questions = [f"the {a} {b} is" for a in ("cat", "dog", "mat") for b in ("one", "two", "three", "four")]
    lines = [json.dumps({"question": q, "answer": ["red", "green", "blue"][i % 3]}) for i, q in enumerate(questions)]
    (tmp_path / "colours.jsonl").write_text("\n".join(lines))
    model = make_model(tmp_path / "model", hidden_size=64)
    text = TEXT.format(model=model, device=device, dtype=dtype, quantize=quantize, method=method)
    (tmp_path / "colours.yaml").write_text(text)

    run = tmp_path / "run"
    command = [sys.executable, "-m", "society", "run", str(tmp_path / "colours.yaml"), "--out", str(run)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        ended = wait_for_training(process, run)
        process.kill()
        assert process.stderr is not None
        assert not ended, process.stderr.read()
    assert not finished(run)

    resumed = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert len(finished(run)) == 2


def wait_for_training(process: subprocess.Popen[str], run: Path) -> bool:
    """Wait until a run trains; return whether its process ended before."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        if any(run.rglob(".*.part")):
            return False
        time.sleep(0.01)
    return True


def finished(run: Path) -> list[Path]:
    """Return the files of weights of finished finetunings."""
    return [path for path in run.rglob("*.safetensors") if not any(part.endswith(".part") for part in path.parts)]
