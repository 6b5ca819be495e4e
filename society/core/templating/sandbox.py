"""A Jinja2 sandbox for untrusted templates, in which every operation consumes fuel.

A rendering has `FUEL` steps. A pass of a loop or macro consumes its number of nodes. An operation whose time depends on
the size of its operands (a filter, a method, a comparison, `~`, a slice, output) consumes their size before it runs. So
the limit holds in any thread without a clock, and is the same on every machine.

    Sandbox          the environment
    compile_source   text -> template
    fill             template and variables -> text
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from functools import wraps
from itertools import chain
from typing import Any

import jinja2
import jinja2.sandbox
import jinja2.utils
from jinja2 import nodes
from jinja2.exceptions import SecurityError

from society.core.templating.fuel import CHARACTERS_PER_STEP, meter

FUEL = 2_000_000
"""Maximum number of steps of a rendering: several seconds in the worst case."""
LONGEST_SOURCE = 200_000
"""Maximum length of a template, in characters. The longest chat templates of models have about 20,000."""
LARGEST_NUMBER = 2**63
"""Exclusive maximum of the operands of arithmetic."""
LARGEST_EXPONENT = 64
"""Maximum absolute value of an exponent."""
FAULTS = (TypeError, ValueError, ArithmeticError, AttributeError, LookupError, RuntimeError, MemoryError, SyntaxError)
"""Python's exceptions for invalid or too deeply nested templates. They become errors of Jinja2."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FREE_FILTERS = _words("_tick _weigh abs attr count d default first float int last length truncate")
_LAZY_FILTERS = _words("batch items list map reject rejectattr reverse select selectattr slice sum")
"""Filters that access the items of a container, but not their contents."""
_SLOW_FILTERS = _words("pprint striptags urlize wordwrap xmlattr")
"""Filters whose time may grow with the square of their input."""
_FREE_TESTS = _words(
    "boolean callable defined divisibleby escaped even false filter float integer iterable mapping none number odd "
    "sameas sequence string test true undefined"
)
_GROWING = _words("center expandtabs format join ljust replace rjust zfill")
_TEXT_METHODS = _words(
    "capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace "
    "istitle isupper lower lstrip partition removeprefix removesuffix rfind rindex rpartition rsplit rstrip split "
    "splitlines startswith strip swapcase title upper"
)
_METHODS: tuple[tuple[Any, frozenset[str]], ...] = (
    (str, _TEXT_METHODS | _GROWING),
    (dict, _words("copy get items keys values")),
    ((list, tuple), _words("copy count index")),
    ((int, float, complex, bytes, range, type), frozenset()),
)
"""Permitted methods of Python's own types. For other objects, the sandbox of Jinja2 decides."""
_PLAIN = frozenset((str, int, float, bool))
"""Types of values without a method `format` of a text to be wrapped."""
_WIDE = re.compile(r"[0-9]{4}|\{[^{}]*\{")
"""Matches a format text with a width of four digits, or with a nested field."""
_NARROW = re.compile(r"(?:[^%]|%%|%(?:\([^()]*\))?[-#0 +]*[0-9]{0,3}(?:\.[0-9]{0,3})?[a-zA-Z])*")
"""Matches a whole text for `%` with widths of at most three digits."""


class _Fuel(threading.local):
    left = 0


_FUEL = _Fuel()


@contextmanager
def _fuelled() -> Iterator[None]:
    before, _FUEL.left = _FUEL.left, FUEL
    try:
        yield
    finally:
        _FUEL.left = before


def _spend(steps: int) -> bool:
    if steps > _FUEL.left:
        raise SecurityError(f"it takes more than {FUEL:,} steps")
    _FUEL.left -= steps
    return True


def _weigh(value: Any) -> Any:
    """Consume the size of `value` with all its contents, and return `value`."""
    if type(value) is str:
        _spend(1 + len(value) // CHARACTERS_PER_STEP)
        return value
    steps, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        steps += 1 + (len(item) // CHARACTERS_PER_STEP if isinstance(item, str) else 0)
        if steps > _FUEL.left:
            break
        waiting.extend(_parts(item))
    _spend(steps)
    return value


def _measure(value: Any) -> int:
    """Consume the size of `value` with all its contents, and return the size."""
    left = _FUEL.left
    _weigh(value)
    return left - _FUEL.left


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, str | int | float) or value is None:
        return ()
    if isinstance(value, list | tuple | range | set | frozenset | KeysView | ItemsView | ValuesView):
        return value
    if isinstance(value, dict):
        return chain(value.keys(), value.values())
    if isinstance(value, jinja2.utils.Namespace):
        return _parts(object.__getattribute__(value, "_Namespace__attrs"))
    return (getattr(value, name) for name in getattr(type(value), "__dataclass_fields__", ()))


def _count(value: Any) -> int:
    """Return the number of items of a container, or the steps of a text of this length."""
    if isinstance(value, str):
        return 1 + len(value) // CHARACTERS_PER_STEP
    return 1 + len(value) if isinstance(value, list | tuple | dict | range | set | frozenset) else 1


def _factor(arguments: Sequence[Any]) -> int:
    """Return the factor by which arguments may multiply the work or the size of the result."""
    total = 1
    for value in arguments:
        if isinstance(value, int | float):
            total += min(abs(int(value)), FUEL)
        elif isinstance(value, str):
            total += len(value)
        else:
            _weigh(value)
            total += _count(value)
    return total


def _settle(value: Any) -> Any:
    """Return the result of a lazy filter as a list, since its size must be known before it is used."""
    return [item for item in value if _spend(1)] if isinstance(value, Iterator) else value


def _metered_filter(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that consumes fuel for its input before it runs, and for its result afterwards."""
    first = int(getattr(work, "jinja_pass_arg", None) is not None)

    @wraps(work)
    def filtered(*given: Any, **more: Any) -> Any:
        before, value, others = given[:first], _settle(given[first]), given[first + 1 :]
        if name in _LAZY_FILTERS:
            _spend(_count(value) * _factor([*others, *more.values()]))
        elif name not in _FREE_FILTERS:
            size = _measure(value)
            _spend(size * _factor([*others, *more.values()]))
            _spend(size * size // 100 if name in _SLOW_FILTERS else 0)
        result = work(*before, value, *others, **more)
        _spend(_count(result))
        return result

    return filtered


def _metered_test(work: Any) -> Any:
    @wraps(work)
    def tested(*given: Any) -> Any:
        for value in given:
            _weigh(value)
        return work(*given)

    return tested


@jinja2.pass_context  # so that Jinja2 does not evaluate constants during compilation
def _show(context: jinja2.runtime.Context, value: Any) -> Any:
    return _weigh(value)


class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """An environment whose templates cannot access Python, modify their variables, or use more than `FUEL` steps."""

    intercepted_binops = _words("+ - * / // % **")

    def __init__(self, **options: Any) -> None:
        super().__init__(
            autoescape=False,
            optimized=False,
            finalize=_show,
            **{"trim_blocks": True, "lstrip_blocks": True, **options},
        )
        self._verdicts: dict[tuple[type, str], bool] = {}
        del self.globals["lipsum"], self.filters["random"]  # their results are random
        self.globals["dict"] = lambda *given, **more: dict(*given, **more)  # the class itself has more methods
        add_numbers = self.filters["sum"]
        self.filters["_tick"], self.filters["_weigh"] = _spend, _weigh
        self.filters |= {name: _metered_filter(name, work) for name, work in self.filters.items() if name[0] != "_"}
        self.tests |= {name: _metered_test(work) for name, work in self.tests.items() if name not in _FREE_TESTS}
        self.filters["sum"] = _only_numbers(add_numbers)
        self.filters["format"] = _format

    def add_filter(self, name: str, work: Callable[..., Any]) -> None:
        """Add a filter that consumes fuel like the others."""
        self.filters[name] = _metered_filter(name, work)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a template may access an attribute. The verdict is cached by type and name."""
        place = (type(obj), attr)
        if (verdict := self._verdicts.get(place)) is None:
            if len(self._verdicts) > 10_000:
                self._verdicts.clear()
            named = next((names for types, names in _METHODS if isinstance(obj, types)), None)
            safe = super().is_safe_attribute(obj, attr, value)
            verdict = self._verdicts[place] = safe and (named is None or attr in named)
        return verdict

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return an attribute, or else an item. Texts and numbers are returned without further checks."""
        if self._verdicts.get((type(obj), attribute)):
            value = getattr(obj, attribute, None)
            if type(value) in _PLAIN:
                return value
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return `"...".format` without widths that produce huge texts."""
        work, text = super().wrap_str_format(value), getattr(value, "__self__", "")
        if work is None:
            return None
        if value.__name__ != "format" or _WIDE.search(text):
            raise SecurityError("a format text has a width of thousands or a nested field")

        def fill_in(*given: Any, **more: Any) -> str:
            _spend(_count(text) + (1 + text.count("{")) * _factor([*given, *more.values()]))
            return work(*given, **more)

        return fill_in

    def call(self, context: jinja2.runtime.Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function, macro or method, and consume fuel for its arguments and result."""
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        given = [_settle(value) for value in args]
        if isinstance(owner, str | list | tuple | dict):
            factor = _factor([*given, *kwargs.values()])
            _spend(_count(owner) * (factor if name in _GROWING else 1))
            if name in ("count", "index") and not isinstance(owner, str):
                _weigh(owner)
        else:
            _weigh([*given, *kwargs.values()])
        result = super().call(context, obj, *given, **kwargs)
        _spend(_count(result))
        return result

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        """Return the result of an operator, after consuming fuel for it. Large numbers are refused."""
        sides = (left, right)
        if all(isinstance(side, int | float) and abs(side) < LARGEST_NUMBER for side in sides):
            if operator != "**" or abs(right) <= LARGEST_EXPONENT:
                return super().call_binop(context, operator, left, right)
        elif operator == "%" and isinstance(left, str):
            return _fill_percents(left, right)
        elif operator == "+" and not any(isinstance(side, int | float) for side in sides):
            _spend(_count(left) + _count(right))
            return super().call_binop(context, operator, left, right)
        elif operator == "*" and any(isinstance(side, str | list | tuple) for side in sides):
            _spend(math.prod(max(side, 0) if isinstance(side, int) else _count(side) for side in sides))
            return super().call_binop(context, operator, left, right)
        if any(isinstance(side, jinja2.Undefined) for side in sides):
            return super().call_binop(context, operator, left, right)  # names what is missing
        if not all(isinstance(side, int | float) for side in sides):
            kinds = " and ".join(_KINDS.get(type(side), type(side).__name__) for side in sides)
            raise TypeError(f"`{operator}` is not possible for {kinds}")
        raise SecurityError(f"`{operator}` is for small numbers only")

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        return super()._generate(meter(source, self), name, filename, defer_init)


_KINDS = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "a mapping", type(None): "nothing"}
"""Types of values in words, for errors."""


def _fill_percents(text: str, values: Any) -> str:
    """Return `text % values`. Widths of thousands are refused."""
    _spend(_count(text))
    if not _NARROW.fullmatch(text):
        raise SecurityError("a text for `%` is invalid, or has a width of thousands")
    _spend(text.count("%") * _measure(values))
    return str(text % values)


def _format(text: Any, *given: Any, **more: Any) -> str:
    return _fill_percents(str(_weigh(text)), more or given)


def _only_numbers(work: Callable[..., Any]) -> Callable[..., Any]:
    metered = _metered_filter("sum", work)

    @wraps(metered)
    def summed(environment: Any, value: Any, attribute: Any = None, start: Any = 0) -> Any:
        if not isinstance(start, int | float):  # adding lists takes quadratic time
            raise SecurityError("`sum` is for numbers")
        return metered(environment, value, attribute, start)

    return summed


def compile_source(environment: Sandbox, source: str) -> jinja2.Template:
    """Return the compiled template. Raises `jinja2.TemplateError` for an invalid template."""
    if len(source) > LONGEST_SOURCE:
        raise jinja2.TemplateSyntaxError(f"it has more than {LONGEST_SOURCE:,} characters", 1)
    try:
        with _fuelled():
            template = environment.from_string(source)
            template.globals = dict(template.globals)  # a plain one: each rendering copies it
            return template
    except FAULTS as error:
        raise jinja2.TemplateSyntaxError(f"it is nested too deeply, or cannot be compiled: {error}", 1) from error


def fill(template: jinja2.Template, variables: Mapping[str, Any], longest: int) -> str:
    """Return the rendered text.

    Raises `jinja2.TemplateError` for any failure, or for more than `longest` characters.
    """
    parts: list[str] = []
    length = 0
    context = template.new_context(variables)  # type: ignore[arg-type]  # it is copied
    try:
        with _fuelled():
            try:
                for part in template.root_render_func(context):
                    length += len(part)
                    if length > longest:
                        raise SecurityError(f"it produces more than {longest:,} characters")
                    parts.append(part)
            except Exception:
                template.environment.handle_exception()  # raises it with the lines of the template
    except FAULTS as error:
        raise jinja2.TemplateRuntimeError(str(error) or type(error).__name__) from error
    return "".join(parts)
