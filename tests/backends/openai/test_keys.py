"""A key is sent to its own host, in one header, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from backends.openai import OpenAI
from backends.openai.keys import find_key, is_local
from society.core.errors import BackendError, InputError
from tests.backends.openai.test_http import Fake, completion, is_probe, models, say
from tests.faults.proxy import Request, reply

ROOT = Path(__file__).parents[3]
KEY = "sk-test-0123456789-never-to-be-seen"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("OPENAI_API_KEY", "OTHER_API_KEY"):
        monkeypatch.setenv(name, KEY)
    for name in ("OPENAI_BASE_URL", "OTHER_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return KEY


def test_a_key_goes_home_without_a_word(key: str) -> None:
    assert find_key(OpenAI(url="https://api.openai.com/v1")) == key
    assert find_key(OpenAI(url="https://api.openai.com/v1", key_env="OPENAI_API_KEY")) == key


def test_no_other_host_gets_a_key_unless_it_is_named(key: str) -> None:
    for url in ("https://elsewhere.example/v1", "http://127.0.0.1:8080/v1", "https://api.openai.com.evil.example/v1"):
        assert find_key(OpenAI(url=url)) is None
    assert find_key(OpenAI(url="http://127.0.0.1:8080/v1", key_env="OTHER_API_KEY")) == key


def test_a_scenario_alone_sends_no_key_abroad(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scenario is a stranger's text; the user's environment must agree."""
    config = OpenAI(url="https://elsewhere.example/v1", key_env="OTHER_API_KEY")
    with pytest.raises(InputError, match=r"OTHER_API_KEY is not sent to elsewhere\.example") as caught:
        find_key(config)
    assert "export OTHER_BASE_URL=https://elsewhere.example/v1" in caught.value.remedy
    monkeypatch.setenv("OTHER_BASE_URL", "https://another.example/v1")
    with pytest.raises(InputError):
        find_key(config)
    monkeypatch.setenv("OTHER_BASE_URL", "https://elsewhere.example/v1")
    assert find_key(config) == key


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "http://api.openai.com:443/v1",
        "https://api.openai.com:8443/v1",
        "https://API.OPENAI.COM:8443/v1",
        "http://elsewhere.example/v1",
        "https://elsewhere.example:8443/v1",
        "https://elsewhere.example:80/v1",
        "https://elsewhere.example./v1",
        "https://www.elsewhere.example/v1",
        "https://elsewhere.example.evil.example/v1",
        "http://0.0.0.0:8080/v1",
        "http://127.1:8080/v1",
        "http://2130706433/v1",
        "http://0x7f.1/v1",
        "http://localhost./v1",
        "http://localhost.example/v1",
        "http://127.0.0.1.example/v1",
        "http://127.0.0.1.:8080/v1",
        "http://[::]:8080/v1",
        "http://[::ffff:10.0.0.1]/v1",
        "https://xn--elsewhere-ja3d.example/v1",
    ],
)
def test_a_key_goes_to_its_own_scheme_host_and_port_alone(url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    with pytest.raises(InputError, match="OPENAI_API_KEY is not sent to") as caught:
        find_key(OpenAI(url=url, key_env="OPENAI_API_KEY"))
    assert key not in str(caught.value)


def test_no_word_of_the_environment_sends_a_key_in_the_clear(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_BASE_URL", "http://elsewhere.example/v1")
    with pytest.raises(InputError, match="not encrypted") as caught:
        find_key(OpenAI(url="http://elsewhere.example/v1", key_env="OTHER_API_KEY"))
    assert "https" in caught.value.remedy


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("https://Elsewhere.Example/v1", "https://elsewhere.example"),
        ("https://elsewhere.example:443/v1", " https://elsewhere.example/v1/ "),
        ("https://elsewhere.example:8443/v1", "https://ELSEWHERE.example:8443/other"),
        ("https://[2001:db8::1]:8443/v1", "https://[2001:DB8::1]:8443/v1"),
    ],
)
def test_the_same_server_written_otherwise_gets_its_key(
    url: str, named: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_BASE_URL", named)
    assert find_key(OpenAI(url=url, key_env="OTHER_API_KEY")) == key


@pytest.mark.parametrize(
    "named", ["", "elsewhere.example", "https://", "https://elsewhere.example:x", "https://[", "\0"]
)
def test_an_address_of_the_environment_that_is_none_names_nothing(
    named: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "OTHER_BASE_URL": named})
    with pytest.raises(InputError, match="only the scenario"):
        find_key(OpenAI(url="https://elsewhere.example/v1", key_env="OTHER_API_KEY"))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com@evil.example/v1",
        "https://user:word@evil.example/v1",
        "https://@evil.example/v1",
        "https://evil.example\\@api.openai.com/v1",
        "https://api.openai.com\\.evil.example/v1",
        "https://evil.example#@api.openai.com/v1",
        "https://evil.example?@api.openai.com/v1",
        "https://evil.example?",
        "https://evil.example#",
        "https://api.openai.com\t.evil.example/v1",
        "https://api.openai.com\n/v1",
        "https://api\uff0eopenai.com/v1",
        "https://\u24d0pi.openai.com/v1",
        "https://\u0430pi.openai.com/v1",
        "https://evil.example:99999/v1",
        "https://evil.example:x/v1",
        "https://evil.example:443:80/v1",
        "https://[::1",
        "https://[::1%25eth0]/v1",
        "https://evil%2eexample/v1",
        "https://",
        "//evil.example/v1",
        "file:///etc/passwd",
        "HTTPS:evil.example",
    ],
)
def test_an_address_that_two_libraries_may_read_differently_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        OpenAI(url=url)


def test_a_redirect_takes_no_key_elsewhere(key: str) -> None:
    with Fake() as other:

        def elsewhere(request: Request) -> bytes:
            return reply({}, 307, Location=f"{other.url}/chat/completions")

        with Fake(elsewhere) as server, pytest.raises(BackendError, match="307"):
            say(OpenAI(url=server.url, key_env="OTHER_API_KEY"))
        assert other.requests == []


@pytest.mark.parametrize("name", ["HOME", "AWS_SECRET_ACCESS_KEY", "sk-123", "_API_KEY", KEY])
def test_only_names_of_keys_may_be_given(name: str) -> None:
    with pytest.raises(ValidationError):
        OpenAI(key_env=name)


@pytest.mark.parametrize("value", [None, "", "  ", "sk-1\nX: y", "schlüssel"])
def test_a_missing_or_broken_key_names_its_variable(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTHER_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("OTHER_API_KEY", value)
    with pytest.raises(InputError, match="OTHER_API_KEY") as caught:
        find_key(OpenAI(key_env="OTHER_API_KEY"))
    assert "OTHER_API_KEY" in caught.value.remedy
    assert "sk-1" not in str(caught.value)


def test_local_means_this_machine() -> None:
    assert all(map(is_local, ("http://localhost:1/v1", "http://127.0.0.9/v1", "http://[::1]:8/v1")))
    assert not any(map(is_local, ("http://localhost.example/v1", "http://10.0.0.1/v1", "http://127.0.0.1.example/v1")))


def test_a_key_that_is_refused_is_not_repeated(key: str) -> None:
    def refuse(request: Request) -> bytes:
        return reply({"error": {"message": f"Incorrect API key: {request.headers['authorization']}"}}, 401)

    with Fake(refuse) as server, pytest.raises(BackendError) as caught:
        say(OpenAI(url=server.url, key_env="OTHER_API_KEY"))
    assert "401" in caught.value.cause
    assert key not in str(caught.value) + repr(caught.value)


SCENARIO = """
version: 1
name: secret
task: {kind: capitals, well_known: true, limit: 3}
backends: {hosted: {kind: openai, url: "URL", key_env: HOSTED_API_KEY}}
roles: {debater: {prompt: "{{ question }}"}}
agents: {debater: {count: 2}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""


def society(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Return the command line with everything that libraries log printed, too."""
    code = "import logging, sys; logging.basicConfig(level=0); from society.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOSTED_API_KEY": KEY}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False, timeout=120)


@pytest.mark.slow
@pytest.mark.needs("httpx")
def test_no_file_and_no_line_of_a_run_has_the_key(tmp_path: Path) -> None:
    """The server echoes the key wherever it can: in replies, in names, in errors that pass and that do not."""
    spoken = 0

    def echo(request: Request) -> bytes:
        nonlocal spoken
        spoken += 1
        said = f"Your header was {request.headers['authorization']}."
        failing = {2: 429, 4: 500, 6: 400}.get(spoken)
        return reply({"error": {"message": said}}, failing) if failing else reply(completion(said, system=said))

    with Fake(echo, listed=lambda: models("m", KEY)) as server:
        (tmp_path / "secret.yaml").write_text(
            SCENARIO.replace("URL", server.url).replace("key_env", "model: m, key_env")
        )
        ran = society("run", "secret.yaml", "--out", "run", cwd=tmp_path)
        shown = society("show", "run", "--item", "1", cwd=tmp_path)
        reported = society("report", "run", "-o", "report.html", cwd=tmp_path)
        keys = {request.headers.get("authorization") for request in server.requests}
    assert keys == {f"Bearer {KEY}"}  # it was sent with every request
    assert ran.returncode == 1, ran.stderr  # one turn failed for good
    assert b"[key]" in shown.stdout  # and it did come back
    assert (shown.returncode, reported.returncode) == (0, 0)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 3
    said = [done.stdout + done.stderr for done in (ran, shown, reported)]
    assert not [text for text in written + said if KEY.encode() in text]


def test_is_probe_knows_the_probe() -> None:
    with Fake() as server:
        say(OpenAI(url=server.url))
        chats = [request for request in server.requests if request.path.endswith("/completions")]
    assert [is_probe(request) for request in chats] == [True, False]
