"""PEFT folders made for tests, changes of their tensors, and what PEFT alone says with them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from society.core.types import ChatMessage


def make_adapter(model: Path, folder: Path, kind: str = "LoraConfig", std: float = 0.4, **options: Any) -> Path:
    """Write a PEFT folder with random parameters that matter, and return it. `kind`: PEFT's class of configuration."""
    import peft
    import torch

    from backends.hf.loading import load_model

    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "up_proj"], "task_type": "CAUSAL_LM"}
    config = getattr(peft, kind)(**(settings if kind == "LoraConfig" else {}) | options)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as that the output layer is tied
        torch.manual_seed(len(folder.name))
        made: Any = peft.get_peft_model(load_model(model, torch.float32, "cpu"), config)
        for parameter in made.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=std)
        made.save_pretrained(folder)
    return folder


def alter(folder: Path, change: Any) -> None:
    """Let `change` change the tensors of a PEFT folder in place."""
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def peft_score(model: Path, adapter: Path | None, question: Sequence[ChatMessage], reply: str) -> float:
    """Return the log-probability of a reply by PEFT alone, or by the base alone."""
    import torch
    from peft import PeftModel

    from backends.hf.loading import load_chat, load_model

    network: Any = load_model(model, torch.float32, "cpu")
    if adapter is not None:
        network = PeftModel.from_pretrained(network, str(adapter)).eval()
    ids, start = load_chat(model, None, "model").row_ids([*question, ChatMessage("assistant", reply)])
    with torch.inference_mode():
        logprobs = network(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logprobs[i - 1, ids[i]]) for i in range(start, len(ids)))
