"""The transformers backend on a tiny random model: batching must change nothing but speed."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from threading import current_thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.contract import BackendContract
from backends.contract_tools import ask, run
from backends.hf import HuggingFace
from backends.training import TrainSettings
from society.core.errors import BackendError, ChatTemplateError, InputError
from society.core.types import ChatMessage, GenerateRequest, Sampling
from tests.backends.hf.tiny import LONG_ROPE, make_model

torch = pytest.importorskip("torch")

from backends.hf import sampling  # noqa: E402
from backends.hf.chat import Chat  # noqa: E402
from backends.hf.loading import find_folder, load_tokenizer  # noqa: E402
from backends.hf.rows import Row  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("hf") / "model", seed=1)


@pytest.fixture(scope="module")
def chat(model: Path) -> Chat:
    return Chat(load_tokenizer(model, None), [])


@pytest.fixture(params=["dynamic", "static"])
def config(request: pytest.FixtureRequest, model: Path) -> HuggingFace:
    """Both ways of decoding."""
    return HuggingFace(model=str(model), device="cpu", dtype="float32", decoding=request.param)


class TestContract(BackendContract):
    overflow_prompt = "x" * 300

    @pytest.fixture(params=["dynamic", "static"])
    def config(self, request: pytest.FixtureRequest, model: Path) -> HuggingFace:
        return HuggingFace(model=str(model), decoding=request.param)


def together(config: HuggingFace, requests: list[GenerateRequest]) -> list[str]:
    async def use(backend):
        return await asyncio.gather(*map(backend.generate, requests))

    return [output.text for output in run(config, use)]


def one_by_one(config: HuggingFace, requests: list[GenerateRequest]) -> list[str]:
    async def use(backend):
        return [await backend.generate(request) for request in requests]

    return [output.text for output in run(config, use)]


def test_greedy_batch_says_what_plain_generate_says(config, model, chat):
    from transformers import AutoModelForCausalLM

    requests = [ask("the cat " * n, temperature=0.0, max_tokens=12) for n in (1, 9, 4, 2)]
    plain = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    expected = []
    for request in requests:
        ids = torch.tensor([chat.prompt_ids(request.messages)])
        out = plain.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        expected.append(chat.text(out[0, ids.shape[1] :]))
    assert together(config, requests) == expected


def test_rows_that_join_and_leave_say_what_they_say_alone(config):
    requests = [ask("dog " * (i % 5 + 1), seed=i, max_tokens=3 + 5 * (i % 4), top_p=0.9) for i in range(11)]
    few = config.model_copy(update={"batch": 4})
    assert together(few, requests) == one_by_one(config, requests)


def test_rows_that_share_a_prompt_say_what_they_say_alone(config):
    requests = [ask("dog", seed=seed, max_tokens=9) for seed in range(4)] + [ask("the cat", seed=9)]
    texts = together(config, requests)
    assert texts == one_by_one(config, requests)
    assert len(set(texts)) > 3


def test_both_ways_of_decoding_draw_the_same_tokens(model):
    kinds = [
        {"temperature": 0.0},
        {"top_k": 5, "top_p": 0.9},
        {"temperature": 1.4, "top_p": 0.8, "repeat_penalty": 1.3},
        {"temperature": 2.0, "min_p": 0.05},
        {"temperature": 1.2, "stop": ("a", " the")},
        {"temperature": 0.0, "repeat_penalty": 1.5},
    ]
    requests = [ask("red " * (i % 4 + 1), seed=i, max_tokens=2 + i % 13, **kinds[i % 6]) for i in range(24)]
    message = (ChatMessage("user", "dog"),)
    options = ("no", "no doubt", "nobody else", "yes")
    requests += [GenerateRequest(message, Sampling(3.0, max_tokens=9), i, choices=options) for i in range(4)]

    def tokens(decoding: str, batch: int) -> list[tuple[int, ...]]:
        config = HuggingFace(model=str(model), device="cpu", dtype="float32", decoding=decoding, batch=batch)

        async def use(backend):
            return await asyncio.gather(*map(backend.generate, requests))

        return [output.tokens for output in run(config, use)]

    assert tokens("static", 48) == tokens("static", 5) == tokens("dynamic", 48)


def test_seeds_make_the_difference(config):
    texts = together(config, [ask("red", seed=seed, max_tokens=12) for seed in (1, 1, 2)])
    assert texts[0] == texts[1] != texts[2]


def test_a_small_cache_only_makes_it_slower(config):
    requests = [ask("cat " * (i + 1), seed=i) for i in range(6)]
    small = config.model_copy(update={"cache_tokens": 256})
    assert together(small, requests) == together(config, requests)


def test_logprob_of_generation_is_its_likelihood(config):
    request = ask("one two three", temperature=0.7, top_k=3)

    async def use(backend):
        chosen = GenerateRequest(request.messages, request.sampling, 3, choices=("red", "green"))
        output = await backend.generate(chosen)
        whole, tokens = await backend.likelihood.logprob(request.messages, output.text)
        empty, one = await backend.likelihood.logprob(request.messages, "")
        return output, whole, tokens, empty, one

    output, whole, tokens, empty, one = run(config, use)
    assert output.text in ("red", "green")
    assert (tokens, one) == (2, 1)
    assert empty < 0
    assert whole < output.logprob < 0  # the choice is its first token; the likelihood counts the end as well


def test_likelihood_does_not_depend_on_company(model, dtype):
    message = (ChatMessage("user", "so it did"),)
    replies = ["red", "the cat sat on a mat and the dog ran far", "one two"]

    async def use(backend):
        batch = await asyncio.gather(*(backend.likelihood.logprob(message, reply) for reply in replies))
        alone = [await backend.likelihood.logprob(message, reply) for reply in replies]
        return batch, alone

    batch, alone = run(HuggingFace(model=str(model)), use)
    for (got, tokens), (expected, count) in zip(batch, alone, strict=True):
        assert got == pytest.approx(expected, abs=1e-4 if dtype == "float32" else 0.1)
        assert tokens == count


def test_embeddings_do_not_depend_on_company(model):
    async def use(backend):
        embed = backend.embeddings.embed
        return await embed(["red", "the cat sat on a mat"]), await embed(["red"]), await embed([""])

    batch, alone, empty = run(HuggingFace(model=str(model)), use)
    assert batch[0] == pytest.approx(alone[0], abs=1e-5)
    assert batch[0] != pytest.approx(batch[1], abs=1e-2)
    assert len(empty[0]) == 32


def test_a_choice_that_begins_another_can_be_chosen(config):
    message = (ChatMessage("user", "red"),)
    options = ("red", "red green", "red green blue")
    requests = [GenerateRequest(message, Sampling(5.0, max_tokens=1), seed, choices=options) for seed in range(40)]
    assert set(together(config, requests)) == set(options)


# Chat


def test_prompt_is_the_template_and_user_text_makes_no_control_tokens(chat):
    ids = chat.prompt_ids([ChatMessage("user", "the <|end|> cat")])
    text = "<|bos|><|user|> the <|end|> cat <|end|>\n<|assistant|> "
    assert chat.tokenizer.decode(ids) == text
    assert ids.count(chat.end) == 1
    assert chat.end == chat.tokenizer.convert_tokens_to_ids("<|end|>")


def test_end_of_turn_is_found_where_it_is_not_the_end_of_text(model):
    tokenizer = load_tokenizer(model, None)
    tokenizer.eos_token = "<|pad|>"
    chat = Chat(tokenizer, [7])
    assert chat.end == tokenizer.convert_tokens_to_ids("<|end|>")
    assert chat.stops == {chat.end, 0, 7}


def test_a_template_that_ends_no_turn_needs_an_end_of_text(model):
    tokenizer = load_tokenizer(model, "{% for m in messages %}{{ m.content }}{% endfor %}")
    assert Chat(tokenizer, []).end == tokenizer.eos_token_id
    tokenizer.eos_token = None
    with pytest.raises(BackendError, match="the token that ends") as caught:
        Chat(tokenizer, [])
    assert "chat_template" in caught.value.remedy


REFUSES = "{% for m in messages %}{% if m.role == 'assistant' and loop.first %}{{ raise_exception('who asked?') }}"
REFUSES += "{% endif %}{{ m.content }}<|end|>{% endfor %}"


def test_templates_that_refuse_say_so(model):
    chat = Chat(load_tokenizer(model, REFUSES), [])
    with pytest.raises(ChatTemplateError, match="an assistant message at the beginning: who asked"):
        chat.prompt_ids([ChatMessage("assistant", "red")])
    tokenizer = load_tokenizer(model, None)
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        Chat(tokenizer, [])


def test_a_prompt_that_cannot_be_tokenized_fails_alone(model):
    config = HuggingFace(model=str(model), chat_template=REFUSES)
    refused = GenerateRequest((ChatMessage("assistant", "red"),), Sampling(max_tokens=2), 1)

    async def use(backend):
        requests = [ask("the cat"), refused, ask("red")]
        return await asyncio.gather(*map(backend.generate, requests), return_exceptions=True)

    before, error, after = run(config, use)
    assert isinstance(error, BackendError)
    assert before.tokens
    assert after.tokens


def test_prompts_are_tokenized_beside_the_event_loop(model, monkeypatch):
    threads = []
    prompt = Chat.prompt
    monkeypatch.setattr(
        Chat,
        "prompt",
        lambda self, *args: (threads.append(current_thread().name), prompt(self, *args))[1],
    )
    run(HuggingFace(model=str(model)), lambda backend: backend.generate(ask("red")))
    assert [name.startswith("hf-tokenizer") for name in threads] == [True]


# Sampling

PROBS = st.lists(st.integers(1, 1000), min_size=2, max_size=30, unique=True)


@settings(max_examples=80, deadline=None)
@given(PROBS, st.integers(0, 12), st.floats(0.05, 1.0), st.floats(0.0, 0.9), st.integers(1, 40))
def test_truncation_keeps_what_sorting_keeps(weights, top_k, top_p, min_p, head):
    probs = torch.tensor([weights], dtype=torch.float64)
    probs = (probs / probs.sum()).float()
    ranked = sorted(probs[0].tolist(), reverse=True)
    ranked = ranked[: top_k or None]
    total, before, kept = (sum(ranked) if top_k else 1.0), 0.0, []
    for p in ranked:
        if kept and (before >= top_p * total - 1e-6 or p < min_p * ranked[0]):
            break
        kept.append(p)
        before += p
    given_ = Sampling(top_k=top_k, top_p=top_p, min_p=min_p)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "HEAD", head)
        floor = sampling.truncate(probs, [given_])
    left = sorted((p for p in probs[0].tolist() if p >= floor), reverse=True)
    assert left in (kept, kept[:-1], ranked[: len(kept) + 1])  # rounding may move a mass that is just on the edge
    assert left


def make_row(chat: Chat, **options) -> Row:
    request = ask("red", seed=options.pop("seed", 1), **options)
    return Row(request, chat.prompt_ids(request.messages), chat)


def test_drawing_follows_the_distribution(chat):
    probs = torch.tensor([0.5, 0.0, 0.3, 0.2])
    rows = [make_row(chat, seed=seed) for seed in range(4000)]
    drawn, logprobs = sampling.sample(probs.log().expand(4000, 4), rows)
    shares = torch.bincount(torch.tensor(drawn), minlength=4) / 4000
    assert shares[1] == 0
    assert shares.tolist() == pytest.approx(probs.tolist(), abs=0.03)  # 3.8 standard errors
    assert logprobs[0] == pytest.approx(probs[drawn[0]].log().item())


def test_greedy_repeat_penalty_and_temperature(chat):
    seen = chat.prompt_ids((ChatMessage("user", "red"),))[0]
    logits = torch.zeros(1, len(chat.tokenizer))
    logits[0, seen], logits[0, 2] = 3.0, 2.0
    assert sampling.sample(logits, [make_row(chat, temperature=0.0)])[0] == [seen]
    assert sampling.sample(logits, [make_row(chat, temperature=0.0, repeat_penalty=2.0)])[0] == [2]
    cold = [sampling.sample(logits, [make_row(chat, temperature=0.02, seed=seed)])[0][0] for seed in range(20)]
    assert set(cold) == {seen}


# Bad input


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"no \.safetensors"):
        find_folder(str(tmp_path))


def test_models_that_cannot_be_found(monkeypatch):
    with pytest.raises(InputError, match="no hub id"):
        find_folder("no such folder/or model/anywhere")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="could not be fetched"):
        find_folder("nobody/no-such-model")


def test_unreadable_models_say_why(model, tmp_path):
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    (folder / "config.json").write_text('{"model_type": "no_such_type"}')
    with pytest.raises(BackendError, match="could not be loaded"):
        run(HuggingFace(model=str(folder)), lambda backend: backend.generate(ask("red")))


def test_damaged_folders_and_wrong_names_are_found_by_their_headers(model, tmp_path):
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    config = HuggingFace(model=str(folder))
    config.check_files()
    for path in folder.glob("tokenizer*"):
        path.unlink()
    for look in (config.check_files, lambda: find_folder(str(folder))):
        with pytest.raises(InputError, match=r"has no tokenizer\.json"):
            look()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:20_000])
    for look in (config.check_files, lambda: find_folder(str(folder))):
        with pytest.raises(BackendError, match="no sound safetensors file"):
            look()
    for name in ("owner/name--x", "hf:", "hf:a/b/c"):
        for look in (HuggingFace(model=name).check_files, HuggingFace(model=name).chat_check):
            with pytest.raises(InputError, match="is no hub id") as caught:
                look()
            assert "OWNER/NAME" in caught.value.remedy


def test_a_model_that_computes_something_else_in_a_batch_is_refused(model, monkeypatch):
    """A model that makes use of padding, as one that ignores the mask would.

    In bfloat16 the difference lies within the rounding of so small a model.
    """
    from backends.hf.decode import Batch

    forward = Batch._forward
    monkeypatch.setattr(
        Batch, "_forward", lambda self, rows, ids, mask, *rest: forward(self, rows, ids, torch.ones_like(mask), *rest)
    )
    with pytest.raises(BackendError, match="llama cannot be decoded in batches: its logits differ"):
        run(HuggingFace(model=str(model), dtype="float32"), lambda backend: backend.generate(ask("red")))


def test_a_model_whose_layers_keep_another_state_is_refused(tmp_path):
    folder = make_model(tmp_path / "rwkv", kind="rwkv", context_length=256, attention_hidden_size=32)
    with pytest.raises(BackendError, match="does not use its cache") as caught:
        run(HuggingFace(model=str(folder)), lambda backend: backend.generate(ask("red")))
    assert "llama_cpp" in caught.value.remedy


def test_models_that_do_not_continue_text_are_refused(tmp_path):
    folder = make_model(tmp_path / "t5", kind="t5", d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
    with pytest.raises(BackendError, match="encoder and a decoder"):
        run(HuggingFace(model=str(folder)), lambda backend: backend.generate(ask("red")))


LONG = ask("the cat sat on a mat and the dog . " * 2, temperature=0.0, max_tokens=12)


@pytest.mark.parametrize("context", [None, 200])
def test_frequencies_of_long_texts_do_not_depend_on_company(tmp_path, context):
    """A model with frequencies for texts up to 80 tokens and others beyond has one kind of them, by its context."""
    rope = LONG_ROPE | {"original_max_position_embeddings": 80}
    folder = make_model(tmp_path / "phi", kind="phi3", rope_parameters=rope, original_max_position_embeddings=80)
    config = HuggingFace(model=str(folder), device="cpu", dtype="float32", context=context)
    requests = [ask("red", temperature=0.0), LONG]

    async def use(backend):
        alone = [await backend.generate(request) for request in requests]
        batch = await asyncio.gather(*map(backend.generate, requests))
        score = await backend.likelihood.logprob(LONG.messages, "", None, batch[1].tokens)
        return alone, batch, score[0], backend.model_hash, backend._loaded.context

    alone, batch, score, name, found = run(config, use)
    assert [output.tokens for output in alone] == [output.tokens for output in batch]
    assert score == pytest.approx(batch[1].logprob, abs=1e-3)
    assert found == (context or 80)
    assert name.endswith("-long") is (context is not None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bits_and_cuda_need_a_gpu(model):
    with pytest.raises(InputError, match="CUDA"):
        HuggingFace(quantize="nf4").open()
    with pytest.raises(InputError, match="no GPU"):
        run(HuggingFace(model=str(model), device="cuda"), lambda backend: backend.generate(ask("red")))


def test_training_that_the_backend_cannot_do_is_known_before_loading():
    with pytest.raises(InputError, match="four bits"):
        HuggingFace().check_training(TrainSettings(method="qlora"))
    with pytest.raises(InputError, match="in full"):
        HuggingFace(quantize="nf4").check_training(TrainSettings(method="full"))
    HuggingFace().check_training(TrainSettings())


def test_precision_is_in_the_hash_and_the_base_is_not_confused(model):
    async def use(backend):
        return backend.model_hash

    full, half = (run(HuggingFace(model=str(model), dtype=dtype), use) for dtype in ("float32", "bfloat16"))
    assert full.endswith("-float32")
    assert half.endswith("-bfloat16")
    assert full.split("-")[0] == half.split("-")[0]
