"""PEFT folders made for tests, and changes of their tensors."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any


def make_adapter(model: Path, folder: Path, **options: Any) -> Path:
    """Write a PEFT folder with random matrices that matter, and return it."""
    import torch
    from peft import LoraConfig, get_peft_model

    from backends.hf.loading import load_model

    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "up_proj"], "task_type": "CAUSAL_LM"}
    with torch.random.fork_rng():
        torch.manual_seed(len(folder.name))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as that the output layer is tied
            peft: Any = get_peft_model(load_model(model, torch.float32, "cpu"), LoraConfig(**settings | options))
        for name, parameter in peft.named_parameters():
            if ".lora_" in name:
                torch.nn.init.normal_(parameter, std=0.4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.save_pretrained(folder)
    return folder


def alter(folder: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
