"""A sampling option is declared once: `Sampling` gives the options, bounds and descriptions of `sampling:` in YAML."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import pytest
from annotated_types import Interval
from pydantic import ValidationError

from society.core.types import Sampling
from society.scenario.models.optional import make_optional
from society.scenario.models.scenario import SamplingSpec
from society.scenario.schema.descriptions import field_texts


@dataclass(frozen=True)
class Warmer(Sampling):
    warmth: Annotated[float, Interval(ge=0, lt=2)] = 1.0
    """Warmth of the words."""


def test_every_option_is_in_the_scenario_with_its_description() -> None:
    names = [field.name for field in fields(Sampling)]
    assert list(SamplingSpec.model_fields) == names
    assert list(field_texts(SamplingSpec)) == names


def test_a_new_option_is_one_field() -> None:
    options = make_optional(Warmer)
    assert options.model_validate_json('{"warmth": 1.5}').model_dump(exclude_unset=True) == {"warmth": 1.5}
    with pytest.raises(ValidationError, match="less than 2"):
        options.model_validate_json('{"warmth": 2}')
    assert field_texts(options)["warmth"] == "Warmth of the words."


@pytest.mark.parametrize(
    "settings", ['{"top_p": 0}', '{"min_p": 1}', '{"top_k": -1}', '{"max_tokens": 0}', '{"stop": [""]}', '{"top": 1}']
)
def test_values_out_of_bounds_are_refused(settings: str) -> None:
    with pytest.raises(ValidationError):
        SamplingSpec.model_validate_json(settings)


def test_a_level_overrides_only_what_it_gives() -> None:
    level = SamplingSpec.model_validate_json('{"temperature": 0, "stop": []}')
    assert level.over(Sampling(top_k=7, stop=("x",))) == Sampling(temperature=0, top_k=7)
