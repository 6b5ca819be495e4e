"""One scenario written in many ways: comments, styles, quotes, key order, anchors, defaults, `extends`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pydantic import BaseModel

from society.scenario.models.scenario import Scenario
from tests.metamorphic.runs import Spec

ORDERED = ("agents",)
"""Keys below which the order of keys means something."""
PLAIN = re.compile(r"[A-Za-z][A-Za-z ]*[A-Za-z]")
REMARKS = ["# a remark", "#", "# agents: {x: {}}", "# \u00e9\u4e2d \u201cquoted\u201d"]


@dataclass
class Writer:
    """Writes plain data as YAML, all that means nothing drawn at random."""

    luck: Random
    anchored: list[tuple[str, Any]] = field(default_factory=list)
    names: int = 0

    def write(self, spec: Spec) -> str:
        """Return the whole document."""
        head = "---\n" if self.luck.random() < 0.2 else ""
        return head + self._remark(0) + self._mapping(spec, 0, (), self.luck.random() < 0.9)

    def _mapping(self, value: Mapping[str, Any], depth: int, path: tuple[str, ...], block: bool = True) -> str:
        """Return a mapping in block style, or in flow style on one line."""
        keys = list(value)
        if path[-1:] not in [(name,) for name in ORDERED]:
            self.luck.shuffle(keys)
        if not block or not keys:
            return "{" + ", ".join(f"{self._key(key)}: {self._flow(value[key], (*path, key))}" for key in keys) + "}\n"
        indent = "  " * depth
        return "".join(
            f"{self._remark(depth)}{indent}{self._key(key)}:{self._value(value[key], depth + 1, (*path, key))}"
            for key in keys
        )

    def _value(self, value: Any, depth: int, path: tuple[str, ...]) -> str:
        """Return the text after a key or a dash, with the line's end."""
        if isinstance(value, dict | list) and value:
            for name, known in self.anchored:
                if same(known, value) and self.luck.random() < 0.8:
                    return f" *{name}\n"
            if self.luck.random() < 0.5:
                self.names += 1
                name = f"a{self.names}"
                text = self._body(value, depth, path)
                self.anchored.append((name, value))  # an alias may stand only after what it stands for
                return f" &{name}{text}"
        return self._body(value, depth, path)

    def _body(self, value: Any, depth: int, path: tuple[str, ...]) -> str:
        if isinstance(value, dict) and value and self.luck.random() < 0.6:
            return f"{self._end()}{self._mapping(value, depth, path)}"
        if isinstance(value, list) and value and self.luck.random() < 0.6:
            dash = "  " * depth + "-"
            return self._end() + "".join(f"{dash}{self._value(item, depth + 1, path)}" for item in value)
        if isinstance(value, dict):
            return f" {self._mapping(value, depth, path, block=False).rstrip()}{self._end()}"
        if isinstance(value, str) and value and not value.endswith("\n") and self._in_block(value):
            lines = value.split("\n")
            return " |-\n" + "".join(f"{'  ' * depth}{line}\n" for line in lines)
        return f" {self._flow(value, path)}{self._end()}"

    def _in_block(self, value: str) -> bool:
        """Return whether to write a text as block text, which cannot begin with a space or hold control characters."""
        return value[0].isprintable() and value[0] != " " and "\n " not in value and self.luck.random() < 0.3

    def _flow(self, value: Any, path: tuple[str, ...]) -> str:
        """Return the value on one line."""
        if isinstance(value, dict):
            return self._mapping(value, 0, path, block=False).rstrip()
        if isinstance(value, list):
            return "[" + ", ".join(self._flow(item, path) for item in value) + "]"
        return self._scalar(value)

    def _scalar(self, value: Any) -> str:
        if isinstance(value, str):
            if PLAIN.fullmatch(value) and value.lower() not in ("true", "false", "null") and self.luck.random() < 0.5:
                return value
            if "\n" not in value and self.luck.random() < 0.5:
                return "'" + value.replace("'", "''") + "'"
            return json.dumps(value)
        if value is None:
            return self.luck.choice(["null", "~"])
        if isinstance(value, bool):
            return self.luck.choice([str(value), str(value).lower()])
        if isinstance(value, int) and value >= 0 and self.luck.random() < 0.2:
            return self.luck.choice([hex(value), f"0o{value:o}", f"+{value}"])
        return json.dumps(value)

    def _key(self, key: str) -> str:
        return self.luck.choice([key, json.dumps(key), f"'{key}'"])

    def _remark(self, depth: int) -> str:
        if self.luck.random() < 0.7:
            return ""
        return self.luck.choice(["\n", *(f"{'  ' * depth}{remark}\n" for remark in REMARKS)])

    def _end(self) -> str:
        return f" {self.luck.choice(REMARKS)}\n" if self.luck.random() < 0.2 else "\n"


def same(one: Any, other: Any) -> bool:
    """Return whether two plain values are the same, the order of agents included."""
    return json.dumps(one) == json.dumps(other)


def spelled_out(spec: Any, model: Any, luck: Random, share: float = 0.5) -> Any:
    """Return the plain data of a model with some of its defaults written out."""
    if isinstance(model, BaseModel):
        given = {"kind": spec} if isinstance(spec, str) else dict(spec or {})
        for name in type(model).model_fields:
            value = getattr(model, name)
            if name in given or (isinstance(value, BaseModel) and name not in EMPTY_IS_OTHER):
                made = spelled_out(given.get(name), value, luck, share)
                if made != {} or name in given:
                    given[name] = made
            elif luck.random() < share and name not in EMPTY_IS_OTHER:
                given[name] = plain(value)
        return given
    if isinstance(model, dict):
        return {key: spelled_out(value, model[key], luck, share) for key, value in (spec or {}).items()}
    if isinstance(model, tuple) and isinstance(spec, list):
        return [spelled_out(item, inner, luck, share) for item, inner in zip(spec, model, strict=True)]
    return spec


EMPTY_IS_OTHER = ("train",)
"""Fields whose default is not written out here."""


def plain(value: Any) -> Any:
    """Return a default as it stands in YAML."""
    if isinstance(value, BaseModel):
        return json.loads(value.model_dump_json())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def halves(spec: Spec, luck: Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a base and what extends it: merged, they are the scenario. Some of the base is replaced or deleted."""
    base: dict[str, Any] = {}
    above: dict[str, Any] = {}
    for key, value in spec.items():
        if isinstance(value, dict) and "kind" not in value and key != "agents" and luck.random() < 0.5:
            base[key], above[key] = halves(value, luck)
        elif luck.random() < 0.5:
            base[key] = value
        else:
            above[key] = value
            if luck.random() < 0.3 and not isinstance(value, dict):
                base[key] = value if luck.random() < 0.5 else None
    if luck.random() < 0.3:
        base["source" if "version" in spec else "unwanted"] = "to be deleted"
        above["source" if "version" in spec else "unwanted"] = None
    return base, above


def settings_of(spec: Spec, luck: Random) -> tuple[dict[str, Any], list[str]]:
    """Return a scenario with other values, and the settings of the command line that put back the right ones."""
    changed = dict(spec)
    settings = []
    for key in ("seed", "samples", "decision", "phases"):
        if key in spec and luck.random() < 0.7:
            settings.append(f"{key}={json.dumps(spec[key])}")
            if key == "phases":
                continue
            changed[key] = {"seed": 99, "samples": 3, "decision": "unanimity"}[key]
    for name, role in spec["roles"].items():
        changed["roles"] = {**changed["roles"], name: {**role, "prompt": "another"}}
        settings.append(f"roles.{name}.prompt={json.dumps(role['prompt'])}")
    luck.shuffle(settings)
    return changed, settings


def validated(scenario: Scenario) -> Any:
    """Return the contents of a scenario, including defaults, which two writings of it share."""
    return json.loads(scenario.model_dump_json())
