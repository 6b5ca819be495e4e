"""Small random models of the families that people run, built from the configurations of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.backends.hf.tiny import EXPERTS, LATENT, make_model

WINDOW = 16
"""Tokens that the sliding and chunked attention of the small models sees."""
HALF_SLIDING = {"head_dim": 8, "sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
FEW_EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
MULTIPLIERS = {
    "embedding_multiplier": 3.0,
    "attention_multiplier": 0.2,
    "residual_multiplier": 0.5,
    "logits_scaling": 2.0,
}
MAMBA = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}
DELTA = {
    "head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}


@dataclass(frozen=True)
class Family:
    """The `model_type` of transformers, and the settings beside those of every small model."""

    kind: str
    settings: Mapping[str, object] = field(default_factory=dict)
    template: bool = True
    """Whether the tokenizer has a chat template."""


FAMILIES = {
    "Llama": Family("llama"),
    "Mistral": Family("mistral", {"sliding_window": WINDOW}),
    "Mixtral": Family("mixtral", {"num_local_experts": 4, "tie_word_embeddings": False}),
    "Qwen 2": Family("qwen2"),
    "Qwen 3": Family("qwen3", {"head_dim": 8}),
    "Qwen 3 MoE": Family("qwen3_moe", {"head_dim": 8, **FEW_EXPERTS}),
    "Qwen 3 Next": Family("qwen3_next", {"shared_expert_intermediate_size": 16, **DELTA, **FEW_EXPERTS}),
    "Qwen 3.5": Family("qwen3_5_text", DELTA),
    "Gemma": Family("gemma", {"head_dim": 8}),
    "Gemma 2": Family(
        "gemma2",
        {"query_pre_attn_scalar": 8, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, **HALF_SLIDING},
    ),
    "Gemma 3": Family("gemma3_text", {"query_pre_attn_scalar": 8, **HALF_SLIDING}),
    "Gemma 4": Family(
        "gemma4_text",
        {
            "vocab_size_per_layer_input": 200,
            "hidden_size_per_layer_input": 8,
            "global_head_dim": 8,
            **HALF_SLIDING,
        },
    ),
    "Phi 3": Family("phi3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}),
    "SmolLM 3": Family("smollm3", {"no_rope_layers": [1, 0]}),
    "Granite": Family("granite", MULTIPLIERS),
    "Granite MoE hybrid": Family(
        "granitemoehybrid",
        {
            "shared_intermediate_size": 32,
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            **MULTIPLIERS,
            **MAMBA,
        },
    ),
    "OLMo 2": Family("olmo2"),
    "OLMo 3": Family("olmo3", HALF_SLIDING),
    "GLM 4": Family("glm4", {"head_dim": 8}),
    "Cohere 2": Family("cohere2", HALF_SLIDING),
    "EXAONE 4": Family("exaone4", HALF_SLIDING),
    "gpt-oss": Family("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2, **HALF_SLIDING}),
    "DeepSeek V3": Family("deepseek_v3", EXPERTS | LATENT),
    "Llama 4": Family(
        "llama4_text",
        {
            "head_dim": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
            "attention_chunk_size": WINDOW,
            "intermediate_size_mlp": 64,
            "no_rope_layers": [1, 0],
        },
    ),
    "Falcon H1": Family("falcon_h1", {"mamba_d_ssm": 64, "head_dim": 8, **MAMBA}),
    "Bamba": Family("bamba", {"attn_layer_indices": [1], **MAMBA}),
    "Jamba": Family(
        "jamba",
        {
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "num_experts": 4,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "Nemotron H": Family(
        "nemotron_h",
        {
            "num_hidden_layers": 4,
            "hybrid_override_pattern": "M*-M",
            "mamba_num_heads": 8,
            "mamba_head_dim": 8,
            "ssm_state_size": 8,
            "n_groups": 1,
            "chunk_size": 8,
            "head_dim": 8,
        },
    ),
    "LFM 2": Family("lfm2", {"layer_types": ["conv", "full_attention"]}),
    "Mamba": Family("mamba", {"state_size": 8}),
    "Mamba 2": Family(
        "mamba2", {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "chunk_size": 8, "expand": 2}
    ),
    "RWKV": Family("rwkv", {"context_length": 256, "attention_hidden_size": 32}),
    "GPT-2": Family("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, **NO_DROPOUT}),
    "GPT-NeoX": Family("gpt_neox"),
    "Falcon": Family("falcon"),
    "BLOOM": Family("bloom", {"n_layer": 2, "n_head": 4}),
    "Gemma 3, images and text": Family(
        "gemma3",
        {
            "query_pre_attn_scalar": 8,
            "vision_config": VISION,
            "wrapper": {"mm_tokens_per_image": 4, "boi_token_index": 3, "eoi_token_index": 4, "image_token_index": 5},
            **HALF_SLIDING,
        },
    ),
    "Mistral 3, images and text": Family(
        "mistral3",
        {
            "model_type": "mistral",
            "head_dim": 8,
            "vision_config": {"model_type": "pixtral", "head_dim": 8, **VISION},
            "wrapper": {"image_token_index": 5},
        },
    ),
    "Qwen 2.5 VL": Family(
        "qwen2_5_vl",
        {
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
            "vision_config": {
                "depth": 1,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 4,
                "out_hidden_size": 32,
            },
        },
    ),
    "T5": Family("t5", {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}),
    "Llama without chat template": Family("llama", template=False),
}


def make_family(name: str, folder: Path, seed: int = 0) -> Path:
    """Write the small model of a family, with its tokenizer and chat template, and return the folder."""
    family = FAMILIES[name]
    make_model(folder, seed, family.kind, **family.settings)
    if not family.template:
        (folder / "chat_template.jinja").unlink()
    return folder
