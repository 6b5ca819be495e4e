"""The models on this machine: each place is read, and damaged or strange files are skipped with their reason."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from backends.models.find import find_model, split_parts
from backends.models.local.find import find_local
from backends.models.local.model import Found, LocalModel
from backends.models.local.places import add_packages
from backends.models.local.template import read_abilities
from society.core.errors import InputError
from society.core.hub_cache import hub_cache

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "bfloat16",
    "max_position_embeddings": 2048,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 32,
}
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home folder, in which every place is."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "LLAMA_CACHE", "OLLAMA_MODELS", "SOCIETY_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("importlib.metadata.distributions", lambda: [])
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path


def write_gguf(path: Path, **more: Any) -> Path:
    """Write a GGUF file of 96 parameters."""
    gguf, np = pytest.importorskip("gguf"), pytest.importorskip("numpy")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(path), more.get("architecture", "llama"))
    writer.add_type(more.get("kind", "model"))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_context_length(512)
    writer.add_block_count(2)
    if template := more.get("template", TEMPLATE):
        writer.add_chat_template(template)
    if part := more.get("part"):
        writer.add_uint16("split.no", part - 1)
        writer.add_uint16("split.count", 2)
    writer.add_tensor(f"{part or 'a'}.weight", np.ones((3, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_tensors(path: Path, shapes: dict[str, list[int]]) -> None:
    """Write a safetensors file of float32 zeros."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4 * shape[0] * shape[1]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


def write_snapshot(name: str, **more: Any) -> Path:
    """Write a model of transformers into the hub's cache, as the hub's client does. Return its snapshot."""
    folder = hub_cache() / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text(json.dumps(CONFIG | more))
    write_tensors(snapshot / "model.safetensors", {"a": [10, 4], "b": [3, 4]})
    return snapshot


def only(found: Found) -> LocalModel:
    assert not found.skipped
    [model] = found.models
    return model


def test_a_machine_without_models_is_an_empty_list() -> None:
    assert find_local() == Found([], {})


@pytest.mark.parametrize(
    ("path", "place", "name"),
    [
        (".lmstudio/models/someone/small/small.gguf", "LM Studio", None),
        (".cache/lm-studio/models/someone/small/small.gguf", "LM Studio", None),
        (".cache/llama.cpp/small.gguf", "llama.cpp", None),
        (
            ".cache/huggingface/hub/models--someone--small/snapshots/abc/sub/small.gguf",
            "Hugging Face cache",
            "hf:someone/small:sub/small.gguf",
        ),
    ],
)
def test_gguf_files_of_each_place_are_described(home: Path, path: str, place: str, name: str | None) -> None:
    file = write_gguf(home / path)
    model = only(find_local())
    assert (model.place, model.backend, model.model) == (place, "llama_cpp", name or str(file))
    assert (model.architecture, model.parameters, model.quantization, model.context) == ("llama", 96, "Q4_0", 512)
    assert (model.chat, model.thoughts, model.tools, model.adapters, model.training) == (
        True,
        False,
        False,
        True,
        False,
    )
    assert model.size == file.stat().st_size


def test_ollamas_models_have_its_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = "a" * 64
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "models"))
    blob = write_gguf(home / "models" / "blobs" / f"sha256-{digest}")
    layers = [
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "b" * 64},
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"},
    ]
    for name in ("registry.ollama.ai/library/small/1b", "other.example/someone/small/latest"):
        manifest = home / "models" / "manifests" / name
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps({"layers": layers}))
    model = only(find_local())  # two names of one file
    assert model.model == str(blob)
    assert model.place == "Ollama, as other.example/someone/small:latest"


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("{", "no mapping in JSON"),
        ("[]", "no mapping in JSON"),
        ('{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../x"}]}', "no GGUF"),
        ('{"layers": []}', "no GGUF"),
        ("[" * 100_000, "no mapping in JSON"),
    ],
)
def test_damaged_manifests_are_skipped(home: Path, manifest: str, reason: str) -> None:
    path = home / ".ollama/models/manifests/registry.ollama.ai/library/small/1b"
    path.parent.mkdir(parents=True)
    path.write_text(manifest)
    found = find_local()
    assert not found.models
    assert reason in found.skipped[str(path)]


def test_a_model_of_the_hub_is_described() -> None:
    snapshot = write_snapshot("someone/small")
    (snapshot / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": [{"name": "default", "template": TEMPLATE + "<think>{{ tools }}"}]})
    )
    model = only(find_local())
    assert (model.backend, model.model, model.path) == ("hf", "someone/small", snapshot)
    assert (model.architecture, model.parameters, model.quantization, model.context) == ("llama", 52, "bfloat16", 2048)
    assert (model.chat, model.thoughts, model.tools, model.adapters, model.training) == (True, True, True, True, True)
    assert model.token_bytes == 4 * 2 * 2 * 2 * 8  # float32 x keys and values x layers x heads x width


def test_a_base_model_has_no_chat_template() -> None:
    write_snapshot("someone/base", text_config={"max_position_embeddings": 64})
    model = only(find_local())
    assert (model.chat, model.thoughts, model.context, model.token_bytes) == (False, None, 64, None)


def test_encoders_and_adapters_are_no_language_models(home: Path) -> None:
    write_snapshot("someone/encoder", architectures=["BertModel"])
    write_gguf(home / ".cache/llama.cpp/mmproj.gguf", architecture="clip")
    write_gguf(home / ".cache/llama.cpp/adapter.gguf", kind="adapter")
    assert find_local() == Found([], {})


def test_a_split_model_is_one_model(home: Path) -> None:
    parts = [write_gguf(home / f".cache/llama.cpp/big-0000{i}-of-00002.gguf", part=i) for i in (1, 2)]
    model = only(find_local())
    assert (model.model, model.parameters) == (str(parts[0]), 192)
    assert model.size == sum(part.stat().st_size for part in parts)
    parts[1].unlink()
    assert list(find_local().skipped) == [str(parts[0])]


@pytest.mark.parametrize("content", [b"", b"GGUF" + b"\xff" * 100, b"PK\x03\x04"])
def test_damaged_gguf_files_are_skipped(home: Path, content: bytes) -> None:
    pytest.importorskip("gguf")
    good = write_gguf(home / ".cache/llama.cpp/good.gguf")
    bad = good.with_name("bad.gguf")
    bad.write_bytes(content)
    found = find_local()
    assert [model.path for model in found.models] == [good]
    assert list(found.skipped) == [str(bad)]


def test_a_template_that_does_not_parse_is_skipped(home: Path) -> None:
    file = write_gguf(home / ".cache/llama.cpp/small.gguf", template="{% for")
    assert "not valid Jinja2" in find_local().skipped[str(file)]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", b"{", "cannot be read"),
        ("config.json", b"[1]", "no mapping"),
        ("config.json", b'{"architectures": 3}', "cannot be read"),
        ("model.safetensors", b"\xff" * 20, "no safetensors header"),
        ("model.safetensors", struct.pack("<Q", 2) + b"[]", "cannot be read"),
        ("model.safetensors", struct.pack("<Q", 24) + b'{"a":{"shape":[9999999]}}'[:24], "cannot be read"),
        ("model.safetensors", struct.pack("<Q", 25) + b'{"a":{"shape":[9999999]}}', "cannot hold"),
        ("model.safetensors", struct.pack("<Q", 32) + b'{"a":{"shape":["a",3000000000]}}', "no possible shape"),
        ("model.safetensors", struct.pack("<Q", 51) + b'{"a":{"shape":[' + b"1," * 16 + b"1]}}", "no possible"),
        ("config.json", b'{"a":' * 100_000, "nested too deeply"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "../x"}}', "is missing"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "b.safetensors"}}', "is missing"),
        ("tokenizer_config.json", b'{"chat_template": [{}]}', "cannot be read"),
        ("chat_template.jinja", b"\xff", "cannot be read"),
    ],
)
def test_damaged_models_of_the_hub_are_skipped(name: str, content: bytes, reason: str) -> None:
    snapshot = write_snapshot("someone/small")
    (snapshot / name).write_bytes(content)
    found = find_local()
    assert not found.models
    assert [reason in why for why in found.skipped.values()] == [True], found.skipped


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "chat_template.jinja", "tokenizer_config.json"])
@pytest.mark.parametrize("kind", ["pipe", "zero", "large"])
def test_pipes_devices_and_endless_files_of_a_snapshot_are_not_read(name: str, kind: str) -> None:
    path = write_snapshot("someone/small") / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)  # takes no room
    found = find_local()
    passed_over = kind != "large" and name in ("chat_template.jinja", "tokenizer_config.json")
    assert bool(found.models) == passed_over
    assert bool(found.skipped) != passed_over


@pytest.mark.parametrize(("branch", "reason"), [("/etc", "no commit"), ("..", "no commit"), ("a" * 101, "larger")])
def test_a_branch_that_names_no_commit_is_skipped(branch: str, reason: str) -> None:
    folder = write_snapshot("someone/small").parents[1]
    (folder / "refs" / "main").write_text(branch)
    assert reason in find_local().skipped[str(folder)]


def test_a_blob_that_is_a_pipe_is_skipped(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "models"))
    manifest = home / "models" / "manifests" / "registry.ollama.ai" / "library" / "small" / "1b"
    blob = home / "models" / "blobs" / ("sha256-" + "a" * 64)
    for path in (manifest, blob):
        path.parent.mkdir(parents=True)
    os.mkfifo(blob)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + "a" * 64}
    manifest.write_text(json.dumps({"layers": [layer]}))
    assert "is no regular file" in find_local().skipped[str(manifest)]


def test_later_parts_of_a_split_model_take_no_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name alone claims 99,999 parts: they are not listed for each file."""
    monkeypatch.setattr("backends.models.gguf_file.split_parts", lambda path: pytest.fail("it lists the parts"))
    folder = home / ".cache" / "llama.cpp"
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        (folder / f"x-{number:05}-of-99999.gguf").write_bytes(b"")
    assert list(find_local().skipped) == [str(folder / "x-00001-of-99999.gguf")]
    with pytest.raises(InputError, match="more than 1,000 files"):
        split_parts(folder / "x-00001-of-99999.gguf")


def test_the_name_of_an_architecture_is_one_short_line(home: Path) -> None:
    write_gguf(home / ".cache/llama.cpp/odd.gguf", architecture="a\nb\x1b[2J" + "c" * 1000)
    model = only(find_local())
    assert model.architecture.startswith("a b⟦U+001B⟧[2Jc")
    assert len(model.architecture) < 60


def test_a_download_that_has_not_begun_is_skipped() -> None:
    folder = hub_cache() / "models--someone--small"
    folder.mkdir(parents=True)
    assert find_local().skipped == {str(folder): "it holds no files: its download has not begun"}


def test_pipes_links_in_a_circle_and_folders_with_too_much_are_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / ".cache" / "llama.cpp"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe.gguf")
    (folder / "circle.gguf").symlink_to(folder / "circle.gguf")
    (folder / "up").symlink_to(home)
    (folder / "zero.gguf").symlink_to("/dev/zero")
    assert not find_local().models
    monkeypatch.setattr("backends.models.local.model.MOST_ENTRIES", 3)
    assert find_local().skipped[str(folder)] == "it holds more than 3 files and folders"


class Distribution:
    """An installed package with these files."""

    def __init__(self, folder: Path, name: str, files: dict[str, bytes], requires: list[str] | None = None) -> None:
        self.metadata = {"Name": name}
        self.requires = requires
        self.files = [File(folder / file) for file in files]
        for file, content in files.items():
            (folder / file).write_bytes(content)


class File(os.PathLike[str]):
    """A file of a package."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def locate(self) -> Path:
        return self.path


def test_packages_carry_models_whole_and_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_gguf(tmp_path / "whole.gguf").read_bytes()
    installed = [
        Distribution(tmp_path, "some-model", {"one.gguf": whole, "readme.txt": b""}),
        Distribution(tmp_path, "Big_Model", {"two.gguf.part01": b"GG"}, ["big-model-part2>=1", "numpy"]),
        Distribution(tmp_path, "big-model-part2", {"two.gguf.part02": b"UF"}),
        Distribution(tmp_path, "broken", {"three.gguf": b"GGUF"}),
    ]
    monkeypatch.setattr("importlib.metadata.distributions", lambda: installed)
    found = Found()
    add_packages(found)
    assert [(model.model, model.parameters) for model in found.models] == [
        ("pypi:Big_Model", None),
        ("pypi:some-model", 96),
    ]
    assert found.models[0].size == 4
    assert list(found.skipped) == ["package broken"]


@pytest.mark.parametrize(
    ("template", "thoughts", "tools"),
    [
        (TEMPLATE, False, False),
        ("{% if enable_thinking %}{% endif %}", True, False),
        ("{{ messages }}<think>\n", True, False),
        ("{% if tools %}{{ tools }}{% endif %}[THINK]", True, True),
        ("{% set tools = [] %}{{ tools }}", False, False),
    ],
)
def test_abilities_are_read_from_the_template(template: str, thoughts: bool, tools: bool) -> None:
    assert read_abilities(template, "m") == {"chat": True, "thoughts": thoughts, "tools": tools}


def test_a_template_that_is_too_long_is_an_error() -> None:
    with pytest.raises(InputError, match="characters"):
        read_abilities("x" * 1_000_000, "m")


@pytest.mark.needs("huggingface_hub")
def test_a_model_of_the_hub_without_a_network_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client would retry for half a minute."""

    def unknown(*arguments: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("the client waits for another try"))
    with pytest.raises(InputError, match="the address of the hub is unknown here"):
        find_model("hf:nobody/nothing:x.gguf")
