"""Estimates of training: against published sizes, and arithmetic done by hand."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.hf import HuggingFace
from backends.sizes import WeightBytes
from backends.training import Parallel, TrainSettings
from society.cli import main
from society.planning.footprint import estimate, generation_memory
from society.planning.sizes import TIED, UNTIED, read_sizes
from society.planning.training import launch_command
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario

LLAMA_2_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "intermediate_size": 11008,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
LLAMA_3_8B = LLAMA_2_7B | {"intermediate_size": 14336, "num_key_value_heads": 8, "vocab_size": 128256}
MISTRAL_7B = LLAMA_3_8B | {"vocab_size": 32000}


@pytest.mark.parametrize(
    ("config", "published"), [(LLAMA_2_7B, 6_738_415_616), (LLAMA_3_8B, 8_030_261_248), (MISTRAL_7B, 7_241_732_096)]
)
def test_parameters_as_published(config: dict[str, int], published: int) -> None:
    sizes = read_sizes(config)
    assert sizes is not None
    assert sizes.parameters == published


def test_lora_parameters_as_peft_counts_them() -> None:
    """41,943,040 is what peft prints for rank 16 on all linear layers of Llama 3 8B."""
    sizes = read_sizes(LLAMA_3_8B)
    assert sizes is not None
    assert sizes.lora(16) == 41_943_040


def test_parameters_of_a_real_model(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=50,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    sizes = read_sizes(config.to_dict())
    assert sizes is not None
    assert sizes.parameters == sum(p.numel() for p in model.parameters())


def test_full_finetuning_of_7b_by_hand() -> None:
    """18 bytes a parameter on one GPU, 16 on several: a copy in bfloat16 is made layer by layer there."""
    sizes = read_sizes(LLAMA_2_7B)
    assert sizes is not None
    settings = TrainSettings(method="full", batch_size=8, max_length=2048, gradient_checkpointing=True)
    one, four, eight = (estimate(sizes, settings, 10**6, gpus) for gpus in (1, 4, 8))
    states = one.weights + one.gradients + one.optimizer
    assert states == pytest.approx(6_738_415_616 * 18)
    assert eight.weights + eight.gradients + eight.optimizer == pytest.approx(6_738_415_616 * 2)
    assert [one.fits, four.fits, eight.fits] == [False, True, True]
    assert one.seconds == pytest.approx(8 * 6_738_415_616 * 10**6 / (989e12 * 0.3))  # 6, and 2 to compute twice
    assert one.seconds / eight.seconds == pytest.approx(8)
    layer = 4096 * (16 + 6 + 4) + 8 * 11008
    assert 8 * 2048 * layer > (1 << 27) * 10 + 32000 * 4096 * 2
    assert one.activations == pytest.approx(8 * 2048 * (32 * 2 * 4096 + layer))
    gathered = 12 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    assert eight.activations == pytest.approx(8 * 2048 * (32 * 2 * 4096 + layer) + gathered)


def test_lora_holds_no_gradients_of_the_base() -> None:
    sizes = read_sizes(LLAMA_2_7B)
    assert sizes is not None
    lora = estimate(sizes, TrainSettings(), 10**6, 1)
    assert lora.gradients == sizes.lora(16) * 4
    assert lora.weights == pytest.approx(6_738_415_616 * 2 + sizes.lora(16) * 6)
    assert lora.seconds == pytest.approx(4 * 6_738_415_616 * 10**6 / (989e12 * 0.3))


BENCHMARK = {"model_type": "llama", "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 49152}
ONE_BILLION = BENCHMARK | {
    "hidden_size": 2048,
    "num_hidden_layers": 20,
    "intermediate_size": 8192,
    "tie_word_embeddings": True,
}
EIGHT_BILLION = BENCHMARK | {"hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 14336}


@pytest.mark.parametrize(
    ("config", "settings", "measured"),
    [
        (ONE_BILLION, TrainSettings(method="full", batch_size=8), 37.7),
        (ONE_BILLION, TrainSettings(method="full", batch_size=8, compile=True), 33.3),
        (ONE_BILLION, TrainSettings(batch_size=8), 17.7),
        (ONE_BILLION, TrainSettings(method="full", batch_size=8, optimizer="adamw_8bit"), 30.4),
        (ONE_BILLION, TrainSettings(method="full", batch_size=8, gradient_checkpointing=True), 23.9),
        (EIGHT_BILLION, TrainSettings(batch_size=4), 35.9),
        (EIGHT_BILLION, TrainSettings(batch_size=4, compile=True), 30.8),
        (EIGHT_BILLION, TrainSettings(method="qlora", batch_size=4), 26.2),
        (EIGHT_BILLION | {"num_hidden_layers": 8}, TrainSettings(method="full", batch_size=4), 42.6),
    ],
)
def test_memory_is_within_a_fifth_of_what_was_measured(
    config: dict[str, int], settings: TrainSettings, measured: float
) -> None:
    """Peaks in GiB of benchmarks/gpu_training.py on an H100 or H200, with rows of at most 940 tokens."""
    sizes = read_sizes(config)
    assert sizes is not None
    base = HuggingFace(quantize="nf4" if settings.method == "qlora" else "none").weight_bytes()
    found = estimate(sizes, settings, 10**6, 1, longest=940, base=base)
    assert found.total / 2**30 == pytest.approx(measured, rel=0.2)


def test_the_arithmetic_shown_is_that_done() -> None:
    sizes = read_sizes(LLAMA_2_7B)
    assert sizes is not None
    found = estimate(sizes, TrainSettings(method="full"), 10**6, 4)
    assert found.lines[0] == "weights     6.738 G parameters x 4 bytes / 4 = 6.74 GB"
    assert found.lines[2].endswith("= 13.48 GB")
    cache, line = generation_memory(sizes, 64 * 2048, WeightBytes())
    assert cache == 64 * 2048 * 2 * 32 * 32 * 128 * 2
    assert line.endswith("= 68.72 GB; 82.20 GB on one GPU")


def test_a_model_on_several_gpus_of_a_server_is_trained_by_as_many() -> None:
    """70B in bfloat16 does not fit on one GPU, neither whole nor to generate, but on eight it does both."""
    sizes = read_sizes(LLAMA_2_7B | {"hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64})
    assert sizes is not None
    settings = TrainSettings(batch_size=1, max_length=1024, gradient_checkpointing=True)
    one, eight, joined = (estimate(sizes, settings, 10**6, 8, cached=4096, generating=n) for n in (1, 8, 0))
    assert [one.fits, eight.fits, joined.fits] == [False, True, True]
    assert eight.opened == pytest.approx(one.opened / 8) == pytest.approx(sizes.parameters * 2 / 8)
    assert eight.generation == pytest.approx(one.generation / 8)
    assert [found.total for found in (one, eight, joined)] == [one.total] * 3
    assert "bytes) / 8 = " in eight.lines[4]
    assert [line for line in joined.lines if line.startswith("opening")] == []
    assert generation_memory(sizes, 4096, WeightBytes(), 8)[1].endswith(" on each of 8 GPUs")


def test_other_families_are_not_guessed() -> None:
    assert read_sizes({"model_type": "mamba", "hidden_size": 4}) is None
    assert read_sizes(LLAMA_2_7B | {"model_type": "starcoder2"}) is None  # two matrices of a feed-forward layer
    for experts in ({"num_local_experts": 8}, {"n_routed_experts": 128}, {"enable_moe_block": True}):
        assert read_sizes(LLAMA_2_7B | experts) is None
    assert read_sizes(LLAMA_2_7B | {"num_experts": 1, "moe_intermediate_size": None}) is not None


GEMMA_2_2B = {
    "model_type": "gemma2",
    "hidden_size": 2304,
    "num_hidden_layers": 26,
    "intermediate_size": 9216,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 256000,
}


def test_what_a_config_leaves_out_is_as_in_its_family() -> None:
    """Published are 2,614,341,888. Two of the four norms of a layer are not counted."""
    sizes = read_sizes(GEMMA_2_2B)
    assert sizes is not None
    assert sizes.parameters == 2_614_341_888 - 26 * 2 * 2304
    untied = read_sizes(GEMMA_2_2B | {"tie_word_embeddings": False})
    assert untied is not None
    assert not untied.tied


@pytest.mark.parametrize("family", sorted(UNTIED | TIED))
def test_families_as_transformers_makes_them(family: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", minversion="5.23")
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    shape = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 2, "vocab_size": 3000}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2}
    with torch.device("meta"):
        config = transformers.AutoConfig.for_model(family, **shape, **heads, **tokens)
        model = transformers.AutoModelForCausalLM.from_config(config)
    sizes = read_sizes({"model_type": family, **shape, **heads})
    assert sizes is not None
    assert sizes.parameters == pytest.approx(sum(p.numel() for p in model.parameters()), rel=0.002)


def test_the_plan_shows_it(
    tmp_path: Path, scenario: Callable[..., Scenario], capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(LLAMA_2_7B))
    scenario(f"""
task: {{kind: arithmetic, form: a+b, limit: 4}}
backends: {{big: {{kind: hf, model: "{model}"}}}}
roles: {{solver: {{prompt: "{{{{ question }}}}"}}}}
agents: {{solver: {{count: 2}}}}
phases: [{{name: debate}}]
train: {{questions: 5, learners: {{all: {{phases: [debate]}}}}, settings: {{method: full}}}}
""")
    assert main(["plan", str(tmp_path / "scenario.yaml"), "--calibrate", "0"]) == 0
    said = capsys.readouterr().out
    for text in ("1 GPU:", "4 GPUs:", "8 GPUs:", "6.738 G parameters", "does not fit", "accelerate launch"):
        assert text in said, text
    command = next(line for line in said.splitlines() if line.startswith("society run"))
    assert command == launch_command(8, 6)[0]
    given = shlex.split(command)[3:]
    overrides = [value for option, value in zip(given[::2], given[1::2], strict=True) if option == "--set"]
    loaded = load_scenario(tmp_path / "scenario.yaml", overrides).train
    assert loaded is not None
    assert loaded.parallel == Parallel(processes=8)
    assert loaded.settings.accumulation == 8


def test_accumulation_that_is_shared_evenly_is_left_alone() -> None:
    assert "accumulation" not in launch_command(4, 8)[0]
    assert "--set train.settings.accumulation=12" in launch_command(4, 9)[0]


def test_another_memory_of_the_gpu(
    tmp_path: Path, scenario: Callable[..., Scenario], capsys: pytest.CaptureFixture[str]
) -> None:
    plan(tmp_path, scenario, LLAMA_2_7B, "method: lora, batch_size: 1, accumulation: 8")
    assert "computed for H100 GPUs of 80.00 GB" in capsys.readouterr().out
    assert main(["plan", str(tmp_path / "scenario.yaml"), "--calibrate", "0", "--gpu-memory", "12"]) == 0
    said = capsys.readouterr().out
    assert "computed for GPUs of 12.00 GB" in said
    assert ", does not fit" in said
    assert ", fits" not in said


LLAMA_3_70B = LLAMA_3_8B | {
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
}
MISTRAL_24B = MISTRAL_7B | {
    "hidden_size": 5120,
    "num_hidden_layers": 40,
    "intermediate_size": 32768,
    "head_dim": 128,
    "vocab_size": 131072,
}


def plan(folder: Path, scenario: Callable[..., Scenario], config: dict[str, int], more: str, *options: str) -> None:
    """Print the plan of a finetuning of a model of which there is only the configuration."""
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "config.json").write_text(json.dumps(config))
    scenario(
        f"""
task: {{kind: arithmetic, form: a+b, limit: 4}}
backends: {{big: {{kind: hf, model: "{folder / "model"}"}}}}
roles: {{solver: {{prompt: "{{{{ question }}}}"}}}}
agents: {{solver: {{count: 2}}}}
phases: [{{name: debate}}]
train: {{questions: 5, learners: {{all: {{phases: [debate]}}}}, settings: {{{more}}}}}
"""
    )
    more_options = [part for option in options for part in ("--set", option)]
    assert main(["plan", str(folder / "scenario.yaml"), "--calibrate", "0", *more_options]) == 0


@pytest.mark.parametrize(
    ("config", "settings", "verdicts"),
    [
        (LLAMA_2_7B, "method: lora, accumulation: 8", ["fits", "fits", "fits"]),
        (LLAMA_2_7B, "method: full, accumulation: 8", ["does not fit", "fits", "fits"]),
        (
            MISTRAL_24B,
            "method: full, accumulation: 8, gradient_checkpointing: true",
            ["does not fit", "does not fit", "fits"],
        ),
        (
            MISTRAL_24B,
            "method: lora, gradient_checkpointing: true",
            ["fits", "fits, with `accumulation`", "fits, with `accumulation`"],
        ),
        (LLAMA_3_70B, "method: lora, accumulation: 8", ["does not fit", "does not fit", "does not fit"]),
    ],
)
def test_what_fits_on_1_4_and_8_gpus(
    tmp_path: Path,
    scenario: Callable[..., Scenario],
    capsys: pytest.CaptureFixture[str],
    config: dict[str, int],
    settings: str,
    verdicts: list[str],
) -> None:
    plan(tmp_path, scenario, config, settings)
    said = [line for line in capsys.readouterr().out.splitlines() if re.match(r"  \d GPUs?: ", line)]
    for line, verdict in zip(said, verdicts, strict=True):
        assert f", {verdict}" in line


def test_what_cannot_be_opened_does_not_fit(
    tmp_path: Path, scenario: Callable[..., Scenario], capsys: pytest.CaptureFixture[str]
) -> None:
    """A shard of 70B fits on each of 8 GPUs, but the backend holds the whole model on one of them to generate."""
    plan(tmp_path, scenario, LLAMA_3_70B, "method: lora, accumulation: 8")
    assert "holds the whole model on one GPU before it trains: 141.11 GB" in capsys.readouterr().out
    settings = "method: lora, accumulation: 8, gradient_checkpointing: true"
    plan(tmp_path, scenario, LLAMA_3_70B, settings, "backends.big.kind=vllm", "backends.big.gpus=8")
    said = [line for line in capsys.readouterr().out.splitlines() if re.match(r"  \d GPUs?: |.*opening", line)]
    assert [line.rpartition(", ")[2] for line in said[::2]] == ["does not fit", "fits", "fits"]
    assert said[1].endswith("(70.554 G x 2 bytes) / 8 = 17.64 GB, on each of 8 GPUs before")
    plan(tmp_path, scenario, LLAMA_3_70B, settings, "backends.big.kind=vllm", "backends.big.gpus=3")
    said = capsys.readouterr().out.splitlines()
    assert "Finetuning 'all': `gpus` cannot share 64 attention heads evenly." in said
    assert not [line for line in said if "fits" in line]
    plan(tmp_path, scenario, LLAMA_3_70B, settings, "backends.big.kind=vllm", "backends.big.url=http://127.0.0.1:1/v1")
    said = capsys.readouterr().out.splitlines()
    assert "  generation  on the server that runs at `url`, whose memory is not counted" in said
    assert not [line for line in said if "opening" in line]


@pytest.mark.parametrize(
    ("settings", "options", "reason"),
    [
        ("method: lora", ["backends.big.quantize=nf4", "train.settings.method=qlora"], "four bits are not sharded"),
        ("optimizer: adamw_8bit", [], "8-bit optimiser does not work on sharded"),
        ("compile: true", [], "not compiled"),
        ("method: lora", ["train.learners.all.objective=kto"], "no objective but `sft`"),
    ],
)
def test_what_a_run_refuses_is_planned_for_one_gpu_alone(
    tmp_path: Path,
    scenario: Callable[..., Scenario],
    capsys: pytest.CaptureFixture[str],
    settings: str,
    options: list[str],
    reason: str,
) -> None:
    plan(tmp_path, scenario, LLAMA_2_7B, settings, *options)
    said = capsys.readouterr().out
    assert "1 GPU: " in said
    assert said.count(reason) == 2
    assert "accelerate launch" not in said


def test_a_family_of_unknown_sizes_is_named(
    tmp_path: Path, scenario: Callable[..., Scenario], capsys: pytest.CaptureFixture[str]
) -> None:
    plan(tmp_path, scenario, LLAMA_2_7B | {"n_routed_experts": 128, "model_type": "glm4_moe"}, "method: lora")
    said = capsys.readouterr().out
    assert "no estimate of memory for models of the kind glm4_moe with experts. Known are" in said
    assert "fit" not in said.partition("Finetuning")[2]


NF4 = "backends.big.quantize=nf4"


@pytest.mark.parametrize(
    ("settings", "options", "opening", "weights"),
    [
        ("method: lora", ["backends.big.dtype=float32"], "23.572 G x 4 bytes = 94.29 GB", "x 6 bytes / 1 +"),
        ("rank: 16", [NF4, "train.settings.method=qlora"], "22.230 G x 0.5625 bytes + 1.343 G x 2", "0.5625 bytes +"),
        ("method: lora", [NF4], "22.230 G x 0.5625 bytes + 1.343 G x 2", "0.5625 bytes +"),
    ],
)
def test_the_base_has_the_bytes_of_the_backend(
    tmp_path: Path,
    scenario: Callable[..., Scenario],
    capsys: pytest.CaptureFixture[str],
    settings: str,
    options: list[str],
    opening: str,
    weights: str,
) -> None:
    plan(tmp_path, scenario, MISTRAL_24B, settings, *options)
    said = capsys.readouterr().out
    assert f"opening     {opening}" in said
    assert f"generation  weights {opening}" in said
    assert weights in next(line for line in said.splitlines() if "  weights  " in line)


def test_generation_is_part_of_what_fits(
    tmp_path: Path, scenario: Callable[..., Scenario], capsys: pytest.CaptureFixture[str]
) -> None:
    """The cache holds whole prompts and replies, whatever the rows of the training are cut to."""
    long = [
        "agents.solver.sampling.max_tokens=8000",
        "backends.big.cache_tokens=1000000",
        "train.settings.max_length=64",
    ]
    plan(tmp_path, scenario, MISTRAL_24B, "method: lora, accumulation: 8, gradient_checkpointing: true", *long)
    said = capsys.readouterr().out
    tokens = int(re.findall(r"cache ([\d,]+) tokens", said)[0].replace(",", ""))
    assert 48 * 8000 < tokens <= 1_000_000
    cache = tokens * 2 * 40 * 8 * 128 * 2
    assert f"  8 GPUs: {(23_572_403_200 * 2 + cache) / 1e9:.2f} GB on one to generate" in said
    assert said.count("does not fit") == 3
    assert said.count("lower `batch` or `cache_tokens`") == 3
