"""Calls of tools through the HTTP backend: the trial, messages and replies in the words of the OpenAI standard."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.base import Backend
from backends.contract_tools import ask, run
from backends.openai import OpenAI
from backends.openai.tools import read_tool_calls, write_messages
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Sampling, ToolSpec
from tests.backends.openai import fakes
from tests.faults.proxy import reply

TOOLS = (ToolSpec("calculator", "Computes.", "expression"),)
ASKED = GenerateRequest((ChatMessage("user", "6 * 7?"),), Sampling(), 1, tools=TOOLS)


class CallingServer(fakes.FakeVLLM):
    """A server whose model calls the first tool, and after a result says it."""

    bodies: list[dict[str, Any]]

    def chat(self, body: dict[str, Any]) -> bytes:
        if "tools" not in body:
            return super().chat(body)
        self.bodies = [*getattr(self, "bodies", ()), body]
        last = body["messages"][-1]
        message: dict[str, Any] = {"role": "assistant", "content": f"It is {last['content']}."}
        if last["role"] != "tool":
            function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"expression": "6 * 7"}'}
            message = {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "function": function}]}
        whole = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
        return reply(whole | {"usage": {"prompt_tokens": 9, "completion_tokens": 3}})


class RefusingServer(fakes.FakeVLLM):
    """A server that was started without tools."""

    def refuse(self, body: dict[str, Any]) -> bytes | None:
        return reply({"error": {"message": "auto tool choice requires a flag"}}, 400) if "tools" in body else None


def try_out(server: type[fakes.FakeServer]) -> tuple[bool, GenerateOutput | None, list[dict[str, Any]]]:
    """Return whether tools are supported, the reply to a request with tools, and the bodies with tools."""
    found: list[Any] = []

    async def work(backend: Backend) -> None:
        await backend.check([ASKED])
        assert backend.tools is not None
        found.append(backend.tools.supports(TOOLS))
        found.append(await backend.generate(ASKED) if found[0] else None)

    with server() as opened:
        run(OpenAI(url=opened.url), work)
        return found[0], found[1], getattr(opened, "bodies", [])


def test_a_model_that_calls_in_the_trial_is_offered_tools() -> None:
    supported, output, bodies = try_out(CallingServer)
    assert supported
    assert output is not None
    assert [(c.tool, c.given, c.parameter) for c in output.calls] == [("calculator", "6 * 7", "expression")]
    assert (output.text, output.finish_reason) == ("", "tools")
    assert bodies[-1]["tools"][0]["function"]["parameters"]["required"] == ["expression"]


@pytest.mark.parametrize("server", [RefusingServer, fakes.FakeVLLM, fakes.FakeOllama])
def test_any_other_model_is_not(server: type[fakes.FakeServer]) -> None:
    assert try_out(server)[:2] == (False, None)


def test_a_request_without_tools_has_none() -> None:
    assert write_messages(ask("Hi").messages) == [{"role": "user", "content": "Hi"}]


def test_results_follow_the_calls_by_their_numbers() -> None:
    made = (("a", "x", 'say "hi"'), ("b", "y", "2"))
    chat = [ChatMessage("assistant", "", made), ChatMessage("tool", "1"), ChatMessage("tool", "2")]
    first, *results = write_messages(chat)
    assert [call["id"] for call in first["tool_calls"]] == [result["tool_call_id"] for result in results]
    assert json.loads(first["tool_calls"][0]["function"]["arguments"]) == {"x": 'say "hi"'}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            [{"function": {"name": "calculator", "arguments": '{"expression": "1"}'}}],
            [("calculator", "expression", "1")],
        ),
        ([{"function": {"name": "calculator", "arguments": {"expression": 1}}}], [("calculator", "expression", "1")]),
        ([{"function": {"name": "calculator", "arguments": "1 +"}}], [("calculator", "expression", "1 +")]),
        ([{"function": {"name": "x", "arguments": '{"a": 1, "b": 2}'}}], [("x", "input", '{"a": 1, "b": 2}')]),
        (
            [
                {"index": 0, "function": {"name": "calculator", "arguments": '{"expre'}},
                {"index": 1, "function": {"name": "x"}},
                {"index": 0, "function": {"arguments": 'ssion": "1"}'}},
            ],
            [("calculator", "expression", "1"), ("x", "input", "")],
        ),
        ([5, None, {"function": None}, {"function": {"arguments": "{}"}}, {"index": "a"}], []),
    ],
)
def test_calls_are_read_whole_in_parts_or_not_at_all(given: list[Any], expected: list[tuple[str, str, str]]) -> None:
    assert [(c.tool, c.parameter, c.given) for c in read_tool_calls(given, TOOLS)] == expected
