"""Thoughts of reasoning models: their tags, what a request asks of them, and the readers of replies.

A reply is a thought, which may be empty, and a text. The thought stands between two tags. They are found in the chat
template, or else among the model's tokens, unless the scenario gives them. A prompt may open the thought itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from backends.models.chat_rendering import ChatTemplate
from backends.models.thought_reader import Decode, Encode, Marks, Reader, Tags
from society.core.errors import InputError
from society.core.thoughts import PAIRS, SWITCHES
from society.core.types import DEFAULT_THINKING, ChatMessage, GenerateRequest, TemplateArgs, Thinking

WRITTEN = {
    "[/THINK]": ("[THINK]", "[/THINK]"),
    "<|channel|>final<|message|>": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "<channel|>": ("<|channel>thought\n", "<channel|>"),
    "<|END_THINKING|>": ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
}
"""Texts before and after a thought, by closing tag, for templates that write none. By default tags have their lines."""
_ANY_CHAT = (ChatMessage("user", "Ping?"),)


class Thoughts:
    """The chat template and the tokens of one model, as far as thoughts are concerned.

    `names` are those of its tokens. For `encode`, `raw` and `text` see `Marks`; `plain` encodes a text without control
    tokens.
    """

    def __init__(
        self,
        template: ChatTemplate,
        names: Collection[str],
        encode: Encode,
        plain: Encode,
        raw: Decode,
        text: Decode,
    ) -> None:
        self._template, self._names = template, names
        self._encode, self._plain, self._raw, self._text = encode, plain, raw, text
        self._marks: dict[tuple[str, str] | None, Marks | None] = {}

    def arguments(self, thinking: Thinking, args: TemplateArgs) -> TemplateArgs:
        """Return the arguments of the template for `thinking` and `args`; see `template_arguments`."""
        return template_arguments(self._template, thinking, args)

    def check(self, thinking: Thinking, args: TemplateArgs, max_tokens: int | None = None) -> None:
        """Raise `InputError` if the model cannot think as these settings ask, within a reply of `max_tokens`."""
        arguments, marks = self.arguments(thinking, args), self.marks(thinking)
        self._template.accepted(arguments)  # it renders short chats with them
        if marks is None:
            _need_tags(thinking)
        elif thinking.budget is not None and max_tokens is not None:
            left_open = marks.tags.left_open(self._template.text(_ANY_CHAT, arguments))
            if left_open is not False:
                longest = Reader(marks, left_open, thinking.budget).longest
                _need_room(thinking.budget, longest - thinking.budget, max_tokens)

    def marks(self, thinking: Thinking = DEFAULT_THINKING) -> Marks | None:
        """Return the tags in the model's tokens, None if no tags are known."""
        if thinking.tags not in self._marks:
            self._marks[thinking.tags] = self._find_marks(thinking.tags)
        return self._marks[thinking.tags]

    def _find_marks(self, given: tuple[str, str] | None) -> Marks | None:
        tags = find_tags(self._template, self._names, given)
        marks = None if tags is None else Marks(tags, self._encode, self._raw, self._text)
        if marks is not None and not marks.can_close:
            if given is not None:
                cause = f"The model's tokens cannot spell {given[1]!r}."
                raise InputError(cause, "Set other thinking.tags.", ("tags",))
            return None  # such a model writes no thoughts
        return marks

    def reader(self, tail: str, request: GenerateRequest, depth: int = 0) -> Reader | None:
        """Return the reader of a reply; None if the reply holds no thought that a reader could find.

        `tail` is the text that the template writes after the last message. `depth`: tokens of the longest choice. A
        thought before a choice is closed so early that both fit into `max_tokens`.
        """
        thinking = request.thinking
        marks = self.marks(thinking)
        if marks is None:
            _need_tags(thinking)
            return None
        left_open = marks.tags.left_open(tail)
        if not depth:
            return Reader(marks, left_open, thinking.budget)
        if not left_open and thinking.enabled is False:
            return None
        room = request.sampling.max_tokens - depth - len(marks.ending) - (0 if left_open else len(marks.opening))
        budget = room if thinking.budget is None else min(room, thinking.budget)
        return Reader(marks, left_open, max(0, budget), completes=True)

    def before_text(self, tail: str, thinking: Thinking, thought: str = "") -> list[int]:
        """Return the tokens between a prompt and the text of a reply, given the text of the thought.

        A thought that the prompt opens is closed, even if it is empty.
        """
        marks = self.marks(thinking)
        if marks is None:
            return []
        said = self._plain(thought) if thought else []
        if marks.tags.left_open(tail):
            return [*said, *marks.ending]
        return [*marks.beginning, *said, *marks.ending] if thought else []


def check_thinking(
    template: ChatTemplate, names: Collection[str] | None, thinking: Thinking, args: TemplateArgs
) -> None:
    """Raise `InputError` if a model cannot think as these settings ask. `names`: of its tokens, None if not known."""
    template.accepted(template_arguments(template, thinking, args))  # it renders short chats with them
    if names is not None and find_tags(template, names, thinking.tags) is None:
        _need_tags(thinking)


def _need_tags(thinking: Thinking) -> None:
    if thinking.budget is not None:
        raise InputError(
            "The model has no known tags of thoughts, so its thoughts cannot be closed at a budget.",
            "Remove thinking.budget, or give the tags, such as thinking.tags: ['<think>', '</think>'].",
            ("budget",),
        )


def _need_room(budget: int, around: int, max_tokens: int) -> None:
    """Raise `InputError` if a thought with `around` tokens of its tags leaves no token for the text."""
    if budget + around < max_tokens:
        return
    room = max_tokens - around - 1
    lower = f"Lower it to at most {room}, or raise" if room >= 0 else "Raise"
    raise InputError(
        f"thinking.budget {budget} leaves no token for the text: max_tokens is {max_tokens}, and the tags around the "
        f"thought take {around} tokens.",
        f"{lower} sampling.max_tokens.",
        ("budget",),
    )


def template_arguments(template: ChatTemplate, thinking: Thinking, args: TemplateArgs) -> TemplateArgs:
    """Return the arguments of a template: those given, and its switch if `thinking` says whether the model thinks.

    Raises `InputError` if the template does not read one of them.
    """
    if not args and thinking.enabled is None:
        return ()
    given = dict(args)
    reads = "Variables that it reads: " + (", ".join(sorted(template.variables)) or "none") + "."
    if unread := sorted(given.keys() - template.variables):
        cause = f"The chat template of {template.model} does not read template_args: {unread[0]}."
        raise InputError(cause, reads, ("template_args", unread[0]))
    if thinking.enabled is not None:
        switch = next(filter(template.has_switch, SWITCHES), None)
        if switch is None:
            raise InputError(
                f"The chat template of {template.model} cannot switch thinking on or off.",
                f"{_without_switch(template, thinking)} {reads}",
                ("enabled",),
            )
        given.setdefault(switch, thinking.enabled)
    return tuple(sorted(given.items()))


def _without_switch(template: ChatTemplate, thinking: Thinking) -> str:
    """Return what to set instead of `enabled` for a template without a switch."""
    tags = find_tags(template, (), thinking.tags)
    if thinking.enabled:
        always = tags is not None and tags.left_open(template.text(_ANY_CHAT))
        return f"Remove thinking.enabled{': the model always thinks.' if always else ', or use a model that thinks.'}"
    return f"Remove thinking.enabled{'; thinking.budget: 0 closes each thought' if tags else ''}."


def chat_check(template: ChatTemplate) -> Callable[[Sequence[ChatMessage], Thinking, TemplateArgs], str]:
    """Return the check of chats with a template; see `BackendConfig.chat_check`."""

    def render(messages: Sequence[ChatMessage], thinking: Thinking, args: TemplateArgs) -> str:
        return template.text(messages, template_arguments(template, thinking, args))

    return render


def find_tags(template: ChatTemplate, names: Collection[str], given: tuple[str, str] | None = None) -> Tags | None:
    """Return the tags of a model: those `given`, or those of its template, or those among the `names` of its tokens.

    None if the model has none.
    """
    pair = given or _pair_of(template, names)
    if pair is None:
        return None
    opening, close = (tag.strip() for tag in pair)
    if not opening or not close or opening == close:
        raise InputError("The tags of a thought must be two different texts.", "Correct thinking.tags.", ("tags",))
    before, ending = template.around_thought()
    if opening in before and close in ending:
        return Tags(opening, close, before[before.rindex(opening) :], ending)
    return Tags(opening, close, *WRITTEN.get(close, (f"{opening}\n", f"\n{close}\n\n")))


def _pair_of(template: ChatTemplate, names: Collection[str]) -> tuple[str, str] | None:
    """Return the pair of tags in the template, else in the vocabulary, else that of a single tag in the template."""
    tests: Sequence[Callable[[str], bool]] = (template.writes, names.__contains__)
    for found in tests:
        for pair in PAIRS:
            if all(map(found, pair)):
                return pair
    return next((pair for pair in PAIRS if any(map(template.writes, pair))), None)
