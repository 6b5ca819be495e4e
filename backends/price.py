"""Prices of generated and read tokens, in dollars."""

from __future__ import annotations

from pydantic import Field

from society.core.component import Component
from society.core.types import Usage

MILLION = 1_000_000
"""Number of tokens that a price is for."""


class Price(Component):
    """The price of a model, in dollars per million tokens."""

    prompt: float = Field(ge=0, le=1e9, json_schema_extra={"tuning": True})
    """Dollars per million tokens of prompts."""
    generated: float = Field(ge=0, le=1e9, json_schema_extra={"tuning": True})
    """Dollars per million generated tokens, thoughts included."""
    cached: float | None = Field(None, ge=0, le=1e9, json_schema_extra={"tuning": True})
    """Dollars per million tokens of prompts that the server had computed before. By default as for other prompts."""

    def cost(self, usage: Usage) -> float:
        """Return the dollars of some turns."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt_tokens - usage.cached_tokens
        dollars = fresh * self.prompt + usage.cached_tokens * cached + usage.generated_tokens * self.generated
        return dollars / MILLION


FREE = Price(prompt=0, generated=0)
"""The price of a model on machines of one's own."""
