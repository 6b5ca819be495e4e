"""Plain Python data as the tree of nodes that YAML text becomes, so that both are checked by the same code.

Such nodes have no file and no line. Problems name their path alone, such as `phases.debate.topology`.
"""

from __future__ import annotations

import math
import re
from collections.abc import KeysView, Mapping, ValuesView
from itertools import islice
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from society.core.problems import Place, Problem, make_problem, show
from society.scenario.reading.source import DEEPEST, MOST_NODES, Node, PathText, UnreadableError
from society.scenario.reading.tree import Steps, write_path

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a pair of UTF-16, which UTF-8 cannot encode."""
_NOWHERE = Place("")


def read_plain(data: Mapping[str, Any], problems: list[Problem]) -> Node:
    """Return the tree of a mapping: mappings, lists, tuples, text, paths, numbers, booleans, None and components.

    Arrays and scalars of NumPy, pandas and torch count as Python's values, ranges and dictionary views as lists, data
    frames as lists of rows. Each value of another type adds a problem that names its path. Raises `UnreadableError` for
    data that is too deep or too large, data that contains itself included.
    """
    reader = _Reader()
    root = reader.read(data, ())
    problems += [make_problem(_NOWHERE, write_path(root, steps), message) for steps, message in reader.found]
    return root


class _Reader:
    """Converts values and collects what is wrong with them."""

    def __init__(self) -> None:
        self.found: list[tuple[Steps, str]] = []
        self._count = 0

    def read(self, value: Any, steps: Steps) -> Node:
        """Return the node of a value at these steps; null where the value is none of the language."""
        self._count += 1
        if len(steps) > DEEPEST or self._count > MOST_NODES:
            path = ".".join(map(str, steps[:6]))
            raise UnreadableError(
                _NOWHERE, f"{path}: is nested more than {DEEPEST} deep, or has more than {MOST_NODES:,} values"
            )
        value = _to_python(value)
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json", exclude_unset=True)
        if isinstance(value, Mapping):
            entries = [(key, item) for key, item in value.items() if self._is_key(key, steps)]
            return _node({key: self.read(item, (*steps, key)) for key, item in entries})
        if isinstance(value, list | tuple):
            return _node([self.read(item, (*steps, i)) for i, item in enumerate(value)])
        return _node(self._scalar(value, steps))

    def _is_key(self, key: object, steps: Steps) -> bool:
        if isinstance(key, str) and not LONE_SURROGATE.search(key):
            return True
        self.found.append((steps, f"the key {show(key)} is not text"))
        return False

    def _scalar(self, value: Any, steps: Steps) -> Any:
        if isinstance(value, PurePath):
            return PathText(value)
        if isinstance(value, str) and LONE_SURROGATE.search(value):
            self.found.append((steps, "the text has a lone surrogate, which no file can hold; remove it"))
            return None
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, int | float):
            message = f"the number {show(value)} is not finite, or too large"
        else:
            message = f"should be text, a number, true, false, a list or a mapping, not {type(value).__name__}"
        self.found.append((steps, message))
        return None


def _to_python(value: Any) -> Any:
    """Return the Python value of a scalar or an array of a library, and the list of a range or a dictionary view.

    A data frame becomes the list of its rows; a missing value is None.
    """
    if type(value).__name__ == "DataFrame" and hasattr(value, "to_dict"):
        whole = value.convert_dtypes().astype(object)  # pandas stores whole numbers with gaps as real numbers
        return whole.where(value.notna(), None).to_dict("records")
    if isinstance(value, range | KeysView | ValuesView):
        return list(islice(value, MOST_NODES + 1))
    convert = getattr(value, "tolist", None)
    return convert() if callable(convert) and not isinstance(value, type) else value


def _node(value: Any) -> Node:
    return Node(value, _NOWHERE, _NOWHERE)
