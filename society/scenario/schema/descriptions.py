"""What the fields of a scenario mean: the text below each in its class, for the JSON Schema and the reference."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from itertools import pairwise
from textwrap import dedent

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from society.core.component import Component


class Described(GenerateJsonSchema):
    """Gives each field its description.

    Pydantic can read these texts itself, but whenever a class is made: a quarter of the time of `society check`.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """The schema of a class, with descriptions."""
        made = super().model_schema(schema)
        texts = field_texts(schema["cls"])
        for name, field in made.get("properties", {}).items():
            if name in texts:
                field.setdefault("description", texts[name])
        return made


def field_texts(cls: type) -> dict[str, str]:
    """The text below each field of a class, inherited ones included."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, Component):
            texts |= _own_texts(base)
    return texts


@cache
def _own_texts(cls: type) -> dict[str, str]:
    try:
        (definition,) = ast.parse(dedent(inspect.getsource(cls))).body
    except (OSError, SyntaxError):  # without its source, a class has no texts
        return {}
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }  # fmt: skip
