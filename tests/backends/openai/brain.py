"""A model of a few words for fake servers: every option that reaches it changes what it says, as in a real model."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any, Literal

ANIMALS = ["whale", "shark", "seal", "crab", "eel", "squid", "turtle", "tuna", "otter", "ray", "coral", "clam"]
THOUGHT = [
    "the",
    "user",
    "wants",
    "an",
    "answer",
    "so",
    "let",
    "me",
    "think",
    "about",
    "it",
    "for",
    "a",
    "good",
    "while",
    "before",
    "I",
    "say",
]


@dataclass(frozen=True)
class Asked:
    """The options that a server passed on to its model."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    seed: int = 0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    thinking: bool = False
    budget: int | None = None
    effort: str = "medium"
    context: int | None = None


@dataclass(frozen=True)
class Said:
    """A reply. `prompt` is its number of tokens, which a switch of thinking changes."""

    thought: str
    text: str
    finish: Literal["stop", "length"]
    prompt: int
    thought_tokens: int
    tokens: list[str]
    matched: str | None = None


@dataclass
class Brain:
    """The model, and everything that it was asked."""

    asked: list[Asked] = field(default_factory=list)

    def reply(self, asked: Asked) -> Said:
        """Return the reply to a request with these options; a word is a token."""
        self.asked.append(asked)
        thought = self._vary(THOUGHT * 3, asked)[: asked.budget if asked.budget is not None else None]
        thought = thought if asked.thinking else []
        words = [asked.choices[asked.seed % len(asked.choices)]] if asked.choices else self._words(asked)
        room = asked.max_tokens - len(thought)
        text, matched = " ".join(words[: max(room, 0)]), None
        finish: Literal["stop", "length"] = "stop" if room >= len(words) else "length"
        for stop in asked.stop:
            if stop in text:
                text, matched, finish = text.split(stop)[0], stop, "stop"
        thought = thought[: asked.max_tokens]
        prompt = 12 + 2 * asked.thinking + len(asked.effort)
        return Said(" ".join(thought), text, finish, prompt, len(thought), [*thought, *text.split()], matched)

    def _words(self, asked: Asked) -> list[str]:
        words = list(ANIMALS) if asked.repeat_penalty != 1.0 else ["fish", *ANIMALS[:5], "fish", "fish"]
        return self._vary(words, asked)

    @staticmethod
    def _vary(words: list[str], asked: Asked) -> list[str]:
        """Return the words, in another order for another seed or penalty, unless the most likely one is taken."""
        greedy = asked.temperature == 0 or asked.top_k == 1 or asked.min_p > 0.9
        shuffled = list(words)
        random.Random(f"{0 if greedy else asked.seed} {asked.repeat_penalty}").shuffle(shuffled)
        return shuffled

    @property
    def last(self) -> Asked:
        """The last request."""
        return self.asked[-1]


def pick(body: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return the options of a request that a server passes on; `names` are ours by the server's."""
    found = {ours: body[theirs] for theirs, ours in names.items() if body.get(theirs) is not None}
    if "stop" in found:
        found["stop"] = tuple([found["stop"]] if isinstance(found["stop"], str) else found["stop"])
    return found


STANDARD = {name: name for name in ("temperature", "top_p", "seed", "max_tokens", "stop")}
"""Options that almost every server passes on."""


def asked_for(body: dict[str, Any], names: dict[str, str], **more: Any) -> Asked:
    """Return the options of a request that reach the model."""
    return replace(Asked(**pick(body, names)), **more)
