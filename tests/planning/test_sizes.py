"""Sizes of mixtures of experts and of models that read images, against what transformers and PEFT make of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.training import TrainSettings
from society.planning.sizes import MIXED, read_sizes
from society.scenario.models.scenario import Scenario
from tests.planning.test_training import plan

SHAPE: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 1000,
    "num_experts_per_tok": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "mixtral": {"intermediate_size": 96, "num_local_experts": 8},
    "olmoe": {"intermediate_size": 96, "num_experts": 8},
    "qwen2_moe": {"intermediate_size": 320, "moe_intermediate_size": 64, "num_experts": 8, "decoder_sparse_step": 2}
    | {"shared_expert_intermediate_size": 192},
    "qwen3_moe": {"intermediate_size": 320, "moe_intermediate_size": 64, "num_experts": 8, "mlp_only_layers": [0]},
    "glm4_moe": {"intermediate_size": 320, "moe_intermediate_size": 64, "n_routed_experts": 8}
    | {"n_shared_experts": 1, "first_k_dense_replace": 1},
    "llama4_text": {"intermediate_size": 96, "intermediate_size_mlp": 192, "num_local_experts": 8}
    | {"interleave_moe_layer_step": 2},
}
TEXT = SHAPE | {"intermediate_size": 320, "num_experts_per_tok": 0}
ENCODER = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4}
ENCODER |= {"image_size": 56, "patch_size": 14}
SIGLIP = ENCODER | {"model_type": "siglip_vision_model", "vision_use_head": False}
READERS: dict[str, dict[str, Any]] = {
    "gemma3": {"text_config": TEXT | {"model_type": "gemma3_text"}, "vision_config": SIGLIP},
    "mistral3": {
        "text_config": TEXT | {"model_type": "mistral"},
        "vision_config": ENCODER | {"model_type": "pixtral"},
        "tie_word_embeddings": False,
    },
    "llava": {
        "text_config": TEXT | {"model_type": "llama"},
        "vision_config": ENCODER | {"model_type": "clip_vision_model"},
        "image_seq_length": 16,
    },
    "llama4": {
        "text_config": SHAPE | FAMILIES["llama4_text"] | {"model_type": "llama4_text"},
        "vision_config": ENCODER | {"model_type": "llama4_vision_model", "intermediate_size": 256},
    },
}
"""Models that read images. The keys of each are those of its file."""
PUBLISHED: list[tuple[str, dict[str, Any], float, float]] = [
    ("mixtral", {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
     | {"intermediate_size": 14336, "num_local_experts": 8, "vocab_size": 32000}, 46.7, 12.9),
    ("qwen3_moe", {"hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4}
     | {"head_dim": 128, "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128}
     | {"num_experts_per_tok": 8, "vocab_size": 151936}, 30.5, 3.35),
    ("qwen2_moe", {"hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16}
     | {"intermediate_size": 5632, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632}
     | {"num_experts": 60, "num_experts_per_tok": 4, "vocab_size": 151936}, 14.3, 2.7),
]  # fmt: skip
"""Kind, sizes, and published billions of parameters, all and active."""


def make_empty(config: Any) -> Any:
    """Return a model without weights, of the class that the backend opens."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers", minversion="5.23")
    with torch.device("meta"):
        for auto in (transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText):
            if type(config) in auto._model_mapping:
                return auto.from_config(config)
    raise AssertionError(f"no class for {config.model_type}")


@pytest.mark.parametrize("family", sorted(MIXED))
def test_mixtures_of_experts_as_transformers_makes_them(family: str) -> None:
    transformers = pytest.importorskip("transformers", minversion="5.23")
    file = SHAPE | FAMILIES[family]
    config = transformers.AutoConfig.for_model(family, **file)
    model = make_empty(config)
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    for given in (file | {"model_type": family}, config.to_dict()):
        sizes = read_sizes(given)
        assert sizes is not None
        assert sizes.experts is not None
        assert sizes.parameters == pytest.approx(sum(counts.values()), rel=0.002)
        experts = sum(count for name, count in counts.items() if ".experts." in name)
        idle = 1 - sizes.experts.active / 8
        assert sizes.active == pytest.approx(sum(counts.values()) - idle * experts, rel=0.002)


@pytest.mark.parametrize(("kind", "file", "everything", "active"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_parameters_as_published(kind: str, file: dict[str, Any], everything: float, active: float) -> None:
    sizes = read_sizes({"num_experts_per_tok": 2, "model_type": kind, **file})
    assert sizes is not None
    assert sizes.parameters / 1e9 == pytest.approx(everything, rel=0.003)
    assert sizes.active / 1e9 == pytest.approx(active, rel=0.01)


@pytest.mark.parametrize("kind", READERS)
def test_models_that_read_images_as_transformers_makes_them(kind: str) -> None:
    transformers = pytest.importorskip("transformers", minversion="5.23")
    model = make_empty(transformers.AutoConfig.for_model(kind, **READERS[kind]))
    sizes = read_sizes({"model_type": kind, **READERS[kind]})
    assert sizes is not None
    assert sizes.parameters == pytest.approx(sum(one.numel() for one in model.parameters()), rel=0.03)


def test_a_file_that_leaves_sizes_out_has_those_of_its_family() -> None:
    """The file of gemma-3-4b-it, with 4.3 billion parameters, of which the encoder has 0.42."""
    text = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "model_type": "gemma3_text"}
    vision = {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "num_hidden_layers": 27}
    vision |= {"patch_size": 14, "model_type": "siglip_vision_model"}
    sizes = read_sizes({"model_type": "gemma3", "text_config": text, "vision_config": vision})
    assert sizes is not None
    assert sizes.parameters / 1e9 == pytest.approx(4.30, rel=0.003)
    assert sizes.images.parameters / 1e9 == pytest.approx(0.42, rel=0.02)


@pytest.mark.parametrize("name", ["qwen2_moe", "mixtral", "gemma3"])
def test_lora_parameters_as_peft_counts_them(name: str) -> None:
    """Experts are no linear layers, and get no matrices."""
    pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers", minversion="5.23")
    from backends.hf.lora import _wrap

    file = READERS.get(name) or SHAPE | FAMILIES[name]
    model = _wrap(make_empty(transformers.AutoConfig.for_model(name, **file)), TrainSettings(rank=4))
    sizes = read_sizes({"model_type": name, **file})
    assert sizes is not None
    counted = sum(one.numel() for key, one in model.named_parameters() if ".lora_" in key)
    assert sizes.lora(4) == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize(
    "change",
    [
        {"vision_config": {"model_type": "unheard_of"}},
        {"vision_config": ENCODER | {"model_type": "pixtral", "patch_size": 0, "hidden_size": "wide"}},
        {"audio_config": {}},
        {"text_config": {"model_type": "unheard_of"}},
        {"text_config": {"model_type": "mixtral"}},
    ],
)
def test_a_model_with_unknown_parts_has_no_estimate(change: dict[str, Any]) -> None:
    assert read_sizes({"model_type": "gemma3", **READERS["gemma3"], **change}) is None


def test_the_plan_shows_experts_and_the_memory_of_a_server_that_sleeps(
    tmp_path: Path, scenario: Callable[..., Scenario], capsys: pytest.CaptureFixture[str]
) -> None:
    file = {"model_type": "mixtral", "num_experts_per_tok": 2} | PUBLISHED[0][1]
    for kind in ("hf", "vllm", "sglang"):
        plan(tmp_path, scenario, file, "method: lora", f"backends.big.kind={kind}")
        said = capsys.readouterr().out
        assert "parameters  46.703 G, of which a token uses 12.880 G: 2 of 8 experts" in said
        assert "4 x 12.880 G x" in said
        asleep = "main memory 46.703 G x 2 bytes = 93.41 GB for the weights of the server, which sleeps"
        assert (asleep in said) == (kind != "hf")
