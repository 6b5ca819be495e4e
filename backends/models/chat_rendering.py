"""Chats as a model's own chat template writes them. Both local backends render with this module.

Templates differ in the chats that they accept. `ChatTemplate` finds out by rendering short chats, and changes a chat
only where its template would refuse it or leave out text:

- A system message is put at the beginning of the next user message, for a template without a system role.
- Consecutive messages of one role are joined, for a template that wants user and assistant in turns.
- Contents are lists of parts (`{"type": "text", "text": ...}`), for a template that reads nothing else.

A chat that is still refused, or of which a message is left out, raises `ChatTemplateError` with the role and the place.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

from backends.models.chat_shapes import (
    Shape,
    count_texts,
    join_repeats,
    move_system,
    place_of,
    repeats,
    role_of,
    shape_of,
    texts_of,
    turn_of,
    with_article,
)
from backends.models.chat_templates import (
    TODAY,
    compile_chat_template,
    compile_masked_templates,
    fill_chat_template,
    template_texts,
    template_variables,
)
from backends.models.control_tokens import Render
from society.core.errors import BackendError, ChatTemplateError, InputError
from society.core.types import ChatMessage, TemplateArgs, ToolSpec

if TYPE_CHECKING:
    from jinja2 import Template

log = logging.getLogger(__name__)

THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking", "thought")
"""Keys of a message under which templates look for its thought."""
RESERVED = frozenset(["messages", "add_generation_prompt"])
"""Variables of a template that no argument replaces."""
_BARRED = re.compile("<([|\uff5c]).+\\1>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Properties of a template with certain arguments. Chats are changed where one of the first two is false."""

    system: bool
    """Whether the template writes system messages."""
    repeats: bool
    """Whether the template writes consecutive messages of one role."""
    parts: bool
    """Whether contents must be lists of parts."""


class ChatTemplate:
    """A model's chat template with its variables, such as `bos_token`.

    Raises `InputError` for an empty or invalid template. `say` is called with a sentence for each change of chats, when
    it is made first; by default it logs a warning, once in a process.
    """

    def __init__(
        self,
        source: str,
        model: str,
        variables: Mapping[str, object] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if not source:
            raise InputError(
                f"{model} carries no chat template: it is a base model.",
                "Use an instruction-tuned model, or give the backend a chat_template (Jinja2 text).",
            )
        self.model, self.source = model, source
        self._variables = {"bos_token": "", "eos_token": "", "tools": None, "documents": None, **(variables or {})}
        self._say = say or _warn_once
        self._plain = compile_chat_template(source, model)
        self._masked = compile_masked_templates(source)
        self._texts = template_texts(source)
        if "{" not in source:
            raise InputError(
                f"The chat template of {model}, {source[:40]!r}, shows no message: it may be a name that only "
                "llama.cpp's programs know.",
                "Give the backend a chat_template (Jinja2 text).",
            )
        self._accepted: dict[TemplateArgs, Accepted] = {}
        self._left_out: dict[tuple[tuple[Shape, ...], TemplateArgs], int | None] = {}
        self._switches: dict[str, bool] = {}
        self._with_tools: dict[tuple[ToolSpec, ...], ChatTemplate] = {}

    def controls(self, name: str) -> bool:
        """Return whether an added token is a control token by its name: `<|name|>`, or a name in the template's text.

        Vocabularies mark control tokens themselves, but llama.cpp takes the mark off some of gpt-oss's.
        """
        return bool(_BARRED.fullmatch(name)) or self.writes(name)

    @cached_property
    def variables(self) -> frozenset[str]:
        """Variables that the template reads and that arguments may give."""
        read = template_variables(self.source) - RESERVED - self._variables.keys()
        return frozenset(name for name in read if not name.endswith("_token"))

    def has_switch(self, name: str) -> bool:
        """Return whether chats differ by a variable that is True or False."""
        if name not in self._switches:
            self._switches[name] = name in self.variables and self._differs(name)
        return self._switches[name]

    def _differs(self, name: str) -> bool:
        chat = [ChatMessage("user", "Ping?")]
        try:
            return self.text(chat, ((name, True),)) != self.text(chat, ((name, False),))
        except ChatTemplateError:
            return False

    def around_thought(self) -> tuple[str, str]:
        """Return the texts that the template writes before a thought, and between it and the text of a reply.

        Both are "" if it writes no thoughts.
        """
        reply = {"role": "assistant", "content": "Pong."} | dict.fromkeys(THOUGHT_KEYS, "Ping.")
        turns = [{"role": "user", "content": "Go."}, reply]
        try:
            chat = fill_chat_template(self._plain, **self._variables, messages=turns, add_generation_prompt=False)
        except ChatTemplateError:
            return "", ""
        before, _, ending = chat.partition("Pong.")[0].rpartition("Ping.")
        return before, ending

    def writes(self, name: str) -> bool:
        """Return whether the template contains a name that is not white space."""
        return not name.isspace() and any(name in text for text in self._texts)

    def traits(self) -> dict[str, object]:
        """Return what shapes chats beside the template's text, where it is unusual. It is part of a model's hash."""
        accepted = self.accepted()
        found: dict[str, object] = {"strftime_now": TODAY} if "strftime_now" in self.source else {}
        if accepted.parts:
            found["content"] = "parts"
        if not accepted.system and self._difference(("system", "user"), 0, accepted.parts, ()) is False:
            found["system"] = "moved"
        return found

    def text(self, messages: Sequence[ChatMessage], args: TemplateArgs = (), add_generation_prompt: bool = True) -> str:
        """Return a chat as text. Raises `BackendError` if the template refuses it; see `renderers`."""
        contents, render, _ = self.renderers(messages, args, add_generation_prompt)
        return render(contents)

    def renderers(
        self, messages: Sequence[ChatMessage], args: TemplateArgs = (), add_generation_prompt: bool = True
    ) -> tuple[list[str], Render, list[Render]]:
        """Return the contents of a chat, and what fills them into the template and into the masked templates.

        The chat is first changed as its template needs. `args` are additional variables of the template. Rendering
        raises `ChatTemplateError` for roles that the template refuses or leaves out, and another `BackendError` for a
        text.
        """
        accepted = self.accepted(args)
        changed = self.adapt(messages, accepted)
        roles = [shape_of(message) for message in changed]
        fill = partial(self._fill, roles, accepted.parts, args, add_generation_prompt)

        def render(contents: Sequence[str]) -> str:
            try:
                chat = fill(self._plain, contents)
            except ChatTemplateError as error:
                raise self._explain(changed, accepted, args, error) from None
            self._check_shown(tuple(roles), accepted.parts, args)
            return chat

        return (
            [text for message in changed for text in texts_of(message)],
            render,
            [partial(fill, masked) for masked in self._masked],
        )

    def adapt(self, messages: Sequence[ChatMessage], accepted: Accepted) -> list[ChatMessage]:
        """Return the messages as the template takes them."""
        changed = list(messages)
        if not accepted.system and any(message.role == "system" for message in changed):
            self._say(
                f"The chat template of {self.model} has no system role: system messages are put at the beginning of "
                "the next user message."
            )
            changed = move_system(changed)
        if not accepted.repeats and repeats(changed):
            self._say(
                f"The chat template of {self.model} wants user and assistant messages in turns: consecutive messages "
                "of one role are joined."
            )
            changed = join_repeats(changed)
        return changed

    def with_tools(self, tools: tuple[ToolSpec, ...]) -> ChatTemplate:
        """Return this template with tools that the model is offered."""
        if not tools:
            return self
        if tools not in self._with_tools:
            variables = {**self._variables, "tools": [tool.schema for tool in tools]}
            self._with_tools[tools] = ChatTemplate(self.source, self.model, variables, self._say)
        return self._with_tools[tools]

    def accepted(self, args: TemplateArgs = ()) -> Accepted:
        """Return what the template accepts with these arguments, found by rendering short chats."""
        if args not in self._accepted:
            self._accepted[args] = self._find_accepted(args)
        return self._accepted[args]

    def _find_accepted(self, args: TemplateArgs) -> Accepted:
        plain = self._difference(("user",), 0, False, args)
        parts = not plain and self._difference(("user",), 0, True, args) is True
        if not (plain or parts):  # it renders no chat, or none of its text: the error says so
            return Accepted(system=True, repeats=True, parts=False)
        system = self._difference(("system", "user"), 0, parts, args) is True
        repeats = all(
            self._difference(roles, at, parts, args)
            for roles, at in ((("user", "user"), 0), (("user", "assistant", "assistant"), 1))
        )
        return Accepted(system, repeats, parts)

    def _difference(self, roles: Sequence[Shape], at: int, parts: bool, args: TemplateArgs) -> bool | None:
        """Return whether the text of message `at` shows in a chat of these roles; None if the template refuses it."""
        contents = ["1111"] * sum(map(count_texts, roles))
        place = sum(map(count_texts, roles[: at + 1])) - 1  # of a message with calls, the last text
        changed = [*contents[:place], "2222", *contents[place + 1 :]]
        try:
            return self._fill(roles, parts, args, True, self._plain, contents) != self._fill(
                roles, parts, args, True, self._plain, changed
            )
        except ChatTemplateError:
            return None

    def _check_shown(self, roles: tuple[Shape, ...], parts: bool, args: TemplateArgs) -> None:
        """Raise `ChatTemplateError` if the template leaves out a message of a chat of these roles."""
        if (roles, args) not in self._left_out:
            self._left_out[roles, args] = self._find_left_out(roles, parts, args)
        at = self._left_out[roles, args]
        if at is not None:
            left_out = f"{with_article(role_of(roles[at]))} message {place_of(roles, at)}"
            raise ChatTemplateError(
                f"The chat template of {self.model} leaves out {left_out}.",
                "Give the backend a chat_template that writes every message.",
            )

    def _find_left_out(self, roles: tuple[Shape, ...], parts: bool, args: TemplateArgs) -> int | None:
        """Return the index of the first message whose text does not show in a chat of these roles."""
        contents = [f"text{i}end" for i in range(sum(map(count_texts, roles)))]
        try:
            chat = self._fill(roles, parts, args, True, self._plain, contents)
        except ChatTemplateError:  # the template wants certain texts
            return None
        texts = iter(contents)
        for i, shape in enumerate(roles):
            own = [next(texts) for _ in range(count_texts(shape))]
            needed = own if isinstance(shape, str) else own[1:]  # templates may omit the text before calls
            if any(text not in chat for text in needed):
                return i
        return None

    def _fill(
        self,
        roles: Sequence[Shape],
        parts: bool,
        args: TemplateArgs,
        add_generation_prompt: bool,
        template: Template,
        contents: Sequence[str],
    ) -> str:
        texts = iter(contents)
        turns = [turn_of(shape, parts, texts) for shape in roles]
        chat = {"messages": turns, "add_generation_prompt": add_generation_prompt}
        return fill_chat_template(template, **{**self._variables, **_checked(args), **chat})

    def _explain(
        self, messages: Sequence[ChatMessage], accepted: Accepted, args: TemplateArgs, error: ChatTemplateError
    ) -> BackendError:
        """Return the error of a refused chat, with the first role that the template does not accept in its place.

        If the template accepts the roles, it refuses a text, which may be a model's: that is no `ChatTemplateError`.
        """
        roles = [shape_of(message) for message in messages]
        if self._difference(("user",), 0, accepted.parts, args) is None:
            return ChatTemplateError(
                f"The chat template of {self.model} cannot be rendered: {error.cause}.",
                "Give the backend another chat_template, or the arguments that this one needs (template_args).",
            )
        for end in range(1, len(roles) + 1):
            if self._difference(roles[:end], end - 1, accepted.parts, args) is None:
                place = f"{with_article(role_of(roles[end - 1]))} message {place_of(roles, end - 1)}"
                return ChatTemplateError(
                    f"The chat template of {self.model} refuses {place}: {error.cause}.",
                    "Change the order of the messages (the role's system and memory), or give the backend another "
                    "chat_template.",
                )
        return BackendError(
            f"The chat template of {self.model} refuses the text of a message: {error.cause}.",
            "Give the backend another chat_template.",
        )


def _checked(args: TemplateArgs) -> dict[str, object]:
    """Return the arguments of a template by name. Raises `InputError` for a name that the program sets itself."""
    given: dict[str, object] = dict(args)
    if taken := sorted(RESERVED.intersection(given)):
        raise InputError(f"The template argument {taken[0]} is set by the program.", "Remove it from template_args.")
    return given


@cache
def _warn_once(sentence: str) -> None:
    log.warning("%s", sentence)
