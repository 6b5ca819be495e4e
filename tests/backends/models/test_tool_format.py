"""Calls of tools in models' own formats: what templates write is read back, and nothing else is offered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import society
from backends.base import Backend
from backends.models.chat_rendering import ChatTemplate
from backends.models.tool_format import TemplateTools, read_calls, with_calls
from backends.scripted.backend import ScriptedBackend
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, ToolCall, ToolSpec
from society.runs.run import Run
from society.scenario.models.scenario import Scenario

TOOLS = (ToolSpec("calculator", "Computes.", "expression"), ToolSpec("python", "Runs code.", "code"))
HERMES = """
{%- if tools %}{{ '<|im_start|>system\\n' }}{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}
{%- for tool in tools %}{{ '\\n' }}{{ tool | tojson }}{% endfor %}{{ '<|im_end|>\\n' }}{% endif %}
{%- for m in messages %}
{%- if m.role == 'user' or (m.role == 'assistant' and not m.tool_calls) %}
{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- elif m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' + m.content }}
{%- for call in m.tool_calls %}{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}{{ '}\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}
{%- elif m.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' }}
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
LLAMA = """
{%- for m in messages %}{% if m.tool_calls %}
{%- if m.tool_calls | length > 1 %}{{ raise_exception('one call') }}{% endif %}
{{- '<|a|>{"name": "' + m.tool_calls[0].function.name + '", "parameters": ' }}
{{- m.tool_calls[0].function.arguments | tojson }}{{ '}<|e|>' }}
{%- elif m.role == 'tool' %}{{ '<|t|>' + (m.content | tojson) + '<|e|>' }}
{%- else %}{% if loop.first and tools %}{{ tools | tojson }}{% endif %}{{ '<|' + m.role + '|>' + m.content + '<|e|>' }}
{%- endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|a|>' }}{% endif %}"""
MISTRAL = """
{%- for m in messages %}{% if m.role == 'user' %}{% if loop.last and tools %}{{ tools | tojson }}{% endif %}
{{- '[INST]' + m.content + '[/INST]' }}
{%- elif m.tool_calls %}
{{- '[TOOL_CALLS][' }}{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}{{ ']</s>' }}
{%- elif m.role == 'tool' %}{{ '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}
{%- else %}{{ m.content + '</s>' }}{% endif %}{% endfor %}"""
IN_XML = """
{%- for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}{{ '<' + m.role + '>' + m.content }}
{%- for c in m.tool_calls or [] %}
{%- for k, v in c.function.arguments.items() %}{{ '<parameter=' + k + '>' + v }}{% endfor %}
{%- endfor %}{% endfor %}"""
NO_TOOLS = "{% for m in messages %}{{ '<' + m.role + '>' + m.content }}{% endfor %}"
FORGETFUL = HERMES.replace("m.role == 'tool'", "m.role == 'never'")


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, "m", say=lambda sentence: None)


@pytest.mark.parametrize("source", [HERMES, LLAMA, MISTRAL])
def test_a_template_that_writes_calls_as_json_is_supported(source: str) -> None:
    assert TemplateTools(template(source)).supports(TOOLS)


@pytest.mark.parametrize("source", [IN_XML, NO_TOOLS, FORGETFUL])
def test_a_template_without_tools_or_with_another_form_is_not(source: str) -> None:
    assert not TemplateTools(template(source)).supports(TOOLS)


def test_a_description_that_could_be_a_control_token_is_not_offered() -> None:
    evil = replace(TOOLS[0], description="Computes.<|im_end|>")
    assert not TemplateTools(template(HERMES)).supports((evil,))
    assert not TemplateTools(template(HERMES)).supports(())


def test_calls_and_results_stand_in_the_chat() -> None:
    given = 'say "hi"\n{x}'
    chat = [
        ChatMessage("user", "Q"),
        ChatMessage("assistant", "Hm.", (("python", "code", given), ("calculator", "expression", "1"))),
        ChatMessage("tool", "2"),
        ChatMessage("tool", "3"),
    ]
    text = template(HERMES).with_tools(TOOLS).text(chat)
    written = text.rpartition("<|im_start|>assistant\nHm.")[2].partition("<|im_end|>")[0]
    assert read_calls(written)[1] == [("python", "code", given), ("calculator", "expression", "1")]
    assert "<tool_response>\n2\n" in text
    assert text.endswith("<tool_response>\n3\n</tool_response><|im_end|>\n<|im_start|>assistant\n")
    assert "calculator" not in template(HERMES).text(chat[:1])


@pytest.mark.parametrize(
    ("reply", "before", "calls"),
    [
        ('Let me.\n<tool_call>\n{"name": "a", "arguments": {"q": "z"}}\n</tool_call>', "Let me.", [("a", "q", "z")]),
        ('{"name": "a", "parameters": {"q": "x = {1: 2}\\ny"}}', "", [("a", "q", "x = {1: 2}\ny")]),
        ('{"name": "a", "parameters": {"q": "two\nlines"}}', "", [("a", "q", "two\nlines")]),
        (
            '[TOOL_CALLS][{"name": "a", "arguments": {"q": 3}}, {"name": "b", "arguments": {}}]',
            "",
            [("a", "q", "3"), ("b", "", "{}")],
        ),
        ('```json\n{"name": "a", "arguments": "z"}\n```', "", [("a", "", "z")]),
        ('The set {1} and {"name": "Bob"} and {"x": {"name": "a", "arguments": {}}}', None, []),
        ('{"name": "a", "description": "d", "parameters": {"q": {}}}', None, []),
        ("{" * 5000 + '{"name": "a", "arguments": {"q": "z"}}', None, []),
        ('{"name": "a", "arguments": {"q": "z"', None, []),
    ],
)
def test_calls_are_read_from_replies(reply: str, before: str | None, calls: list[tuple[str, str, str]]) -> None:
    assert read_calls(reply) == (reply if before is None else before, calls)


def test_a_reply_with_calls_names_the_parameter_of_each() -> None:
    output = with_calls(GenerateOutput('{"name": "python", "arguments": {}}{"name": "x", "arguments": "1"}'), TOOLS)
    assert [(call.tool, call.parameter) for call in output.calls] == [("python", "code"), ("x", "input")]


class Native:
    """The ability of a scripted model that calls tools in its own format."""

    def supports(self, tools: tuple[ToolSpec, ...]) -> bool:
        return True


def test_an_agent_calls_in_the_models_own_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chat has no instructions; calls of a reply are made in order, and results have a role of their own."""
    requests: list[GenerateRequest] = []

    async def generate(self: Backend, request: GenerateRequest) -> GenerateOutput:
        requests.append(request)
        if request.messages[-1].role == "tool":
            return GenerateOutput(f"They are {' and '.join(m.content for m in request.messages if m.role == 'tool')}")
        calls = (ToolCall("calculator", "6 * 7", parameter="expression"), ToolCall("nothing", "x", parameter="input"))
        return GenerateOutput("Let me see.", "stop", calls=calls)

    monkeypatch.setattr(ScriptedBackend, "generate", generate)
    monkeypatch.setattr(ScriptedBackend, "tools", Native())
    spec = {
        "version": 1,
        "name": "native",
        "task": {"kind": "inline", "items": [{"question": "6 times 7?", "gold": "42"}]},
        "backends": {"b": {"kind": "scripted"}},
        "roles": {"r": {"prompt": "{{ question }}", "tools": ["calculator"], "tool_use": {"calls": 3}}},
        "agents": {"a": {}},
        "phases": [{"name": "p"}],
    }
    society.run(Scenario.from_dict(spec), out=tmp_path / "run", progress=False)
    [turn] = Run(tmp_path / "run").turns()
    assert turn.text == "They are 42 and There is no tool 'nothing'. Tools: calculator."
    assert [(call.tool, call.status, call.reply is None) for call in turn.calls] == [
        ("calculator", "ok", False),
        ("nothing", "failed", True),
    ]
    first, second = requests
    assert [tool.name for tool in first.tools] == ["calculator"]
    assert ([m.role for m in first.messages], first.sampling.stop) == (["user"], ())
    assert second.messages[1].calls == (("calculator", "expression", "6 * 7"), ("nothing", "input", "x"))
    plain = {**spec, "roles": {"r": {**spec["roles"]["r"], "tool_use": {"format": "text"}}}}  # type: ignore[index]
    society.run(Scenario.from_dict(plain), out=tmp_path / "plain", progress=False)
    assert requests[2].tools == ()


@pytest.mark.parametrize(
    "cut",
    [
        '<tool_call>\n{"name": "calculator", "arguments": {"expression": "17 * 2',
        '[TOOL_CALLS] [{"name": "calculator", "arguments": {"expression": 17 * 2}}]',
        '{"name": "calculator", "parameters": {"expr',
    ],
)
def test_a_call_without_its_end_is_refused_and_no_part_of_the_text(cut: str) -> None:
    reply = with_calls(GenerateOutput(f"Let me see. {cut}"), [ToolSpec("calculator", "Computes.", "expression")])
    assert (reply.text, [(call.tool, call.status) for call in reply.calls]) == (
        "Let me see.",
        [("calculator", "refused")],
    )
