"""The arithmetic of training beside plain references: loss, LoRA sums, working copies, and the Trainer's steps."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from backends.hf import attention  # noqa: E402
from backends.hf import loss as loss_module  # noqa: E402
from backends.hf.batches import Batches  # noqa: E402
from backends.hf.examples import Rows  # noqa: E402
from backends.hf.loading import load_model  # noqa: E402
from backends.hf.loop import Share, Watch, train_rows  # noqa: E402
from backends.hf.lora import NAME  # noqa: E402
from backends.hf.lora_sum import LoraSum, rounded_once  # noqa: E402
from backends.hf.loss import LinearCrossEntropy, Loss, collate  # noqa: E402
from backends.hf.probing import measure  # noqa: E402
from backends.hf.scoring import collate as collate_masked  # noqa: E402
from backends.hf.weights import Weights  # noqa: E402
from backends.hf.working import working_copies  # noqa: E402
from backends.training import TrainSettings  # noqa: E402
from tests.backends.hf.tiny import ARCHITECTURES, make_model  # noqa: E402

CPU = torch.device("cpu")


def make_rows(count: int) -> list[tuple[list[int], int]]:
    draw = torch.Generator().manual_seed(1)
    rows = []
    for _ in range(count):
        length = int(torch.randint(9, 40, (), generator=draw))
        start = int(torch.randint(2, length - 1, (), generator=draw))
        rows.append((torch.randint(1, 120, (length,), generator=draw).tolist(), start))
    return rows


# Loss


@pytest.mark.parametrize("chunk", [1, 7 * 50, 1 << 20])
def test_the_loss_and_its_gradients_are_those_of_torch(monkeypatch, chunk):
    monkeypatch.setattr(loss_module, "LOGITS", chunk)
    torch.manual_seed(1)
    hidden, weight = torch.randn(23, 8), torch.randn(50, 8)
    labels = torch.randint(50, (23,))
    found, expected = [], []
    for gather, way in (
        (found, lambda h, w: LinearCrossEntropy.apply(h, w, labels, 0.25)),
        (expected, lambda h, w: torch.nn.functional.cross_entropy(h @ w.t(), labels, reduction="sum") * 0.25),
    ):
        leaves = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
        value = way(*leaves)
        (value * 3).backward()
        gather += [value.detach(), *(leaf.grad for leaf in leaves)]
    for one, two in zip(found, expected, strict=True):
        assert torch.allclose(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "mixtral"])
def test_the_loss_of_a_padded_batch_is_that_of_each_row_alone(tmp_path, kind):
    network = load_model(make_model(tmp_path / "model", 1, kind), torch.float32, "cpu")
    rows = make_rows(5)
    found = Loss(network, network, None)(collate(rows, CPU))
    alone = []
    for ids, start in rows:
        logits = network(input_ids=torch.tensor([ids])).logits[0]
        alone.append(
            torch.nn.functional.cross_entropy(logits[start - 1 : -1], torch.tensor(ids[start:]), reduction="sum")
        )
    assert found.item() == pytest.approx(torch.stack(alone).sum().item(), rel=1e-5)


def test_a_model_that_changes_its_logits_computes_them_itself(tmp_path):
    folder = make_model(tmp_path / "model", 1, "gemma3_text", final_logit_softcapping=0.5)
    network = load_model(folder, torch.float32, "cpu")
    rows = make_rows(3)
    loss = Loss(network, network, None)
    assert not loss.fused
    assert Loss(*[load_model(make_model(tmp_path / "plain", 1, "gemma3_text"), torch.float32, "cpu")] * 2, None).fused
    assert loss(collate(rows, CPU)).item() == pytest.approx(network(**collate_masked(rows)).loss.item() * learned(rows))


def test_a_model_that_changes_its_logits_in_place_computes_them_itself(model):
    network = load_model(model, torch.float32, "cpu")
    usual = network.forward

    def forward(**inputs):
        found = usual(**inputs)
        found.logits[..., 3] = -1e4  # as Chameleon does for the tokens of images
        return found

    assert Loss(network, network, None).fused
    assert not Loss(network, forward, None).fused


def learned(rows: list[tuple[list[int], int]]) -> int:
    return sum(len(ids) - start for ids, start in rows)


# LoRA sums


@pytest.mark.parametrize("drops", [True, False])
def test_gradients_of_the_lora_sum_are_right(drops):
    torch.manual_seed(1)
    made = {"inputs": (3, 4, 5), "dropped": (3, 4, 5), "down": (2, 5), "up": (6, 2)}
    given = {name: torch.randn(*shape, dtype=torch.float64).requires_grad_() for name, shape in made.items()}
    weight, bias = torch.randn(6, 5, dtype=torch.float64), torch.randn(6, dtype=torch.float64)

    def apply(inputs, dropped, down, up):
        return LoraSum.apply(inputs, dropped if drops else None, weight, bias, down, up, 0.5)

    assert torch.autograd.gradcheck(apply, tuple(given.values()))
    inputs, dropped, down, up = given.values()
    expected = inputs @ weight.t() + bias + 0.5 * ((dropped if drops else inputs) @ down.t() @ up.t())
    assert torch.allclose(apply(*given.values()), expected)


def test_a_small_addition_survives_the_rounding_to_bfloat16():
    torch.manual_seed(1)
    inputs = torch.randn(4000, 256).bfloat16()
    weight, down = torch.randn(64, 256).bfloat16(), torch.randn(4, 256).bfloat16()
    up = (torch.randn(64, 4) * 3e-4).bfloat16()
    added = inputs.float() @ down.float().t() @ up.float().t()
    plain = LoraSum.apply(inputs, None, weight, None, down, up * 0, 1.0).float()
    gained = LoraSum.apply(inputs, None, weight, None, down, up, 1.0).float() - plain
    assert float(added.abs().mean()) < float(plain.abs().mean()) / 512
    assert float((gained * added).sum() / added.square().sum()) == pytest.approx(1, abs=0.1)


def test_layers_are_put_back(model):
    network, peft = make_lora(model)
    ids = torch.tensor([[5, 6, 7]])
    before, kinds = peft(input_ids=ids).logits, {type(layer) for layer in lora_layers(network)}
    with rounded_once(network, NAME, torch.float32):
        assert torch.allclose(peft(input_ids=ids).logits, before, atol=1e-5)
        assert {type(layer) for layer in lora_layers(network)}.isdisjoint(kinds)
    assert {type(layer) for layer in lora_layers(network)} == kinds


def lora_layers(network: Any) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [module for module in network.modules() if isinstance(module, LoraLayer)]


def test_layers_in_four_bits_learn_as_layers_with_the_weights_that_these_stand_for():
    bnb = pytest.importorskip("bitsandbytes")
    from peft import LoraConfig, get_peft_model

    def learn(layer: Any, kind: Any) -> list[Any]:
        torch.manual_seed(1)
        peft = get_peft_model(torch.nn.Sequential(layer), LoraConfig(r=4, target_modules=["0"]), NAME)
        inputs = torch.randn(3, 5, 64, dtype=torch.bfloat16).requires_grad_()
        with working_copies(peft, torch.bfloat16), rounded_once(peft, NAME, torch.bfloat16):
            (found,) = lora_layers(peft)
            assert isinstance(found.base_layer, kind)
            torch.nn.init.constant_(found.lora_B[NAME].weight, 0.1)
            output = peft(inputs)
            matrices = found.lora_A[NAME].weight, found.lora_B[NAME].weight
            return [output, *torch.autograd.grad(output.float().square().sum(), (inputs, *matrices))]

    small = bnb.nn.Linear4bit(64, 64, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
    small.weight = bnb.nn.Params4bit(torch.randn(64, 64).bfloat16(), requires_grad=False, quant_type="nf4")
    small = small.to("cpu")
    plain = torch.nn.Linear(64, 64, bias=False, dtype=torch.bfloat16)
    plain.weight.data = bnb.functional.dequantize_4bit(small.weight.data, small.weight.quant_state)
    for one, two in zip(learn(small, bnb.nn.Linear4bit), learn(plain, torch.nn.Linear), strict=True):
        assert torch.equal(one, two)


def make_lora(model: Path, dtype: Any = None, **options: Any) -> tuple[Any, Any]:
    from peft import LoraConfig, get_peft_model

    network = load_model(model, dtype or torch.float32, "cpu").requires_grad_(False)
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **options)
    return network, get_peft_model(network, config, NAME)


# Working copies


@pytest.mark.parametrize("base", ["float32", "bfloat16"])
def test_steps_are_taken_in_float32_and_rounded_into_the_copies(model, base):
    network = load_model(model, getattr(torch, base), "cpu").requires_grad_(True)
    dtypes = {name: parameter.dtype for name, parameter in network.named_parameters()}
    before = {name: parameter.detach().float().clone() for name, parameter in network.named_parameters()}
    step = 2.0**-12
    with working_copies(network, torch.bfloat16) as working:
        assert {parameter.dtype for parameter in working.trained} == {torch.float32}
        weight = network.model.layers[0].mlp.up_proj.weight
        assert weight.dtype == torch.bfloat16
        for _ in range(3):
            weight.mean().backward()
            assert weight.grad is None
            for parameter in working.trained:
                parameter.data.add_(step)
            working.update()
    assert {name: parameter.dtype for name, parameter in network.named_parameters()} == dtypes
    for name, parameter in network.named_parameters():
        wanted = (before[name] + 3 * step).to(dtypes[name])
        assert torch.allclose(parameter.float(), wanted.float(), rtol=0, atol=1e-7), name


def test_gradients_of_a_step_are_added_up_in_float32(model):
    network = load_model(model, torch.bfloat16, "cpu").requires_grad_(True)
    with working_copies(network, torch.bfloat16) as working:
        weight = network.model.layers[0].mlp.up_proj.weight
        for factor in (1.0, 2.0**-9):  # whose sum in bfloat16 is the first
            (weight.sum() * factor).backward()
        (gradient,) = (parameter.grad for parameter in working.trained if parameter.grad is not None)
        assert gradient.dtype == torch.float32
        assert torch.equal(gradient, torch.full_like(gradient, 1 + 2.0**-9))


def test_frozen_weights_are_cast_once_and_come_back(model):
    network, peft = make_lora(model)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with working_copies(peft, torch.bfloat16) as working:
        layer = network.model.layers[0].mlp.up_proj
        assert layer.base_layer.weight.dtype == layer.lora_A[NAME].weight.dtype == torch.bfloat16
        assert network.model.embed_tokens.weight.dtype == torch.float32
        assert len(working.trained) == len([p for p in peft.parameters() if p.requires_grad])
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}


# Steps


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_losses_and_weights_are_those_of_the_plain_trainer(model, tmp_path, method, precision):
    rows = make_rows(24)
    settings = TrainSettings(
        method=method,
        epochs=2,
        batch_size=3,
        accumulation=2,
        learning_rate=3e-3,
        precision=precision,
        warmup=0.2,
        weight_decay=0.1,
    )
    ours, losses = make_trainable(model, method), []
    watch = Watch(lambda step, steps, loss, tokens: losses.append(loss), threading.Event())
    train_rows(*ours, Rows(rows), settings, 3, watch, Share())
    plain = make_trainable(model, method)
    expected = train_plainly(plain[1], rows, settings, tmp_path)
    near = 1e-4 if precision == "float32" else 0.02
    assert losses == pytest.approx(expected, rel=near)
    assert losses[-1] < losses[0] - 0.1
    pairs = zip(ours[1].parameters(), plain[1].parameters(), strict=True)
    differences = [float((one - two).detach().abs().max()) for one, two in pairs]
    assert max(differences) < (1e-4 if precision == "float32" else 0.02)


def make_trainable(model: Path, method: str) -> tuple[Any, Any]:
    if method == "lora":
        return make_lora(model)
    network = load_model(model, torch.float32, "cpu").requires_grad_(True)
    return network, network


def train_plainly(network: Any, rows: Any, settings: TrainSettings, folder: Path) -> list[float]:
    """Train with the Trainer of transformers on the same batches."""
    from torch.utils.data import DataLoader
    from transformers import PrinterCallback, Trainer, TrainingArguments

    class Same(Trainer):
        def get_train_dataloader(self):
            batches = Batches([len(ids) for ids, _ in rows], settings, 3)
            return DataLoader(rows, batch_sampler=batches, collate_fn=collate_masked)

    arguments = TrainingArguments(
        str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=3,
        gradient_accumulation_steps=2,
        learning_rate=settings.rate,
        lr_scheduler_type="cosine",
        weight_decay=0.1,
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        bf16=settings.precision == "bfloat16",
        warmup_steps=int(0.2 * 8),
    )
    trainer = Same(network, arguments, train_dataset=rows)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


# Attention of one column over a cache


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_steps_in_bfloat16_use_plain_products_and_agree_with_each_text_alone(tmp_path, monkeypatch, kind, dtype):
    """The texts alone, and with long caches all steps, use the kernel that the model was opened with."""
    model = load_model(make_model(tmp_path / "m", 1, kind), dtype, "cpu")
    usual, used = model.config._attn_implementation, []
    weights = Weights(model, tmp_path / "m", "hash")

    def record(module, arguments, given):
        kernel = module.config._attn_implementation
        used.append((given["input_ids"].shape[1], kernel))

    with model.register_forward_pre_hook(record, with_kwargs=True) as _:
        near = measure(weights)
        steps = {kernel for columns, kernel in used if columns == 1}
        assert {kernel for columns, kernel in used if columns > 1} == {usual}
        assert steps == ({"eager"} if dtype == torch.bfloat16 and usual == "sdpa" else {usual})
        assert model.config._attn_implementation == usual
        used.clear()
        monkeypatch.setattr(attention, "SHORT", 0)
        assert measure(weights) == pytest.approx(near, abs=0.05)
        assert {kernel for _, kernel in used} == {usual}
