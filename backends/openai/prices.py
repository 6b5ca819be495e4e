"""The prices of hosted models, from the table of the package genai-prices. Nothing here uses the network."""

from __future__ import annotations

from backends.price import MILLION, Price

_SAMPLE = 1_000
"""Tokens for which a price is looked up: few enough for the lowest tier, where long prompts cost more."""


def look_up(model: str, url: str) -> Price | None:
    """Return the price of a model of a hosted service; None if the table, or its package, does not have it."""
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None

    def dollars(**tokens: int) -> float:
        found = calc_price(Usage(**tokens), model, provider_api_url=url)
        return float(found.total_price) * MILLION / _SAMPLE

    try:
        prompt, generated = dollars(input_tokens=_SAMPLE), dollars(output_tokens=_SAMPLE)
        cached = dollars(input_tokens=_SAMPLE, cache_read_tokens=_SAMPLE)
    except (LookupError, ValueError):
        return None
    return Price(prompt=round(prompt, 9), generated=round(generated, 9), cached=round(cached, 9))
