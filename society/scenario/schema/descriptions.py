"""Descriptions of fields for the JSON Schema and the reference: the docstring below each field."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from itertools import pairwise
from textwrap import dedent

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from society.core.component import Component
from society.scenario.models.optional import SOURCE


class Described(GenerateJsonSchema):
    """A schema generator that adds the docstrings of fields as descriptions.

    Pydantic's own `use_attribute_docstrings` reads them when a class is defined, which takes a quarter of the time of
    `society check`.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Return the schema of a class, with descriptions."""
        made = super().model_schema(schema)
        texts = field_texts(schema["cls"])
        for name, field in made.get("properties", {}).items():
            if name in texts:
                field.setdefault("description", texts[name])
        return made


def field_texts(cls: type) -> dict[str, str]:
    """Return the docstring of each field of a class, inherited fields included."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, Component):
            texts |= _own_texts(base.__dict__.get(SOURCE, base))
    return texts


@cache
def _own_texts(cls: type) -> dict[str, str]:
    try:
        (definition,) = ast.parse(dedent(inspect.getsource(cls))).body
    except (OSError, SyntaxError):  # a class without source has no docstrings
        return {}
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)) as declared, ast.Expr(value=ast.Constant(value=str(text))):
                if not ast.unparse(declared.annotation).startswith("ClassVar"):
                    found[name] = inspect.cleandoc(text)
    return found
