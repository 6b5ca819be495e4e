"""Errors raised by the code of a component, usually a plugin: one message with the component, the debate and a remedy.

faults_of     runs a component's method; an exception becomes a `ComponentError`
guarded       a method that raises `ComponentError` alone
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from society.components.plugin_files import is_built_in, is_from_file
from society.components.registry import NOUNS, load
from society.core.component import Component
from society.core.errors import ComponentError, SocietyError, describe_error
from society.core.results import ResultError

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
_STORED = "What is done is stored: run again with --resume (Python: resume=True)."


@contextmanager
def faults_of(component: Component, method: str, place: str = "") -> Iterator[None]:
    """Turn any exception into a `ComponentError` that names the component, its method and the place.

    `place` continues the sentence: "on the question 'trivia-3'". Errors with a remedy of their own pass unchanged. A
    `ResultError` says what the method returned.
    """
    try:
        yield
    except SocietyError:
        raise
    except ResultError as error:
        raise component_error(component, method, f"returned {error}", place) from None
    except Exception as error:
        raise component_error(component, method, f"raised {describe_error(error)}", place) from error


def guarded(component: Component, method: Callable[Arguments, Result], place: str = "") -> Callable[Arguments, Result]:
    """Return a bound method of the component that raises `ComponentError` in place of other exceptions."""

    @wraps(method)
    def call(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        try:
            return method(*arguments, **named)
        except SocietyError:
            raise
        except Exception as error:
            raise component_error(component, method.__name__, f"raised {describe_error(error)}", place) from error

    return call


def component_error(component: Component, method: str, fault: str, place: str = "") -> ComponentError:
    """Return the error for a component whose method failed."""
    noun = next((noun for noun, known in NOUNS.items() if isinstance(component, load(known.base))), "component")
    where = f" {place}" if place else ""
    cause = f"The {noun} {getattr(component, 'kind', '')!r} {fault} in `{method}`{where}."
    return ComponentError(cause, _remedy(component))


def _remedy(component: Component) -> str:
    cls = type(component)
    if is_from_file(cls):
        return f"Correct the plugin file. {_STORED}"
    if is_built_in(cls):
        return "This is a fault of society: report it with the scenario. What is done is stored."
    return f"Correct or update the plugin {cls.__module__.partition('.')[0]}. {_STORED}"
