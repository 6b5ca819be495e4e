"""Adapters beside one another on one base: none changes the base or another, and each says what PEFT says of it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from backends.contract_tools import run
from backends.hf import HuggingFace
from backends.models.gguf_export import export_gguf_adapter, export_merged
from backends.training import TrainSettings
from society.core.errors import BackendError, InputError
from society.core.types import Adapter, ChatMessage, Example, GenerateRequest, Sampling, TurnId
from tests.backends.hf.made import alter, make_adapter
from tests.backends.hf.made import peft_score as score
from tests.backends.hf.tiny import make_model

torch = pytest.importorskip("torch")

from backends.hf.adapters import check_path, hash_adapter  # noqa: E402
from backends.hf.loading import load_model  # noqa: E402
from backends.hf.lora import check_start, find_allowed  # noqa: E402
from backends.hf.weights import Weights  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`"),
]
QUESTION = (ChatMessage("user", "the cat ?"),)
REPLY = "red green . blue"
ROWS = [
    Example((ChatMessage("user", f"{c} ?"), ChatMessage("assistant", c)), TurnId(0, "q", "debate", 1, "a"), "r")
    for c in ("red", "green", "blue", "cat")
]

LOADED: dict[str, dict[str, Any]] = {
    "plain": {},
    "false": {"init_lora_weights": False},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "rslora": {"use_rslora": True},
    "ranks": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"k_proj": 3}},
    "dora": {"use_dora": True},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "head alone": {"target_modules": ["lm_head"]},
    "excluded": {"target_modules": "all-linear", "exclude_modules": ["o_proj"]},
    "one layer": {"layers_to_transform": [1], "layers_pattern": "layers"},
    "regular expression": {"target_modules": r".*\.(?:self_attn|mlp)\.(?:v_proj|down_proj)"},
    "biases of a base without any": {"bias": "all", "target_modules": ["v_proj"]},
    "embeddings": {"target_modules": ["embed_tokens", "q_proj"]},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "pissa": ({"init_lora_weights": "pissa_niter_4"}, "changes the weights of the base"),
    "activated": ({"alora_invocation_tokens": [5, 6]}, "activated LoRA"),
    "modules": ({"modules_to_save": ["lm_head"]}, "whole modules of its own"),
    "another kind": ({"peft_type": "IA3"}, "not LORA"),
    "another task": ({"task_type": "SEQ_CLS"}, "not for CAUSAL_LM"),
    "the future": ({"use_something_new": True}, "use_something_new"),
}
"""Changes of adapter_config.json. The matrix of adapters has more kinds, and their refusal by the backend."""


@pytest.fixture(scope="module", params=["tied", "untied"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "model"
    return make_model(folder, 1, tie_word_embeddings=request.param == "tied")


def is_tied(model: Path) -> bool:
    return model.parent.name.startswith("tied")


def peft_score(model: Path, adapter: Path | None) -> float:
    """Return the log-probability of REPLY by PEFT alone."""
    return score(model, adapter, QUESTION, REPLY)


@pytest.mark.parametrize("kind", REFUSED)
def test_adapters_that_are_more_than_matrices_are_neither_loaded_nor_exported_nor_merged(tmp_path, kind):
    changes, match = REFUSED[kind]
    model = make_model(tmp_path / "model", 1)
    folder = make_adapter(model, tmp_path / "adapter")
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(BackendError, match=match) as caught:
        check_path(folder, None)
    assert caught.value.remedy
    for write in (export_gguf_adapter, lambda lora, base, out: export_merged(base, lora, out)):
        with pytest.raises(InputError, match=match) as refused:
            write(folder, model, tmp_path / "out")
        assert refused.value.remedy
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("decoding", ["dynamic", "static"])
def test_every_adapter_says_what_peft_says_whoever_else_is_asked(model, tmp_path, decoding):
    folders = {kind: make_adapter(model, tmp_path / kind, **options) for kind, options in LOADED.items()}
    expected = {None: peft_score(model, None)} | {kind: peft_score(model, path) for kind, path in folders.items()}
    assert len({round(score, 3) for score in expected.values()}) == len(expected)

    async def use(backend: Any) -> Any:
        hashes: dict[str | None, str | None] = {None: None}
        for kind, path in folders.items():
            adapter = backend.adapters.identify(path)
            await backend.adapters.load(adapter)
            hashes[kind] = adapter.hash

        async def score(kind: str | None) -> float:
            return (await backend.likelihood.logprob(QUESTION, REPLY, hashes[kind]))[0]

        async def speak(kind: str | None) -> str:
            request = GenerateRequest(QUESTION, Sampling(0.0, max_tokens=8), 1, hashes[kind])
            return (await backend.generate(request)).text

        twice = [*hashes, *hashes]
        mixed = await asyncio.gather(*map(score, twice)), await asyncio.gather(*map(speak, twice))
        alone = [await score(kind) for kind in twice], [await speak(kind) for kind in twice]
        return twice, mixed, alone

    kinds, (scores, texts), (scores_alone, texts_alone) = run(
        HuggingFace(model=str(model), device="cpu", dtype="float32", decoding=decoding), use
    )
    wanted = [pytest.approx(expected[kind], abs=1e-3) for kind in kinds]
    assert scores == wanted
    assert scores_alone == wanted
    assert texts == texts_alone
    assert len(set(texts)) > 3


@pytest.mark.parametrize("decoding", ["dynamic", "static"])
def test_scoring_between_steps_changes_no_reply(model, tmp_path, decoding):
    kinds = ["plain", "ranks", "dora", "false"]
    folders = [make_adapter(model, tmp_path / kind, **LOADED[kind]) for kind in kinds]

    async def use(backend: Any) -> tuple[list[str], list[str]]:
        adapters = [backend.adapters.identify(folder) for folder in folders]
        for adapter in adapters:
            await backend.adapters.load(adapter)

        async def speak(number: int) -> str:
            request = GenerateRequest(QUESTION, Sampling(0.0, max_tokens=24), 1, adapters[number].hash)
            return (await backend.generate(request)).text

        async def score() -> None:
            for number in (3, 2, 1, 0) * 6:
                await backend.likelihood.logprob(QUESTION, REPLY, adapters[number].hash)

        alone = [await speak(number) for number in (0, 1)]
        *texts, _ = await asyncio.gather(speak(0), speak(1), score())
        return alone, texts

    alone, texts = run(HuggingFace(model=str(model), device="cpu", dtype="float32", decoding=decoding), use)
    assert alone == texts


# Matrices that are not there, or too many


def drop_pair(tensors: dict[str, Any]) -> None:
    for name in [name for name in tensors if "layers.1.self_attn.q_proj" in name]:
        del tensors[name]


def add_pair(tensors: dict[str, Any]) -> None:
    for name in [name for name in tensors if "q_proj" in name]:
        tensors[name.replace("q_proj", "o_proj")] = tensors[name].clone()


@pytest.mark.parametrize("change", [drop_pair, add_pair])
def test_an_adapter_that_is_not_what_its_configuration_says_is_refused(model, tmp_path, change):
    folder = make_adapter(model, tmp_path / "adapter")
    alter(folder, change)

    async def use(backend: Any) -> tuple[float, float]:
        before = (await backend.likelihood.logprob(QUESTION, REPLY))[0]
        for _ in range(2):
            with pytest.raises(BackendError, match="not what its adapter_config"):
                await backend.adapters.load(backend.adapters.identify(folder))
        return before, (await backend.likelihood.logprob(QUESTION, REPLY))[0]

    before, after = run(HuggingFace(model=str(model), device="cpu", dtype="float32"), use)
    assert before == after


def test_trained_biases_of_the_base_are_refused(tmp_path):
    model = make_model(tmp_path / "model", 1, attention_bias=True)
    folder = make_adapter(model, tmp_path / "adapter", bias="lora_only")

    async def use(backend: Any) -> None:
        before = await backend.likelihood.logprob(QUESTION, REPLY)
        with pytest.raises(BackendError, match="bias would replace weights of the base"):
            await backend.adapters.load(backend.adapters.identify(folder))
        own = load_model(model, torch.float32, "cpu").state_dict()
        name = "model.layers.0.self_attn.q_proj.bias"
        kept = {f"base_model.model.{name.replace('.bias', '.base_layer.bias')}": own[name].clone()}
        alter(folder, lambda tensors: [tensors.pop(k) for k in list(tensors) if k.endswith("bias")])
        alter(folder, lambda tensors: tensors.update(kept))
        await backend.adapters.load(backend.adapters.identify(folder))  # this bias is that of the base
        assert await backend.likelihood.logprob(QUESTION, REPLY) == before

    run(HuggingFace(model=str(model), device="cpu", dtype="float32"), use)


def describe(network: Any) -> list[Any]:
    """Return all that an adapter could leave behind on a model."""
    modules = [(name, type(module), sorted(vars(module))) for name, module in network.named_modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    flags = [(name, parameter.requires_grad, parameter.dtype) for name, parameter in network.named_parameters()]
    return [modules, hooks, flags]


def test_adapters_leave_no_trace_on_the_base(model, tmp_path):
    network: Any = load_model(model, torch.float32, "cpu").requires_grad_(False)
    clean, state = describe(network), {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ids = torch.arange(1, 9)[None].repeat(2, 1)
    before = network(input_ids=ids).logits
    weights = Weights(network, model, "base")
    for kind, options in LOADED.items():
        folder = make_adapter(model, tmp_path / kind, **options)
        weights.add(Adapter(hash_adapter(folder), str(folder), "base"))
    for name in weights.lora:
        names = [name, name] if weights.group(name) else [name, None]
        assert not torch.equal(weights.forward(names, input_ids=ids).logits[0], before[0])
    weights.strip()
    assert describe(network) == clean
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(network(input_ids=ids).logits, before)


@pytest.mark.parametrize("name", ["model.norm.weight", "lm_head.base_layer.weight", "model.embed_tokens.weight"])
def test_weights_of_the_base_in_an_adapter_must_be_the_bases_own(model, tmp_path, name):
    folder = make_adapter(model, tmp_path / "adapter")
    own = load_model(model, torch.float32, "cpu").state_dict()[name.replace(".base_layer", "")]

    async def use(backend: Any) -> None:
        before = await backend.likelihood.logprob(QUESTION, REPLY)
        alter(folder, lambda tensors: tensors.update({f"base_model.model.{name}": own.clone()}))
        same = backend.adapters.identify(folder)
        await backend.adapters.load(same)
        assert (await backend.likelihood.logprob(QUESTION, REPLY, same.hash))[0] == pytest.approx(expected, abs=1e-3)
        alter(folder, lambda tensors: tensors.update({f"base_model.model.{name}": own * 1.01}))
        with pytest.raises(BackendError, match="would replace weights of the base"):
            await backend.adapters.load(backend.adapters.identify(folder))
        assert await backend.likelihood.logprob(QUESTION, REPLY) == before

    expected = peft_score(model, folder)
    run(HuggingFace(model=str(model), device="cpu", dtype="float32"), use)


# Trained, merged, exported

HEAD = TrainSettings(targets=("q_proj", "lm_head"), rank=4, epochs=8, batch_size=4, accumulation=1, learning_rate=2e-2)


def train(model: Path, folder: Path, settings: TrainSettings) -> float:
    """Train, and score REPLY with what was trained."""

    async def use(backend: Any) -> float:
        trained = await backend.trainer.train(ROWS, settings, None, folder, seed=1)
        await backend.adapters.load(trained.adapter)
        return (await backend.likelihood.logprob(QUESTION, REPLY, trained.adapter.hash))[0]

    score: float = run(HuggingFace(model=str(model), device="cpu", dtype="float32"), use)
    return score


def test_an_adapter_on_the_output_layer(model, tmp_path):
    if is_tied(model):
        with pytest.raises(InputError, match=r"lm_head are those of the input embeddings") as caught:
            train(model, tmp_path / "head", HEAD)
        assert "targets" in caught.value.remedy
        assert not (tmp_path / "head").exists()
        return
    score = train(model, tmp_path / "head", HEAD)
    assert score == pytest.approx(peft_score(model, tmp_path / "head"), abs=1e-3)
    assert score != pytest.approx(peft_score(model, None), abs=0.1)
    assert peft_score(export_merged(model, tmp_path / "head", tmp_path / "merged"), None) == pytest.approx(
        score, abs=1e-3
    )
    assert export_gguf_adapter(tmp_path / "head", model, tmp_path / "head.gguf").exists()


def test_a_tied_output_layer_is_neither_merged_nor_exported(tmp_path):
    model = make_model(tmp_path / "model", 1)
    folder = make_adapter(model, tmp_path / "adapter", target_modules=["q_proj", "lm_head"])
    with pytest.raises(InputError, match="lm_head"):
        export_merged(model, folder, tmp_path / "merged")
    with pytest.raises(InputError, match="lm_head"):
        export_gguf_adapter(folder, model, tmp_path / "adapter.gguf")
    assert not (tmp_path / "merged").exists()
    assert not (tmp_path / "adapter.gguf").exists()


@pytest.mark.parametrize(("options", "match"), [({"r": 8}, "rank 8, not 4"), ({"lora_alpha": 9}, "alpha 9, not 8")])
def test_a_training_does_not_go_on_with_another_rank_or_scale(model, tmp_path, options, match):
    folder = make_adapter(model, tmp_path / "start", **options)
    with pytest.raises(InputError, match=match):
        check_start(folder, TrainSettings(rank=4))


def test_embeddings_are_not_trained_as_layers(model, tmp_path):
    with pytest.raises(InputError, match="no linear layer"):
        train(model, tmp_path / "a", HEAD.model_copy(update={"targets": ("embed_tokens",)}))


def test_what_gguf_cannot_express_is_exported_for_peft_alone(model, tmp_path, caplog):
    folder = make_adapter(model, tmp_path / "adapter", **LOADED["dora"])
    with pytest.raises(InputError, match="cannot express"):
        export_gguf_adapter(folder, model, tmp_path / "adapter.gguf")
    exporter = HuggingFace(model=str(model)).exporter()
    adapter = Adapter(hash_adapter(folder), str(folder), exporter.base)
    assert exporter.write(adapter, tmp_path / "out" / "a") is None
    assert hash_adapter(tmp_path / "out" / "a") == adapter.hash
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    assert "without a GGUF file: A GGUF adapter cannot express this adapter" in caplog.text


def test_training_goes_on_with_the_model_as_it_was_after_a_refusal(tmp_path):
    model = make_model(tmp_path / "model", 1)
    plain = HEAD.model_copy(update={"targets": "all-linear"})

    async def use(backend: Any) -> str:
        with pytest.raises(InputError):
            await backend.trainer.train(ROWS, HEAD, None, tmp_path / "a", seed=1)
        return (await backend.trainer.train(ROWS, plain, None, tmp_path / "b", seed=1)).adapter.hash

    async def undisturbed(backend: Any) -> str:
        return (await backend.trainer.train(ROWS, plain, None, tmp_path / "c", seed=1)).adapter.hash

    config = HuggingFace(model=str(model), device="cpu", dtype="float32")
    assert run(config, use) == run(config, undisturbed)
    shutil.rmtree(tmp_path)


def test_looking_for_layers_draws_no_random_numbers(model):
    """The first matrices of an adapter are those of its seed, whatever the model's layers are."""
    network = load_model(model, torch.float32, "cpu")
    settings = HEAD.model_copy(update={"targets": "all-linear"})
    before = torch.get_rng_state()
    assert find_allowed(network, settings) == "all-linear"
    assert torch.equal(torch.get_rng_state(), before)
