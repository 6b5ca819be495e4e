"""Adapters made elsewhere: folders as PEFT of several versions and the usual training programs write them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.contract_tools import run
from backends.hf import HuggingFace
from backends.models.peft_folder import check_stored, plain_name
from society.core.errors import BackendError, SocietyError
from tests.backends.hf.made import alter, make_adapter
from tests.backends.hf.test_adapters import QUESTION, REPLY, peft_score
from tests.backends.hf.tiny import make_model, make_tokenizer

torch = pytest.importorskip("torch")

from backends.hf.adapters import check_path  # noqa: E402

ELSEWHERE = "/home/somebody/models/Base-1B-unsloth-bnb-4bit"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "model", 1)


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an adapter as PEFT writes it, which each layout changes in a copy."""
    folder = make_adapter(model, tmp_path_factory.mktemp("made") / "adapter")
    configure(folder, lambda config: config | {"base_model_name_or_path": ELSEWHERE})
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "adapter")


def configure(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def rename(folder: Path, change: Callable[[str], str]) -> None:
    def renamed(tensors: dict[str, Any]) -> None:
        changed = {change(name): tensor for name, tensor in tensors.items()}
        tensors.clear()
        tensors.update(changed)

    alter(folder, renamed)


OLD = ("peft_type", "r", "lora_alpha", "lora_dropout", "target_modules", "bias", "task_type", "fan_in_fan_out")


def of_peft_0_2(folder: Path) -> None:
    """Write the configuration of 2023: few keys, some of which are gone."""
    gone = {"enable_lora": None, "merge_weights": False, "modules_to_save": None}
    configure(folder, lambda config: {key: config[key] for key in OLD} | gone)


def of_a_later_peft(folder: Path) -> None:
    """Write keys that this version does not know, without an effect."""
    configure(folder, lambda config: config | {"lora_next": None, "use_next": False, "next_pattern": {}})


def of_unsloth(folder: Path) -> None:
    """Write a regular expression as targets, no task, the model's class, and a tokenizer with an added token."""
    pattern = r"(?:.*?(?:language|text).*?)?(?:self_attn|mlp).*?(?:q_proj|k_proj|up_proj)"
    auto = {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers", "unsloth_fixed": True}
    given = {"target_modules": rf".*?{pattern}", "task_type": None, "auto_mapping": auto}
    configure(folder, lambda config: config | given)
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|PAD_TOKEN|>"]})
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("---\nbase_model: Base-1B\n---\n")


def of_axolotl(folder: Path) -> None:
    """Write the base's configuration and a checkpoint beside the adapter."""
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 32}))
    shutil.copytree(folder, folder / "checkpoint-8", ignore=shutil.ignore_patterns("checkpoint-8"))
    (folder / "tokenizer_config.json").write_text("{}")


def of_llama_factory(folder: Path) -> None:
    """Write the state of the training, which is pickled, and its logs."""
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        (folder / name).write_bytes(b"\x80\x04.")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 8}))
    (folder / "trainer_log.jsonl").write_text("{}\n")


def of_trl(folder: Path) -> None:
    """Write half precision, the biases of a base that has none, and pickled weights beside the others."""
    alter(folder, lambda tensors: tensors.update({name: t.bfloat16() for name, t in tensors.items()}))
    configure(folder, lambda config: config | {"bias": "all"})
    (folder / "adapter_model.bin").write_bytes(b"\x80\x04.")


def of_a_compiled_model(folder: Path) -> None:
    rename(folder, lambda name: name.replace("base_model.model.", "base_model.model._orig_mod."))


def of_a_state_dict(folder: Path) -> None:
    """Write the adapter's own name in those of tensors, as the state of a model has them."""
    rename(folder, lambda name: "module." + name.replace(".weight", ".default.weight"))


def without_a_prefix(folder: Path) -> None:
    rename(folder, lambda name: name.removeprefix("base_model.model."))


LAYOUTS = [
    of_peft_0_2,
    of_a_later_peft,
    of_unsloth,
    of_axolotl,
    of_llama_factory,
    of_trl,
    of_a_compiled_model,
    of_a_state_dict,
    without_a_prefix,
]


def score(model: Path, *folders: Path) -> list[float]:
    """Return the log-probability of REPLY with each adapter, and that of the base last."""

    async def use(backend: Any) -> list[float]:
        found = []
        for folder in folders:
            adapter = backend.adapters.identify(folder)
            await backend.adapters.load(adapter)
            found.append((await backend.likelihood.logprob(QUESTION, REPLY, adapter.hash))[0])
        return [*found, (await backend.likelihood.logprob(QUESTION, REPLY))[0]]

    scores: list[float] = run(HuggingFace(model=str(model), device="cpu", dtype="float32"), use)
    return scores


def test_adapters_of_other_programs_say_what_peft_says(model, made, tmp_path):
    expected, folders = peft_score(model, made), []
    for layout in LAYOUTS:
        folder = shutil.copytree(made, tmp_path / layout.__name__)
        layout(folder)
        check_path(folder, model)
        folders.append(folder)
    *found, base = score(model, *folders)
    near = {layout.__name__: 0.3 if layout is of_trl else 1e-3 for layout in LAYOUTS}
    for layout, value in zip(LAYOUTS, found, strict=True):
        assert value == pytest.approx(expected, abs=near[layout.__name__]), layout.__name__
    assert base == pytest.approx(peft_score(model, None), abs=1e-3)
    assert abs(base - expected) > 0.5


def test_an_adapter_with_another_chat_template_is_told(model, folder, caplog):
    of_unsloth(folder)
    score(model, folder)
    assert "chat template" not in caplog.text
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text() + "{# changed #}")
    score(model, folder)
    assert caplog.text.count("has another chat template than the model") == 1


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("model.layers.0.q.lora_A.weight", "base_model.model.model.layers.0.q.lora_A.weight"),
        ("base_model.model.q.lora_B.default.weight", "base_model.model.q.lora_B.weight"),
        ("base_model.model.e.lora_embedding_A", "base_model.model.e.lora_embedding_A"),
        ("base_model.model.e.lora_embedding_B.default", "base_model.model.e.lora_embedding_B"),
        ("base_model.model.q.lora_magnitude_vector", "base_model.model.q.lora_magnitude_vector"),
        ("base_model.model.lm_head.base_layer.weight", "base_model.model.lm_head.base_layer.weight"),
    ],
)
def test_names_of_tensors(name: str, plain: str) -> None:
    assert plain_name(name) == plain == plain_name(plain)


# What cannot be used


def in_checkpoints(folder: Path) -> Path:
    for number in (4, 8):
        shutil.copytree(folder, folder.parent / "out" / f"checkpoint-{number}")
    return folder.parent / "out"


def pickled(folder: Path) -> Path:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    return folder


def as_a_file(folder: Path) -> Path:
    return folder / "adapter_model.safetensors"


def as_gguf(folder: Path) -> Path:
    path = folder / "adapter.gguf"
    path.write_bytes(b"GGUF")
    return path


def empty(folder: Path) -> Path:
    """Write zero sizes, as a sharded training saves matrices that it does not gather."""
    alter(folder, lambda tensors: tensors.update({name: torch.zeros(0) for name in tensors}))
    return folder


def of_a_wider_base(folder: Path) -> Path:
    alter(folder, lambda tensors: tensors.update({n: torch.zeros(4, 48) for n in tensors if "lora_A" in n}))
    return folder


def of_added_tokens(folder: Path) -> Path:
    name = "base_model.model.model.embed_tokens.weight"
    alter(folder, lambda tensors: tensors.update({name: torch.zeros(200, 32)}))
    return folder


def of_another_architecture(folder: Path) -> Path:
    configure(folder, lambda config: config | {"target_modules": ["c_attn"]})
    rename(folder, lambda name: name.replace("q_proj", "c_attn").replace("k_proj", "c_fc").replace("up_proj", "c_in"))
    return folder


def of_more_layers(folder: Path) -> Path:
    rename(folder, lambda name: name.replace("layers.1", "layers.30"))
    return folder


def of_nothing_known(folder: Path) -> Path:
    configure(folder, lambda config: config | {"use_next": True})
    return folder


def without_sound_numbers(folder: Path) -> Path:
    configure(folder, lambda config: config | {"r": 0})
    return folder


def with_numbers_that_are_not_finite(folder: Path) -> Path:
    alter(folder, lambda tensors: tensors.update({name: t / 0 for name, t in tensors.items() if "up_proj" in name}))
    return folder


def with_a_pattern_that_is_none(folder: Path) -> Path:
    configure(folder, lambda config: config | {"target_modules": "(q_proj"})
    return folder


def with_another_type(folder: Path) -> Path:
    configure(folder, lambda config: config | {"target_modules": 5})
    return folder


def with_an_infinite_scale(folder: Path) -> Path:
    configure(folder, lambda config: config | {"lora_alpha": float("inf")})
    return folder


def with_another_rank(folder: Path) -> Path:
    configure(folder, lambda config: config | {"r": 6})
    return folder


LOADING = [
    (of_more_layers, r"layers\.30.* no such layer"),
    (without_sound_numbers, "its rank 0 .r. cannot be used"),
    (with_numbers_that_are_not_finite, "up_proj.* not finite"),
    (with_a_pattern_that_is_none, "in adapter_config.json is not a regular expression"),
    (with_another_type, "its target_modules 5 cannot be used"),
    (with_an_infinite_scale, "its alpha inf .lora_alpha. cannot be used"),
    (with_another_rank, r"size mismatch for .*q_proj\.lora_A\.weight"),
]
"""Faults that only the model, or the numbers, show."""
REFUSED = [
    (in_checkpoints, "no adapter_config", "checkpoint-4, checkpoint-8"),
    (pickled, r"no \.safetensors", "torch.load('adapter_model.bin', weights_only=True)"),
    (as_a_file, "is a file", "the folder that it is in"),
    (as_gguf, "is a file", "llama_cpp"),
    (empty, r"shape \[0\]", "trained on"),
    (of_a_wider_base, f"has size 48, but that layer has 32.*{ELSEWHERE}", "trained on"),
    (of_added_tokens, r"embed_tokens.*\[200, 32\].*another vocabulary", "Merge it"),
    (of_another_architecture, "no layers such as", "trained on"),
    (of_nothing_known, "options that are not supported here .use_next", "adapter_config.json"),
]


@pytest.mark.parametrize(("change", "match", "remedy"), REFUSED)
def test_what_cannot_be_used_is_refused_from_its_header(model, folder, change, match, remedy):
    with pytest.raises(SocietyError, match=match) as caught:
        check_path(change(folder), model)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (of_more_layers, "layers.30.* no such layer"),
        (without_sound_numbers, "its rank 0 .r. cannot be used"),
        *[r[:2] for r in REFUSED],
    ],
)
def test_what_cannot_be_used_is_refused_when_it_is_loaded(model, made, folder, change, match):
    path = change(folder)

    async def use(backend: Any) -> None:
        before = await backend.likelihood.logprob(QUESTION, REPLY)
        with pytest.raises(SocietyError, match=match if change is not of_another_architecture else "c_attn"):
            await backend.adapters.load(backend.adapters.identify(path))
        assert await backend.likelihood.logprob(QUESTION, REPLY) == before
        await backend.adapters.load(backend.adapters.identify(made))

    run(HuggingFace(model=str(model), device="cpu", dtype="float32"), use)


def test_an_adapter_on_layers_that_are_stored_under_other_names_is_not_refused_from_its_header(tmp_path):
    model = make_model(tmp_path / "model", 1, kind="mixtral")
    check_stored(make_adapter(model, tmp_path / "adapter", target_modules=["q_proj", "v_proj"]), model)


# Full weights as an adapter


def test_full_weights_with_another_configuration_are_refused(model, tmp_path):
    other = make_model(tmp_path / "other", 2)
    path = other / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rms_norm_eps": 0.5}))
    with pytest.raises(BackendError, match="rms_norm_eps"):
        score(model, other)
    with pytest.raises(BackendError, match=r"model\.embed_tokens\.weight has another shape"):
        check_path(make_model(tmp_path / "wide", 2, hidden_size=64), model)


def test_full_weights_of_the_same_kind_take_the_place_of_the_base(model, tmp_path):
    other = make_model(tmp_path / "other", 2)
    found, base = score(model, other)
    assert found == pytest.approx(peft_score(other, None), abs=1e-3)
    assert base == pytest.approx(peft_score(model, None), abs=1e-3)


def test_adapters_on_single_experts_are_refused(tmp_path):
    model = make_model(tmp_path / "model", 1, kind="mixtral")
    folder = make_adapter(model, tmp_path / "adapter", target_modules=["q_proj"])
    configure(folder, lambda config: config | {"target_modules": ["q_proj", "w1"]})
    place = "base_model.model.model.layers.0.block_sparse_moe.experts.0.w1.lora_"
    alter(folder, lambda t: t.update({f"{place}A.weight": torch.ones(4, 32), f"{place}B.weight": torch.ones(64, 4)}))
    with pytest.raises(BackendError, match="the weights of experts"):
        score(model, folder)


SLOW = "(([a-z._0-9])+)+!|.*q_proj"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"target_modules": SLOW}, "takes too long"),
        ({"exclude_modules": SLOW}, "takes too long"),
        ({"rank_pattern": {SLOW: 4}}, "takes too long"),
        ({"target_modules": "("}, "is not a regular expression"),
        ({"r": 10**30}, "rank 1000"),
        ({"r": 0}, "rank 0"),
        ({"rank_pattern": {"q_proj": 1 << 40}}, "rank 1099511627776 .q_proj."),
        ({"rank_pattern": [4]}, "rank_pattern"),
        ({"lora_alpha": float("nan")}, "alpha nan"),
        ({"alpha_pattern": {"q_proj": 10**400}}, "alpha 1000"),
        ({"target_modules": [5]}, "target_modules"),
    ],
)
def test_options_that_peft_fails_on_or_does_not_end_with_are_refused(
    folder: Path, options: dict[str, Any], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.models.lora_config.MATCH_SECONDS", 2)
    configure(folder, lambda config: config | options)
    with pytest.raises(SocietyError, match=match):
        check_path(folder, None)


def test_an_expression_that_is_slow_in_names_of_the_base_is_refused(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the names of the adapter's own layers it is fast."""
    monkeypatch.setattr("backends.models.lora_config.MATCH_SECONDS", 2)
    configure(folder, lambda config: config | {"target_modules": f".*(q_proj|k_proj|up_proj)|{SLOW}"})
    check_path(folder, None)
    with pytest.raises(SocietyError, match="takes too long"):
        check_path(folder, model)


@pytest.mark.parametrize("content", ["nested", "pipe", "large"])
def test_a_configuration_without_end_is_refused(folder: Path, content: str) -> None:
    path = folder / "adapter_config.json"
    path.unlink()
    if content == "nested":
        path.write_text('{"r":' * 100_000)
    elif content == "pipe":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)  # takes no room
    with pytest.raises(SocietyError, match=r"adapter_config.json cannot be read: .*(deeply|regular|larger)"):
        check_path(folder, None)


def test_a_header_of_very_many_tensors_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.models.safetensors_header.MOST_TENSORS", 3)
    with pytest.raises(SocietyError, match="at most 3 tensors"):
        check_path(folder, None)
