"""The human backend: the contract, what an entry may be, the time limit, and one question at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from backends.contract import BackendContract
from backends.contract_tools import ask, run
from backends.human import EntryError, Human, Question, answered_through
from society.core.errors import BackendError, InputError
from society.core.types import DEFAULT_TAKEN, ChatMessage, GenerateOutput, GenerateRequest, Sampling, explain_end
from tests.backends.human.people import Typist, texts

MESSAGE = (ChatMessage("user", "Which?"),)


def obey(question: Question) -> str:
    """Type a long reply, and a short one without the letter e when asked again; of choices the first."""
    if question.choices:
        return question.choices[0] if question.fault else "none of them"
    return "Lovely weather today, 東京. " * 9 if not question.fault else "Oh"


class TestHuman(BackendContract):
    @pytest.fixture
    def config(self) -> Iterator[Human]:
        with answered_through(Typist(obey)):
            yield Human()


def read(entry: str, **given: object) -> str:
    return replace(Question("you", MESSAGE), **given).read(entry)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choices", "entry", "reply"),
    [
        (("yes", "no"), " YES ", "yes"),
        (("yes", "no"), "2", "no"),
        (("No", "no"), "no", "no"),
        (("10", "2"), "2", "2"),  # a number that is a choice is no place in the list
        (("Straße", "Gasse"), "STRASSE", "Straße"),
        (("agent-1", "agent-10"), "agent-10", "agent-10"),
        (("yes", "no"), "٢", "no"),
        (("5: certainly", "1: never"), "1", "1: never"),
        (("yes", "yes, but later"), "yes", "yes"),
        (("agent-1", "agent-10"), "agent-1", "agent-1"),
    ],
)
def test_a_choice_is_named_by_its_text_or_number(choices: tuple[str, ...], entry: str, reply: str) -> None:
    assert read(entry, choices=choices) == reply


@pytest.mark.parametrize("entry", ["", " \t\n", "0", "3", "-1", "1 2", "maybe", "9" * 5000, "yes no", "\x1b[A"])
def test_any_other_entry_is_no_choice(entry: str) -> None:
    with pytest.raises(EntryError):
        read(entry, choices=("yes", "no"))


@pytest.mark.parametrize(
    ("entry", "reply"),
    [
        ("3, 1", "cat, ann"),
        ("2", "bob"),
        ("1 1", "ann"),
        ("I hear Bob, and nobody else.", "I hear Bob, and nobody else."),
    ],
)
def test_options_are_named_by_numbers_or_in_a_text(entry: str, reply: str) -> None:
    assert read(entry, options=("ann", "bob", "cat")) == reply


@pytest.mark.parametrize("entry", ["", "4", "0, 1", "nobody", "annie", "1" * 9000])
def test_any_other_entry_names_no_option(entry: str) -> None:
    with pytest.raises(EntryError):
        read(entry, options=("ann", "bob", "cat"), longest=10_000)


def test_a_reply_keeps_its_text_and_its_limits() -> None:
    typed = "naïve 東京 🤖\nsecond line <script>alert(1)</script> \x1b[31m {{ question }}"
    assert read(f"  {typed}\n") == typed
    assert read("four words of text", longest=5) == "four words of text"
    with pytest.raises(EntryError, match="too long: about 9 tokens, where 8"):
        read("東京東京 no", longest=8)
    assert read("<use calculator>3+4</use>\n", stop=("</use>",)) == "<use calculator>3+4"
    with pytest.raises(EntryError, match="'Agent 2:' ends a reply in this scenario"):
        read("yes\nAgent 2: no", stop=("no", "Agent 2:"))
    with pytest.raises(EntryError, match="Nothing was typed"):
        read("</use>", stop=("</use>",))


def reply_of(config: Human, typist: Typist, *requests: GenerateRequest) -> list[GenerateOutput]:
    async def use(backend: object) -> list[GenerateOutput]:
        await backend.check(requests)  # type: ignore[attr-defined]
        return await asyncio.gather(*map(backend.generate, requests))  # type: ignore[attr-defined]

    with answered_through(typist):
        return list(run(config, use))


def test_a_wrong_entry_is_asked_again_with_the_reason() -> None:
    typist = Typist("", "red", "2")
    request = GenerateRequest(MESSAGE, Sampling(), 1, choices=("yes", "no"))
    [output] = reply_of(Human(), typist, request)
    assert (output.text, output.finish_reason, output.tokens) == ("no", "stop", None)
    assert [question.fault for question in typist.asked] == ["", "Nothing was typed.", "This is none of the choices."]
    assert {question.messages for question in typist.asked} == {MESSAGE}


def test_a_person_is_asked_one_question_at_a_time_in_order() -> None:
    typist = Typist("Yes.")
    requests = [ask(f"Question {i}") for i in range(5)]
    outputs = reply_of(Human(), typist, *requests)
    assert texts(typist.asked) == [f"Question {i}" for i in range(5)]
    assert typist.most == 1
    assert all(output.usage.generated_tokens == 0 for output in outputs)


def test_two_people_are_asked_at_the_same_time_unless_they_share_a_place() -> None:
    async def both() -> None:
        async with Human(person="ann").open() as ann, Human(person="bob").open() as bob:
            await asyncio.gather(ann.generate(ask("One")), bob.generate(ask("Two")))

    for shared, most in ((False, 2), (True, 1)):
        typist = Typist("Yes.")
        typist.one_at_a_time = shared  # type: ignore[misc]
        with answered_through(typist):
            asyncio.run(both())
        assert typist.most == most


def test_the_default_is_taken_when_the_time_is_over_and_says_so() -> None:
    typist = Typist(None)
    [output] = reply_of(Human(time_limit=0.01, default="I pass."), typist, ask("Well?"))
    assert (output.text, output.usage.defaults, explain_end(output)) == ("I pass.", 1, DEFAULT_TAKEN)
    assert output.usage.person_seconds > 0
    assert typist.open == []


def test_without_a_default_the_turn_fails_and_the_next_question_is_asked() -> None:
    typist = Typist(None, "Here.")

    async def use(backend: object) -> str:
        with pytest.raises(BackendError, match="'ann' gave no reply within") as error:
            await backend.generate(ask("Well?"))  # type: ignore[attr-defined]
        assert "--resume" in error.value.remedy
        return str((await backend.generate(ask("And now?"))).text)  # type: ignore[attr-defined]

    with answered_through(typist):
        assert run(Human(person="ann", time_limit=0.01), use) == "Here."


def test_a_default_that_is_no_reply_is_refused_before_the_first_turn() -> None:
    request = GenerateRequest(MESSAGE, Sampling(), 1, choices=("yes", "no"))
    with pytest.raises(InputError, match="'perhaps' is no reply for 'you': This is none of the choices") as error:
        reply_of(Human(time_limit=1, default="perhaps"), Typist("yes"), request)
    assert "yes, no" in error.value.remedy
    with pytest.raises(InputError, match="too long"):
        reply_of(Human(time_limit=1, default="word " * 9), Typist("yes"), ask("Well?", max_tokens=2))


@pytest.mark.parametrize("call", ["<use calculator>3+4</use>", "<use calculator>3+4"])
def test_a_default_calls_no_tool(call: str) -> None:
    request = GenerateRequest(MESSAGE, Sampling(stop=("</use>",)), 1)
    with pytest.raises(InputError, match="is no reply for 'you'"):
        reply_of(Human(time_limit=1, default=call), Typist("yes"), request)


def test_a_call_without_its_end_is_asked_again() -> None:
    typist = Typist("<use calculator>3+4", "<use calculator>3+4</use>")
    [output] = reply_of(Human(), typist, GenerateRequest(MESSAGE, Sampling(stop=("</use>",)), 1))
    assert (output.text, output.finish_reason) == ("<use calculator>3+4", "stop_text")
    assert typist.asked[1].fault == "The call of a tool has no end. End it with </use>."


def test_a_tool_may_be_called_before_an_option_is_named() -> None:
    calling = {"options": ("ann", "bob"), "stop": ("</use>",)}
    assert read("<use calculator>3+4</use>", **calling) == "<use calculator>3+4"
    assert read("2", **calling) == "bob"
    with pytest.raises(EntryError, match="has no end"):
        read("<use calculator>3+4", **calling)
    with pytest.raises(EntryError, match="none of the options"):
        read("<use calculator>3+4", options=("ann", "bob"))


def test_another_person_is_another_model() -> None:
    hashes = {Human(person=name, time_limit=limit).open().model_hash for name in ("ann", "bob") for limit in (None, 9)}
    assert len(hashes) == 2
