"""Training on a tiny random model: the right tokens, the right loss, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backends.contract_tools import run
from backends.hf import HuggingFace
from backends.training import Training, TrainSettings
from society.core.errors import BackendError, InputError, TooLongError
from society.core.types import Adapter, ChatMessage, Example, GenerateRequest, Sampling, TurnId
from tests.backends.hf.tiny import make_model

torch = pytest.importorskip("torch")

from backends.hf import attention  # noqa: E402
from backends.hf import train as training  # noqa: E402
from backends.hf.adapters import hash_adapter  # noqa: E402
from backends.hf.attention import fast_attention  # noqa: E402
from backends.hf.chat import Chat  # noqa: E402
from backends.hf.examples import encode, fit  # noqa: E402
from backends.hf.loading import load_model, load_tokenizer  # noqa: E402
from backends.hf.mixing import Stack  # noqa: E402
from backends.hf.scoring import collate, learned_logits  # noqa: E402
from backends.hf.weights import BASE  # noqa: E402

COLOURS = ("red", "green", "blue", "one", "two", "three", "four", "cat", "dog")
FAST = TrainSettings(epochs=16, batch_size=3, accumulation=1, learning_rate=2e-2, rank=4, precision="float32")


def compiler(test):
    """Mark a test that compiles, which uses functions that torch itself deprecates."""
    skip = pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs a C++ compiler")
    for warning in ("`torch.jit:DeprecationWarning", "TensorFloat32:UserWarning", "The .grad attribute:UserWarning"):
        test = pytest.mark.filterwarnings(f"ignore:{warning}")(test)
    return skip(test)


def example(question: str, *replies: str) -> Example:
    """Return a row in which every reply is said; the last one is learned."""
    messages = [ChatMessage("user", question)]
    for reply in replies:
        messages += [ChatMessage("assistant", reply), ChatMessage("user", "so ?")]
    return Example(tuple(messages[:-1]), TurnId(0, "q", "debate", 1, "a"), "test")


COPIES = [example(f"{colour} ?", colour) for colour in COLOURS]


@pytest.fixture(scope="module")
def chat(model: Path) -> Chat:
    return Chat(load_tokenizer(model, None), [])


@pytest.fixture
def config(model: Path) -> HuggingFace:
    return HuggingFace(model=str(model))


@pytest.fixture
def exact(model: Path) -> HuggingFace:
    """Return the same model in float32, whatever `--dtype` is: for sums that must be equal but for their order."""
    return HuggingFace(model=str(model), dtype="float32")


@pytest.fixture(scope="module")
def trained(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Return a LoRA that copies."""
    folder = tmp_path_factory.mktemp("trained") / "copy"
    return train(HuggingFace(model=str(model)), folder)


def train(config: HuggingFace, folder: Path, settings: TrainSettings = FAST, examples=COPIES, **options) -> Training:
    async def use(backend):
        start, seed = options.pop("start", None), options.pop("seed", 1)
        return await backend.trainer.train(examples, settings, start, folder, seed=seed, **options)

    return run(config, use)


# Rows


def test_only_the_last_reply_and_its_end_are_learned(chat):
    ids, start = chat.row_ids(example("the cat", "red", "blue . dog").messages)
    labels = collate([(ids, start)])["labels"][0].tolist()
    learned = [chat.tokenizer.decode([token]) for token in labels if token != -100]
    assert learned == ["blue", " ", ".", " ", "dog", "<|end|>"]
    assert chat.tokenizer.decode(ids) == (
        "<|bos|><|user|> the cat <|end|>\n<|assistant|> red <|end|>\n<|user|> so ? <|end|>\n"
        "<|assistant|> blue . dog<|end|>"
    )
    assert labels.index(chat.tokenizer.convert_tokens_to_ids("blue")) == start == len(ids) - 6


def test_batches_are_padded_where_nothing_is_learned():
    batch = collate([([1, 2, 3], 1), ([4, 5, 6, 7, 8], 4)])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[-100, 2, 3, -100, -100], [-100, -100, -100, -100, 8]]


def test_training_sees_the_tokens_that_inference_saw_and_said(config, trained):
    async def use(backend):
        await backend.adapters.load(trained.adapter)
        question = (ChatMessage("user", "blue ?"),)
        from backends.hf.rows import Row

        row = Row(GenerateRequest(question, Sampling(0.0), 1, trained.adapter.hash), [], backend.tokenizer)
        row.prompt = backend.tokenizer.prompt_ids(question)
        await backend._batcher.generate(row)
        said = ChatMessage("assistant", row.text)
        return row, backend.tokenizer.row_ids((*question, said))

    row, (ids, start) = run(config, use)
    assert row.text == "blue"
    assert ids == row.prompt + row.ids
    assert start == len(row.prompt)


def test_a_row_must_end_with_a_reply(chat):
    with pytest.raises(InputError, match="assistant"):
        chat.row_ids([ChatMessage("user", "red")])


@given(st.integers(0, 60), st.integers(1, 40), st.integers(8, 70))
def test_a_cut_takes_from_the_middle_of_the_context_alone(context, reply, limit):
    ids, settings = list(range(context + reply)), TrainSettings(max_length=limit, too_long="cut")
    result = fit(ids, context, settings)
    if len(ids) <= limit:
        assert result == (ids, context)
    elif result is not None:
        cut, start = result
        assert len(cut) == limit
        assert cut[start:] == ids[context:]
        head = next(i for i, token in enumerate(cut) if i != token)
        assert cut[:head] == ids[:head]
        assert cut[head:] == ids[-len(cut[head:]) :]
        assert 4 <= head <= start - 4
    else:
        assert limit - reply < 8
        assert fit(ids, context, settings.model_copy(update={"too_long": "drop"})) is None


def test_too_long_examples_are_counted(chat):
    examples = [example("cat " * n, "red") for n in (1, 1, 30)]
    dropped = encode(chat, examples, TrainSettings(max_length=40))
    assert (len(dropped.rows), dropped.dropped, dropped.cut) == (2, 1, 0)
    cut = encode(chat, examples, TrainSettings(max_length=40, too_long="cut"))
    assert (len(cut.rows), cut.dropped, cut.cut) == (3, 0, 1)
    assert max(len(ids) for ids, _ in cut.rows) == 40


def test_without_too_long_examples_weights_have_the_mean_one_again(chat):
    short, long = example("cat", "red"), example("cat " * 30, "red")
    weighed = [replace(e, weight=w) for e, w in ((short, 0.5), (long, 1.0), (short, 1.5), (short, 1.0))]
    assert encode(chat, weighed[:1] + weighed[2:], TrainSettings()).weights == (0.5, 1.5, 1.0)
    rows = encode(chat, [weighed[0], weighed[1], weighed[3]], TrainSettings(max_length=40))
    assert rows.omitted == {1: "too long"}
    assert rows.weights == (0.5 / 0.75, 1.0 / 0.75)


def test_what_cannot_be_learned_without_a_too_long_example_is_omitted(chat):
    """The other reply of a pair, and undesired replies of an agent that are more than its desired ones."""
    short, long = example("cat", "red"), example("cat " * 30, "red")
    bad = replace(short, desired=False)
    settings = TrainSettings(max_length=40)
    pairs = encode(chat, [short, bad, long, bad, short, replace(long, desired=False)], settings, width=2)
    partner = "the other reply of its pair is too long"
    assert pairs.omitted == {2: "too long", 3: partner, 4: partner, 5: "too long"}
    assert (len(pairs.rows), pairs.dropped) == (2, 4)
    other = replace(bad, source=replace(bad.source, agent="b"))
    singles = encode(chat, [short, long, bad, bad, other], settings)
    assert singles.omitted == {
        1: "too long",
        3: "more undesired than desired rows",
        4: "more undesired than desired rows",
    }
    assert (singles.desired, singles.dropped) == ((True, False), 1)
    assert not encode(chat, [short, bad, bad], settings).omitted  # selection limits them already


def test_nothing_to_learn_from_is_an_error(chat):
    with pytest.raises(InputError, match="no examples"):
        encode(chat, [], TrainSettings())
    with pytest.raises(TooLongError, match="longer than max_length"):
        encode(chat, [example("cat " * 40, "red")], TrainSettings(max_length=20))
    empty = replace(example("red", ""), finish_reason="length")  # not even an end of turn is learned
    with pytest.raises(InputError, match="no tokens to learn"):
        encode(chat, [example("red", "blue"), empty], TrainSettings())


# Loss


def test_loss_at_learned_positions_equals_the_loss_over_full_logits(model, chat):
    network = load_model(model, torch.float32, "cpu")
    batch = collate([chat.row_ids(example("the cat " * n, "red . " * n).messages) for n in (1, 4, 2)])
    full = network(**batch).loss
    logits, labels = learned_logits(network, network, batch)
    assert torch.nn.functional.cross_entropy(logits, labels).item() == pytest.approx(full.item(), abs=1e-5)
    assert logits.shape[0] == (batch["labels"] != -100).sum() < batch["labels"].numel() / 3


def test_loss_goes_down_and_the_reply_is_learned(trained):
    assert trained.losses[-1] < 0.1 * trained.losses[0]
    assert trained.losses[0] > 2


def test_the_first_of_few_steps_learns_already(config, tmp_path):
    """A warm-up begins at rate 0: rounded up, it would take the only step of a small training."""
    few = FAST.model_copy(update={"epochs": 2, "batch_size": len(COPIES)})
    first, second = train(config, tmp_path / "few", few).losses
    assert second < first - 0.01


def test_training_says_what_it_cost(config, chat, tmp_path):
    told = []
    settings = FAST.model_copy(update={"epochs": 2, "accumulation": 2})
    result = train(config, tmp_path / "a", settings, on_step=lambda *step: told.append(step))
    tokens = 2 * sum(len(chat.row_ids(copy.messages)[0]) for copy in COPIES)
    assert result.tokens == tokens
    assert (result.examples, result.dropped, result.cut) == (9, 0, 0)
    assert [(step, steps) for step, steps, _, _ in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert tuple(loss for _, _, loss, _ in told) == result.losses
    assert told[-1][3] == tokens


def test_accumulation_gives_the_loss_of_the_whole_step(exact, tmp_path):
    rows = [example("cat", "red " * n) for n in (1, 2, 4, 9)]
    one = TrainSettings(epochs=1, batch_size=4, accumulation=1, rank=4, precision="float32", warmup=0)
    four = one.model_copy(update={"batch_size": 1, "accumulation": 4})
    together = train(exact, tmp_path / "a", one, rows)
    apart = train(exact, tmp_path / "b", four, rows)
    assert apart.losses == pytest.approx(together.losses, rel=1e-5)


@pytest.mark.parametrize(("rows", "size", "accumulation"), [(10, 4, 2), (9, 1, 8), (9, 2, 4), (7, 8, 1)])
def test_batches_of_a_step_give_the_weights_of_one_batch(exact, tmp_path, rows, size, accumulation):
    from safetensors.torch import load_file

    examples = [example("the cat " * (i % 3 + 1), "red " * (i % 4 + 1)) for i in range(rows)]
    whole = TrainSettings(epochs=2, batch_size=8, accumulation=1, rank=4, learning_rate=1e-3, precision="float32")
    parts = whole.model_copy(update={"batch_size": size, "accumulation": accumulation})
    together = train(exact, tmp_path / "a", whole, examples)
    apart = train(exact, tmp_path / "b", parts, examples)
    assert apart.losses == pytest.approx(together.losses, rel=1e-5)
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("a", "b"))
    assert one.keys() == two.keys()
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4


def test_gradient_checkpointing_changes_memory_alone(config, trained, tmp_path):
    again = train(config, tmp_path / "a", FAST.model_copy(update={"gradient_checkpointing": True}))
    assert again.losses == pytest.approx(trained.losses, abs=1e-4)


@pytest.mark.slow
@compiler
def test_compiled_steps_learn_the_same_and_are_compiled_once(config, trained, tmp_path):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    quick = FAST.model_copy(update={"compile": True})
    assert train(config, tmp_path / "a", quick).losses == pytest.approx(trained.losses, abs=1e-4)
    compiled = counters["stats"]["unique_graphs"]
    assert compiled
    train(config, tmp_path / "b", quick, COPIES[:5])
    assert counters["stats"]["unique_graphs"] == compiled


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_layers_that_are_alike_are_compiled_once(tmp_path, monkeypatch):
    from torch._dynamo.utils import counters

    compile_layer = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **options: compile_layer(self, backend="eager", **options)
    )
    torch._dynamo.reset()
    counters.clear()
    deep = HuggingFace(model=str(make_model(tmp_path / "deep", num_hidden_layers=6)))
    train(deep, tmp_path / "a", FAST.model_copy(update={"compile": True, "precision": "bfloat16", "epochs": 1}))
    assert counters["stats"]["unique_graphs"] <= 2  # the first layer's inputs need no gradients


@pytest.mark.slow
@compiler
def test_compiling_without_a_compiler_says_what_is_missing(config, tmp_path, monkeypatch):
    from torch._inductor.exc import InvalidCxxCompiler

    def search() -> str:
        raise InvalidCxxCompiler

    torch._dynamo.reset()
    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", search)
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    with pytest.raises(BackendError, match="Install a C"):
        train(config, tmp_path / "a", FAST.model_copy(update={"compile": True}))


def test_bfloat16_learns_as_well(config, trained, tmp_path):
    again = train(config, tmp_path / "a", FAST.model_copy(update={"precision": "bfloat16"}))
    assert again.losses[-1] == pytest.approx(trained.losses[-1], abs=0.1)
    assert again.losses != trained.losses


def test_small_steps_in_bfloat16_are_not_rounded_away(config, tmp_path):
    small = FAST.model_copy(update={"epochs": 6, "batch_size": len(COPIES), "learning_rate": 1e-4})

    def gain(precision: str) -> float:
        losses = train(config, tmp_path / precision, small.model_copy(update={"precision": precision})).losses
        return losses[0] - losses[-1]

    assert gain("bfloat16") > 0.4 * gain("float32") > 0


def test_short_batches_in_bfloat16_are_computed_by_plain_products(model, chat):
    inner = load_model(model, torch.float32, "cpu")
    inputs = collate(encode(chat, COPIES, FAST).rows)
    parameters = [p for p in inner.parameters() if p.requires_grad]

    def learn() -> tuple[float, list[torch.Tensor]]:
        with torch.autocast("cpu", torch.bfloat16):
            logits, labels = learned_logits(inner, inner, inputs)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        return float(loss.detach()), torch.autograd.grad(loss, parameters)

    loss, gradients = learn()
    with fast_attention(inner, torch.bfloat16) as fit_attention:
        fit_attention(inputs["input_ids"].shape[1])
        assert inner.config._attn_implementation == "eager"
        other, others = learn()
        fit_attention(attention.SHORT + 1)
        assert inner.config._attn_implementation == "sdpa"
        fit_attention(1)
    assert inner.config._attn_implementation == "sdpa"
    assert other == pytest.approx(loss, abs=0.01)
    for one, two in zip(gradients, others, strict=True):
        assert torch.nn.functional.cosine_similarity(one.flatten(), two.flatten(), dim=0) > 0.99


def test_float32_and_other_attentions_are_left_alone(model):
    inner = load_model(model, torch.float32, "cpu")
    with fast_attention(inner, None) as fit_attention:
        fit_attention(1)
        assert inner.config._attn_implementation == "sdpa"
    inner.set_attn_implementation("eager")
    with fast_attention(inner, torch.bfloat16) as fit_attention:
        fit_attention(attention.SHORT + 1)
        assert inner.config._attn_implementation == "eager"


def test_attention_changes_between_batches_under_gradient_checkpointing(config, tmp_path, monkeypatch):
    rows = COPIES[:3] + [example("the cat sat on a mat and the dog ran far ?", "cat")] * 3
    settings = FAST.model_copy(update={"precision": "bfloat16", "epochs": 2, "accumulation": 2})
    monkeypatch.setattr(attention, "SHORT", 20)
    whole = train(config, tmp_path / "a", settings, rows)
    again = train(config, tmp_path / "b", settings.model_copy(update={"gradient_checkpointing": True}), rows)
    assert again.losses == pytest.approx(whole.losses, abs=0.01)


# Seeds, and going on from before


def test_same_seed_same_adapter(config, trained, tmp_path):
    again = train(config, tmp_path / "elsewhere")
    other = train(config, tmp_path / "other", seed=2)
    assert again.adapter.hash == trained.adapter.hash == hash_adapter(tmp_path / "elsewhere")
    assert other.adapter.hash != trained.adapter.hash


def test_training_has_the_model_for_itself_whatever_was_asked_before(config, trained, tmp_path, monkeypatch):
    other = train(config, tmp_path / "other", FAST.model_copy(update={"rank": 2, "epochs": 1}))
    question, during = (ChatMessage("user", "blue ?"),), []

    def watched(job, *others, loop=training.run):
        during.append(len(job.weights.peft.peft_config))
        loop(job, *others)

    async def use(backend):
        weights, score = backend._batcher.batch.weights, backend.likelihood.logprob
        for adapter in (trained.adapter, other.adapter):
            await backend.adapters.load(adapter)
        before = [await score(question, "blue", one.adapter.hash) for one in (trained, other)]
        again = await backend.trainer.train(COPIES, FAST, None, tmp_path / "again", seed=1)
        after = [await score(question, "blue", one.adapter.hash) for one in (trained, other)]
        return before, again, after, set(weights.peft.peft_config)

    monkeypatch.setattr(training, "run", watched)
    before, again, after, on_the_model = run(config, use)
    assert during == [1]
    assert again.adapter.hash == trained.adapter.hash
    assert after == before
    assert on_the_model == {trained.adapter.hash, other.adapter.hash}


def test_training_goes_on_from_an_adapter(config, trained, tmp_path):
    short = FAST.model_copy(update={"epochs": 1, "learning_rate": 1e-4})
    further = train(config, tmp_path / "a", short, start=trained.adapter)
    assert further.losses[0] < 0.6 < 2 < trained.losses[0]
    with pytest.raises(InputError, match="rank 4"):
        train(config, tmp_path / "b", FAST.model_copy(update={"rank": 8}), start=trained.adapter)


def test_full_finetuning_leaves_the_base_as_it_was(config, trained, tmp_path):
    full = TrainSettings(method="full", epochs=12, batch_size=3, accumulation=1, learning_rate=1e-2)
    question = (ChatMessage("user", "blue ?"),)

    async def use(backend):
        await backend.adapters.load(trained.adapter)
        score = backend.likelihood.logprob
        before = [await score(question, "blue"), await score(question, "blue", trained.adapter.hash)]
        first = await backend.trainer.train(COPIES, full, None, tmp_path / "first", seed=1)
        await backend.adapters.load(first.adapter)
        after = [await score(question, "blue"), await score(question, "blue", trained.adapter.hash)]
        further = await backend.trainer.train(
            COPIES, full.model_copy(update={"epochs": 1}), first.adapter, tmp_path / "second", seed=1
        )
        names = [None, first.adapter.hash, trained.adapter.hash, first.adapter.hash]
        requests = [GenerateRequest(question, Sampling(0.0, max_tokens=5), 1, name) for name in names]
        outputs = await asyncio.gather(*map(backend.generate, requests))
        return before, after, first, further, [output.text for output in outputs]

    before, after, first, further, texts = run(config, use)
    assert [tokens for _, tokens in after] == [2, 2]
    assert [p for p, _ in after] == pytest.approx([p for p, _ in before], abs=1e-5)
    assert further.losses[0] < 0.3 < 2 < first.losses[0]
    assert texts[1:] == ["blue", "blue", "blue"] != [texts[0]] * 3
    assert (tmp_path / "first" / "config.json").exists()
    with pytest.raises(InputError, match="full weights"):
        train(config, tmp_path / "c", start=first.adapter)
    with pytest.raises(InputError, match="LoRA adapter"):
        train(config, tmp_path / "d", full, start=trained.adapter)


# Adapters


def test_adapters_mixed_in_a_batch_say_what_each_says_alone(exact, trained, tmp_path):
    other = train(exact, tmp_path / "other", FAST.model_copy(update={"rank": 2, "targets": ("q_proj", "up_proj")}))
    names = [None, trained.adapter.hash, other.adapter.hash, trained.adapter.hash, None]

    async def use(backend):
        for adapter in (trained.adapter, other.adapter, trained.adapter):
            await backend.adapters.load(adapter)
        weights = backend._batcher.batch.weights
        ids = torch.tensor([backend.tokenizer.prompt_ids((ChatMessage("user", "red ?"),))], device=weights.device)
        with torch.inference_mode():
            alone = torch.cat([weights.forward([name], input_ids=ids).logits for name in names])
            mixed = weights.forward(names, input_ids=ids.expand(5, -1)).logits
            weights._unstack()
            theirs = weights.peft(adapter_names=[name or BASE for name in names], input_ids=ids.expand(5, -1)).logits
        return alone, mixed, theirs

    alone, mixed, theirs = run(exact, use)
    assert torch.allclose(alone, mixed, atol=1e-4)
    assert torch.allclose(theirs, mixed, atol=1e-4)
    assert not torch.allclose(mixed[0], mixed[1], atol=1e-1)
    assert not torch.allclose(mixed[1], mixed[2], atol=1e-1)
    assert torch.equal(mixed[0], mixed[4])


def test_an_adapter_that_is_more_than_two_matrices_is_left_to_peft(exact, trained, tmp_path):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(load_model(Path(exact.model), torch.float32, "cpu"), LoraConfig(r=2, use_dora=True))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path / "dora")
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        expected = model(input_ids=ids).logits

    async def use(backend):
        dora = backend.adapters.identify(tmp_path / "dora")
        for adapter in (dora, trained.adapter):
            await backend.adapters.load(adapter)
        weights = backend._batcher.batch.weights
        with torch.inference_mode():
            here = ids.to(weights.device)
            before, after = (weights.forward([dora.hash], input_ids=here).logits.cpu() for _ in range(2))
            other = weights.forward([trained.adapter.hash], input_ids=here).logits.cpu()
        return before, other, after

    before, other, after = run(exact, use)
    assert torch.allclose(before, expected, atol=1e-4)
    assert torch.equal(before, after)
    assert not torch.allclose(other, before, atol=1e-1)


def test_what_a_young_adapter_adds_is_said_in_bfloat16_too():
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import LoraLayer

    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(256, 256)).bfloat16()
    peft = get_peft_model(model, LoraConfig(r=4, target_modules=["0"], init_lora_weights=False), "young")
    (layer,) = (module for module in peft.modules() if isinstance(module, LoraLayer))
    layer.lora_B["young"].weight.data *= 1e-3
    stack = Stack(peft, ["young"])
    inputs = torch.randn(2, 500, 256).bfloat16()
    with torch.no_grad():
        added = layer.lora_B["young"](layer.lora_A["young"](inputs.float())) * layer.scaling["young"]
        plain = layer.base_layer(inputs).float()
        with stack.on(["young", "nobody"], 500):
            gained = layer.base_layer(inputs).float() - plain
        stack.remove()
        assert torch.equal(layer.base_layer(inputs).float(), plain)
    assert float(added.abs().mean()) < float(plain.abs().mean()) / 512
    assert float((gained[0] * added[0]).sum() / added[0].square().sum()) == pytest.approx(1, abs=0.1)
    assert torch.equal(gained[1], torch.zeros_like(gained[1]))


def test_adapters_find_their_rows_where_a_model_flattens_them_and_refuse_a_part_of_the_tokens():
    from peft import LoraConfig, get_peft_model

    model = torch.nn.Sequential(torch.nn.Linear(8, 8))
    peft = get_peft_model(model, LoraConfig(r=2, target_modules=["0"], init_lora_weights=False), "one")
    layer, inputs = peft.base_model.model[0], torch.randn(2, 3, 8)
    stack = Stack(peft, ["one"])
    with torch.no_grad(), stack.on(["one", "nobody"], 3):
        expected = layer(inputs)
        assert torch.allclose(expected[1], torch.nn.functional.linear(inputs[1], *layer.base_layer.parameters()))
        assert torch.allclose(layer(inputs.flatten(0, 1)), expected.flatten(0, 1))
        assert torch.allclose(layer(inputs[:, None])[:, 0], expected)
        with pytest.raises(BackendError, match="does not compute all tokens"):
            layer(inputs.flatten(0, 1)[:4])
    stack.remove()
    with torch.no_grad():  # PEFT's layers act again
        assert torch.allclose(layer(inputs)[0], expected[0], atol=1e-5)
        assert not torch.allclose(layer(inputs)[1], expected[1], atol=1e-2)


def test_the_folder_holds_the_adapter_and_no_trace_of_the_machine(trained):
    folder = Path(trained.adapter.path)
    assert {path.name for path in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert not list(folder.parent.glob("*.part"))
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert (settings["base_model_name_or_path"], settings["r"], settings["lora_alpha"]) == ("", 4, 8.0)
    assert str(folder.parent) not in (folder / "adapter_config.json").read_text()


def refused(config: HuggingFace, adapter: Adapter, match: str) -> None:
    with pytest.raises(BackendError, match=match) as caught:
        run(config, lambda backend: backend.adapters.load(adapter))
    assert caught.value.remedy


def test_adapters_that_do_not_fit_are_refused(config, trained, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(trained.adapter.path, folder)
    here = replace(trained.adapter, path=str(folder))
    refused(config, replace(here, base="0" * 64), "was trained on the base")

    wide = make_model(tmp_path / "wide", hidden_size=64)
    narrow_here = replace(here, base=run(HuggingFace(model=str(wide)), hash_of))
    refused(HuggingFace(model=str(wide)), narrow_here, "does not fit this model")

    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"lora_alpha": 1}))
    refused(config, here, "its files have changed")

    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(b"pickle")
    refused(config, here, "holds no .safetensors")


async def hash_of(backend) -> str:
    return backend.model_hash


# What goes wrong


def test_a_loss_that_is_not_finite_says_what_to_lower(config, tmp_path):
    wild = FAST.model_copy(update={"learning_rate": 1e30, "warmup": 0.0})
    with pytest.raises(BackendError, match="loss is") as caught:
        train(config, tmp_path / "a", wild)
    assert "learning_rate" in caught.value.remedy
    assert not (tmp_path / "a").exists()


def test_running_out_of_memory_says_what_to_lower(config, monkeypatch, tmp_path):
    def no_memory(*_args):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("backends.hf.goals.collate", no_memory)
    with pytest.raises(BackendError, match="batches of 3") as caught:
        train(config, tmp_path / "a")
    assert "batch_size" in caught.value.remedy
    assert "gradient_checkpointing" in caught.value.remedy
    full = TrainSettings(method="full", gradient_checkpointing=True)
    with pytest.raises(BackendError, match="batches of 8") as caught:
        train(config, tmp_path / "b", full)
    assert "adamw_8bit" in caught.value.remedy
    assert "gradient_checkpointing" not in caught.value.remedy


def test_layers_that_do_not_exist_are_an_error(config, tmp_path):
    with pytest.raises(InputError, match="nose"):
        train(config, tmp_path / "a", FAST.model_copy(update={"targets": ("nose",)}))


def test_each_target_must_be_a_layer(config, tmp_path):
    with pytest.raises(InputError, match="'v_projection'") as caught:
        train(config, tmp_path / "a", FAST.model_copy(update={"targets": ("q_proj", "v_projection")}))
    assert "Did you mean v_proj?" in caught.value.remedy
    assert caught.value.below == ("targets",)


def test_cancelling_leaves_no_folder_and_a_usable_backend(config, tmp_path):
    async def use(backend):
        started = asyncio.Event()
        task = asyncio.create_task(
            backend.trainer.train(
                COPIES,
                FAST.model_copy(update={"epochs": 4000}),
                None,
                tmp_path / "a",
                seed=1,
                on_step=lambda *_: started.set(),
            )
        )
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await backend.trainer.train(COPIES, FAST, None, tmp_path / "b", seed=1)

    assert run(config, use).losses[-1] < 0.5
    assert not (tmp_path / "a").exists()


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError, match="no LoRA matrices"):
        TrainSettings(method="full", rank=4)
    with pytest.raises(ValidationError):
        TrainSettings(warmup=1.5)
    assert TrainSettings.model_validate({"targets": ["q_proj"]}).targets == ("q_proj",)
    assert (TrainSettings().rate, TrainSettings(method="full").rate) == (2e-4, 1e-5)
    assert TrainSettings(rank=8).scale == 16
