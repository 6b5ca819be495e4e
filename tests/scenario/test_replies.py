"""Prompts and stop texts by which replies cannot have what is read in them."""

from __future__ import annotations

from typing import Any

import pytest

from society.scenario import check_scenario

SHOWN = "{{ question }} {% for m in heard %}{{ m.text }}{% endfor %} "
JUDGED = "Question: {{ question }} Answer: {{ judged.answer }} "


def check(prompt: str, **changes: Any) -> list[str]:
    data = {
        "version": 1,
        "name": "replies",
        "task": {"kind": "inline", "items": [{"question": "Why?", "gold": "because"}]},
        "backends": {"m": {"kind": "openai", "url": "http://127.0.0.1:9/v1", "model": "m"}},
        "roles": {"r": {"prompt": SHOWN + prompt}},
        "agents": {"a": {"count": 3}},
        "phases": [{"name": "d", "topology": "complete", "rounds": 2}],
        "sampling": {"temperature": 0.5},
        **changes,
    }
    return [str(problem) for problem in check_scenario(data)]


STATED = "{% for m in heard %}{{ m.confidence }}{% endfor %} "


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", True),
        ('{{ heard | map(attribute="confidence") | join }}', True),
        ("How sure are you?", False),
        ("{{ vars.ask }}", False),
        ("{{ persona.confidence_request }}", False),
    ],
)
def test_showing_the_confidence_of_messages_asks_for_none(words: str, found: bool) -> None:
    role = {"prompt": SHOWN + STATED + words, "confidence": "stated"}
    problems = check(
        "", roles={"r": role}, vars={"ask": "State your certainty."} if "vars" in words else {}, decision="weighted"
    )
    assert any("never asks for a confidence" in problem for problem in problems) == found, problems


@pytest.mark.parametrize(
    ("backend", "found"),
    [
        ({"kind": "openai", "model": "m", "logprobs": False}, True),
        ({"kind": "human"}, True),
        ({"kind": "openai", "model": "m"}, False),
    ],
)
def test_a_backend_without_log_probabilities_gives_no_confidence(backend: dict[str, Any], found: bool) -> None:
    roles = {"r": {"prompt": SHOWN, "confidence": "logprob"}}
    problems = check("", roles=roles, backends={"m": backend}, decision="weighted")
    assert any("have no log-probabilities" in problem for problem in problems) == found, problems


@pytest.mark.parametrize(
    ("rubric", "found"),
    [
        ({"prompt": JUDGED + "Is it correct? Reply with yes or no."}, True),
        ({"prompt": JUDGED + 'End with "Verdict: RIGHT" or "Verdict: WRONG".'}, False),
        ({"prompt": JUDGED + "{{ instruction }}"}, False),
        ({"prompt": JUDGED, "system": "Write a verdict: right or wrong."}, False),
        ({"prompt": JUDGED + "{{ vars.end }}"}, False),
    ],
)
def test_the_prompt_of_a_judge_names_its_verdicts(rubric: dict[str, Any], found: bool) -> None:
    items = [{"question": "Why?", "gold": "because"}]
    problems = check(
        "",
        task={"kind": "inline", "items": items, "answer": {"kind": "judge", "agent": "grader"}},
        roles={"r": {"prompt": SHOWN}, "g": rubric},
        agents={"a": {"count": 3, "role": "r"}, "grader": {"role": "g"}},
        decision="none",
        vars={"end": "Verdict: RIGHT?"} if "vars" in rubric["prompt"] else {},
    )
    assert any("never names the verdicts" in problem for problem in problems) == found, problems


@pytest.mark.parametrize(
    ("stop", "prompt", "found"),
    [
        ("boxed", "{{ instruction }}", "before its answer"),
        ("boxed", "", ""),
        ("}", "{{ instruction }}", ""),
        ("Question:", "{{ instruction }}", ""),
        ("Confidence:", "How sure are you?", "before its confidence"),
    ],
)
def test_a_stop_text_cuts_off_what_is_read(stop: str, prompt: str, found: str) -> None:
    roles = {"r": {"prompt": SHOWN + prompt, "confidence": "stated" if "sure" in prompt else "none"}}
    problems = check("", roles=roles, sampling={"stop": [stop], "temperature": 0.5}, decision="weighted")
    ours = [problem for problem in problems if "ends a reply" in problem]
    assert bool(ours) == bool(found), problems
    assert found in "".join(ours)
    assert not ours or ours[0].startswith("warning: sampling.stop: ")
