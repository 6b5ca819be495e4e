"""The static batch: its pool of tokens, prompts that share prefixes, tokens drawn on the device, rows that leave."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.contract_tools import ask, run
from backends.hf import HuggingFace
from society.core.errors import InputError
from society.core.types import ChatMessage, GenerateRequest, Sampling
from tests.backends.hf.tiny import make_model

torch = pytest.importorskip("torch")

from backends.hf import drawing, inputs, nucleus, packed, prefill, prompts, sampling  # noqa: E402
from backends.hf.backend import decodes_statically  # noqa: E402
from backends.hf.decode import Batch  # noqa: E402
from backends.hf.loading import load_chat, load_model  # noqa: E402
from backends.hf.norms import find_norms, fused_norms  # noqa: E402
from backends.hf.pool import Pool  # noqa: E402
from backends.hf.rows import Row  # noqa: E402
from backends.hf.static import StaticBatch, round_rows  # noqa: E402
from backends.hf.weights import Weights  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("static") / "model", seed=1)


@pytest.fixture(scope="module")
def weights(model: Path) -> Weights:
    return Weights(load_model(model, torch.float32, "cpu"), model, "0" * 64)


@pytest.fixture(scope="module")
def chat(model: Path) -> Any:
    return load_chat(model, None, "model")


def make_row(chat: Any, text: str = "red", seed: int = 1, **options: Any) -> Row:
    request = ask(text, seed=seed, **options)
    return Row(request, chat.prompt_ids(request.messages), chat)


# The pool


def fill(pool: Pool, positions: list[int], number: int) -> None:
    """Store keys of that number, and values of its negative, at these positions."""
    pool.where = torch.tensor(positions)
    new = torch.full((1, 2, len(positions), 3), float(number))
    pool.update(new, -new, 0)


@pytest.mark.parametrize("seed", range(10))
def test_segments_keep_their_tokens_while_others_come_and_go(seed: int) -> None:
    draw, pool, held = random.Random(seed), Pool(1, 64, torch.device("cpu")), {}
    for number in range(1, 60):
        if held and draw.random() < 0.45:
            segment = draw.choice(list(held))
            pool.free(segment)
            del held[segment]
            continue
        sizes = [draw.randint(1, 9) for _ in range(draw.randint(1, 3))]
        if sum(sizes) + sum(segment.size for segment in held) > 64:
            continue
        segments, _ = pool.allocate(sizes)
        for i, segment in enumerate(segments):
            held[segment] = 10 * number + i
            fill(pool, list(range(segment.start, segment.start + segment.size)), 10 * number + i)
        taken = [position for s in held for position in range(s.start, s.start + s.size)]
        assert len(set(taken)) == len(taken)
        assert max(taken) < pool.tokens <= 64
        for segment, expected in held.items():
            keys, values = (part[segment.start : segment.start + segment.size] for part in pool.layers[0].held)
            assert (keys == expected).all()
            assert (values == -expected).all()


def test_a_pool_grows_beyond_its_limit_for_one_long_sequence_alone() -> None:
    pool = Pool(1, 16, torch.device("cpu"))
    (segment,), moved = pool.allocate([40])
    assert moved
    assert pool.tokens == segment.size == 40


# Prompts


def test_prompts_share_what_saves_most(chat: Any) -> None:
    rows = [make_row(chat) for _ in range(6)]
    common, more = list(range(50)), list(range(100, 140))
    ids = [[*common, 1], [*common, *more, 2], [*common, *more, 3], [7, 8, 9], [*common, *more, 3], common]
    for row, prompt in zip(rows, ids, strict=True):
        row.prompt = prompt
    families = prompts.find_families(rows)
    found = sorted((family.shared, [len(prompt.rows) for prompt in family.prompts]) for family in families)
    # The prompt of 50 tokens alone still computes its last token, so it shares 49.
    assert found == [(0, [1]), (49, [1, 1, 1, 2])]


def test_adapters_do_not_share_and_short_prefixes_are_computed_again(chat: Any) -> None:
    def row(adapter: str | None, prompt: list[int]) -> Row:
        made = make_row(chat)
        made.request = GenerateRequest(made.request.messages, made.request.sampling, 1, adapter)
        made.prompt = prompt
        return made

    long = list(range(40))
    rows = [row("a", [*long, 1]), row("b", [*long, 2]), row(None, [*long, 3]), row(None, [5, 6]), row(None, [5, 7])]
    assert [family.shared for family in prompts.find_families(rows)] == [0] * 5


# Packed calls


PLAIN, OTHER = ("llama", "qwen3", "mixtral"), ("deepseek_v3", "gemma3_text", "phi3")


@pytest.mark.parametrize("kind", [*PLAIN, *OTHER])
def test_models_with_plain_caches_are_packed(tmp_path: Path, kind: str) -> None:
    model = load_model(make_model(tmp_path / kind, kind=kind), torch.float32, "cpu")
    assert (packed.find_obstacle(model) == "") is (kind in PLAIN)
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("kind", "window", "reason"),
    [
        ("mistral", 8, "sliding window"),
        ("mistral", None, ""),
        ("phi3", 8, "sliding window"),
        ("phi3", None, "longrope"),
    ],
)
def test_on_a_gpu_the_slower_cache_is_named_with_its_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    window: int | None,
    reason: str,
) -> None:
    """The window of the configuration decides, not the family."""
    model = load_model(make_model(tmp_path / kind, kind=kind, sliding_window=window), torch.float32, "cpu")
    assert reason in packed.find_obstacle(model)
    assert bool(packed.find_obstacle(model)) is bool(reason)
    if not reason:
        return
    assert decodes_statically("auto", model) is False
    assert not caplog.records  # a CPU has the dynamic cache anyway
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    assert decodes_statically("auto", model) is False
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert reason in caplog.text
    assert "5 to 10 times slower" in caplog.text


def test_why_a_model_is_not_packed_is_returned_and_a_lack_of_memory_is_an_error(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_model(model, torch.float32, "cpu")

    def fail(error: Exception) -> Any:
        def prefill(*_: Any) -> Any:
            raise error

        monkeypatch.setattr(packed, "_prefill", prefill)
        return packed.find_obstacle(network)

    assert "no such head" in fail(IndexError("no such head"))
    with pytest.raises(torch.OutOfMemoryError):
        fail(torch.OutOfMemoryError("out of memory"))
    assert network.config._attn_implementation == "sdpa"


def test_a_model_that_computes_something_else_when_packed_is_not_packed(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefill = packed._prefill
    monkeypatch.setattr(packed, "_prefill", lambda *given: prefill(*given) * 0.5)
    assert "packed logits differ" in packed.find_obstacle(load_model(model, torch.float32, "cpu"))


def test_models_that_cannot_be_packed_decode_dynamically_or_say_why(tmp_path: Path) -> None:
    folder = str(make_model(tmp_path / "gemma", kind="gemma3_text"))
    assert run(HuggingFace(model=folder), lambda backend: backend.generate(ask("red"))).tokens
    with pytest.raises(InputError, match="sliding windows") as caught:
        run(HuggingFace(model=folder, decoding="static"), lambda backend: backend.generate(ask("red")))
    assert "decoding: auto" in caught.value.remedy


@pytest.mark.parametrize("kind", PLAIN)
def test_static_logits_are_those_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Prompts in several packs, with a shared prefix, then some steps."""
    monkeypatch.setattr(prefill, "PACK_TOKENS", 60)
    monkeypatch.setattr(prompts, "SHORTEST", 8)
    model = load_model(make_model(tmp_path / kind, kind=kind), torch.float32, "cpu")
    chat = load_chat(tmp_path / kind, None)
    texts = ["the cat sat on a mat", "the cat sat on a mat and the dog", "red", "the cat sat on a mat", "so it did"]
    rows = [make_row(chat, text, seed=i, max_tokens=9, temperature=1.0) for i, text in enumerate(texts)]
    batch = StaticBatch(Weights(model, tmp_path, "0" * 64), 5, 1024)
    batch.advance(rows)
    while batch.rows:
        batch.advance([])
    for row in rows:
        assert row.finish is not None
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*row.prompt, *row.ids]])).logits[0].double().log_softmax(-1)
        expected = sum(float(logits[len(row.prompt) - 1 + i, token]) for i, token in enumerate(row.ids))
        assert row.logprob == pytest.approx(expected, abs=1e-3)


# Drawing

LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=3, max_size=40, unique=True)
SAMPLING = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 3, 10, 2000]),
    top_p=st.sampled_from([1.0, 0.9, 0.5]),
    min_p=st.sampled_from([0.0, 0.05]),
    repeat_penalty=st.sampled_from([1.0, 1.3]),
)


@settings(max_examples=150, deadline=None)
@given(LOGITS, st.lists(SAMPLING, min_size=1, max_size=4), st.integers(0, 1000))
def test_the_device_draws_what_the_host_draws(chat: Any, values: list[float], samplings: list[Sampling], seed: int):
    rows = [make_row(chat, seed=seed + i) for i in range(len(samplings))]
    for row, wanted in zip(rows, samplings, strict=True):
        row.request = GenerateRequest(row.request.messages, wanted, row.request.seed)
        row.prompt = [0, 2]
    logits = torch.tensor([values] * len(rows))
    expected, logprobs = sampling.sample(logits, rows)
    given_ = inputs.make_settings(rows, len(rows))
    given_.seen = torch.zeros_like(logits, dtype=torch.bool)
    inputs.mark(given_.seen, [row.prompt for row in rows])
    tokens, found = drawing.draw_tokens(logits, given_, drawing.Kind.of(rows))
    assert tokens.tolist() == expected
    assert found.tolist() == pytest.approx(logprobs, abs=1e-4)


def test_a_random_number_belongs_to_its_token_however_many_are_drawn_ahead(chat: Any) -> None:
    one, other = make_row(chat, seed=5), make_row(chat, seed=5)
    alone = torch.cat([one.uniform(i, 1) for i in range(100)])
    assert torch.equal(alone, torch.cat([other.uniform(0, 70), other.uniform(70, 30)]))
    generator = torch.Generator().manual_seed(5)
    assert alone.tolist() == [float(torch.rand((), dtype=torch.float64, generator=generator)) for _ in range(100)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(0, 2**31), st.floats(0, 1, exclude_max=True))
def test_inverting_in_blocks_is_inverting(width: int, seed: int, number: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    probs = torch.rand(1, width, generator=generator) * (torch.rand(1, width, generator=generator) < 0.4)
    probs[0, seed % width] = 0.5
    uniform = torch.tensor([[number]], dtype=torch.float64)
    cumulative = probs.double().cumsum(-1)
    place = int(torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True))
    found = int(drawing.invert(probs, uniform))
    assert probs[0, found] > 0
    assert found == min(place, width - 1)


def test_bisection_finds_the_exact_float() -> None:
    probs = torch.rand(50, 300, generator=torch.Generator().manual_seed(1)).softmax(-1)
    expected = probs.sort(-1, descending=True).values[:, 6]
    assert torch.equal(nucleus._by_count(probs, torch.full((50,), 7)), expected)
    nothing = torch.zeros(50)
    assert (nucleus.find_floors(probs, nothing.long(), nothing + 1, nothing) == 0).all()


def test_the_kernel_finds_the_same_floors() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    probs = (2 * torch.randn(8, 5000, device="cuda")).softmax(-1)
    top_k, top_p, min_p = torch.tensor([0, 5, 2000, 0] * 2), torch.tensor([0.9, 0.5] * 4), torch.tensor([0, 0.01] * 4)
    on_device = [part.cuda() for part in (top_k, top_p, min_p)]
    kept = [
        (found >= nucleus.find_floors(found, *given_)[:, None]).sum(-1).tolist()
        for found, given_ in ((probs, on_device), (probs.cpu(), (top_k, top_p, min_p)))
    ]
    assert kept[0] == pytest.approx(kept[1], abs=1)


@pytest.mark.parametrize(("heads", "key_heads", "size"), [(8, 2, 64), (4, 4, 128)])
def test_the_attention_kernel_computes_attention(heads: int, key_heads: int, size: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    keys, values = (torch.randn(900, key_heads, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    queries = torch.randn(heads, 12, size, device="cuda", dtype=torch.bfloat16).transpose(0, 1)
    device = torch.device("cuda")
    made = packed.make_packing([(1, 30 * i, 1 + 27 * i) for i in range(12)], device)
    packing = packed.Packing(made.bounds, made.starts, made.used, 1, 512)
    expected = packed._decode(packing, queries.float(), keys.float(), values.float(), None)
    found = packed.decode_by_kernel(packing, queries, keys, values, None).float()
    assert float((found - expected).norm() / expected.norm()) < 1e-2


# Rows


def test_rows_are_rounded_up_to_few_sizes() -> None:
    sizes = [round_rows(count) for count in range(1, 257)]
    assert all(size >= count for count, size in enumerate(sizes, 1))
    assert sorted(set(sizes)) == [1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256]


def test_cancelled_rows_are_returned_whether_their_tokens_were_read_or_not(weights: Weights, chat: Any) -> None:
    batch = StaticBatch(weights, 4, 1024)
    rows = [make_row(chat, "the cat", seed=i, max_tokens=3 + 20 * (i > 0), temperature=5.0) for i in range(3)]
    returned = [*batch.advance(rows), *batch.advance([])]
    for row in rows:
        row.cancelled = row.finish is None
    for _ in range(3):
        returned += batch.advance([])
    assert sorted(returned, key=id) == sorted(rows, key=id)
    assert not batch.rows
    assert batch.pool is not None
    assert not batch.pool.segments


class Leaving(Row):
    """A row that another thread cancels just after it was asked for the `at`-th time whether it is."""

    at, asked = 0, 0

    def __getattribute__(self, name: str) -> Any:
        if name == "cancelled":
            self.asked += 1
            self.cancelled = self.asked > self.at
        return super().__getattribute__(name)


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_a_row_is_returned_once_whenever_another_thread_cancels_it(weights: Weights, chat: Any, kind: str) -> None:
    for at in range(40):
        batch = StaticBatch(weights, 4, 1024) if kind == "static" else Batch(weights)
        request = ask("the cat", seed=1, max_tokens=4, temperature=5.0)
        leaving = Leaving(request, chat.prompt_ids(request.messages), chat)
        leaving.at = at
        rows = [make_row(chat, "the cat", seed=0, max_tokens=4, temperature=5.0), leaving]
        returned = batch.advance(rows)
        for _ in range(6):
            returned += batch.advance([])
        assert sorted(returned, key=id) == sorted(rows, key=id), at
        assert not batch.rows


def test_no_step_is_launched_for_rows_at_their_limit(weights: Weights, chat: Any, monkeypatch: Any) -> None:
    batch, steps = StaticBatch(weights, 4, 1024), []
    compute = batch._compute
    monkeypatch.setattr(batch, "_compute", lambda *arguments: (steps.append(arguments), compute(*arguments)))
    rows = [make_row(chat, "the cat", seed=i, max_tokens=n, temperature=0.01) for i, n in enumerate((1, 4))]
    for row in rows:
        row.chat = type("Endless", (), {"stops": (), "text": lambda self, ids: ""})()
    batch.advance(rows)
    while batch.rows:
        batch.advance([])
    assert [len(row.ids) for row in rows] == [1, 4]
    assert len(steps) == 3


def test_the_cache_is_freed_for_training_and_made_again(weights: Weights, chat: Any) -> None:
    batch = StaticBatch(weights, 4, 1024)

    def reply() -> list[int]:
        row = make_row(chat, "the cat", max_tokens=6)
        batch.advance([row])
        while batch.rows:
            batch.advance([])
        return row.ids

    before = reply()
    batch.release()
    assert batch.pool is None
    assert reply() == before


def test_releasing_between_two_steps_changes_no_reply(weights: Weights, chat: Any) -> None:
    def reply(interrupt: bool) -> list[int]:
        batch, row = StaticBatch(weights, 4, 1024), make_row(chat, "the cat", max_tokens=12)
        batch.advance([row])
        while batch.rows:
            if interrupt:
                batch.release()
            batch.advance([])
        return row.ids

    assert reply(True) == reply(False)


def test_messages_of_different_lengths_join_while_others_decode(weights: Weights, chat: Any) -> None:
    texts = ["the cat " * (1 + i % 5) for i in range(12)]

    def play(batch: StaticBatch, together: bool) -> list[list[int]]:
        rows = [make_row(chat, text, seed=i, max_tokens=5 + i % 7) for i, text in enumerate(texts)]
        for row in rows:
            batch.advance([row])
            while batch.rows and not together:
                batch.advance([])
        while batch.rows:
            batch.advance([])
        return [row.ids for row in rows]

    assert play(StaticBatch(weights, 16, 1024), True) == play(StaticBatch(weights, 16, 1024), False)


def draw_request(draw: random.Random) -> GenerateRequest:
    """Return a request with some sampling options, and with stop texts, choices or neither."""
    sentence = "the cat sat on a mat and dog ran far so it did not stop "
    text = " ".join(draw.choices(sentence.split(), k=draw.randint(1, 40)))
    options: dict[str, Any] = {
        "max_tokens": draw.choice([1, 2, 8, 12, 60]),
        "temperature": draw.choice([0.0, 0.7, 2.0]),
        "top_k": draw.choice([0, 3, 2000]),
        "top_p": draw.choice([1.0, 0.8]),
        "repeat_penalty": draw.choice([1.0, 1.3]),
    }
    ends = draw.choice(["stop", "choices", "neither"])
    if ends == "stop":
        options["stop"] = (draw.choice("eato "),)
    choices = ("red", "red cat", "far") if ends == "choices" else ()
    prefix = draw.choice(["", sentence * 2])
    return GenerateRequest(
        (ChatMessage("user", prefix + text),), Sampling(**options), draw.randrange(10**6), None, choices
    )


@pytest.mark.parametrize("seed", range(8))
def test_replies_in_company_are_those_of_the_dynamic_batch_alone(weights: Weights, chat: Any, seed: int) -> None:
    """Rows join, end at texts and limits and are cancelled in a small pool, which a training releases at times."""
    draw = random.Random(seed)
    requests = [draw_request(draw) for _ in range(14)]
    alone, together = ([Row(one, chat.prompt_ids(one.messages), chat) for one in requests] for _ in range(2))
    for row in alone:
        dynamic = Batch(weights)
        dynamic.advance([row])
        while dynamic.rows:
            dynamic.advance([])
    batch, waiting, returned = StaticBatch(weights, 8, draw.choice([200, 1024])), list(together), []
    while waiting or batch.rows:
        count = min(draw.choice([0, 0, 1, 3]), len(waiting), 8 - len(batch.rows))
        returned += batch.advance([waiting.pop() for _ in range(count)])
        if draw.random() < 0.1:
            batch.release()
        for row in batch.rows:
            row.cancelled = row.cancelled or draw.random() < 0.01
    assert sorted(returned, key=id) == sorted(together, key=id)
    for row, expected in zip(together, alone, strict=True):
        if not row.cancelled:
            assert (row.ids, row.text, row.finish, row.certain) == (
                expected.ids,
                expected.text,
                expected.finish,
                expected.certain,
            )
            assert row.logprob == pytest.approx(expected.logprob, abs=1e-3)


# Norms


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_usual_norms_are_found_and_restored(tmp_path: Path, kind: str) -> None:
    network = load_model(make_model(tmp_path / kind, kind=kind), torch.float32, "cpu")
    found = find_norms(network)
    assert len(found) == {"llama": 5, "qwen3": 9}[kind]
    ids = torch.arange(1, 9)[None]
    with torch.inference_mode():
        before = network(input_ids=ids).logits
        with fused_norms(found):
            fused = network(input_ids=ids).logits
        after = network(input_ids=ids).logits
    assert torch.equal(before, after)
    assert torch.allclose(before, fused, atol=1e-4)


def test_other_norms_are_left_alone(tmp_path: Path) -> None:
    """Gemma adds 1 to its weights."""
    assert find_norms(load_model(make_model(tmp_path / "gemma", kind="gemma3_text"), torch.float32, "cpu")) == []
