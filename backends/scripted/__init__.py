"""The scripted backend: replies by rules instead of a model, for tests, theory and dry runs."""

from backends.scripted.backend import Scripted, ScriptedBackend

__all__ = ["Scripted", "ScriptedBackend"]
