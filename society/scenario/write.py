"""Scenarios as YAML again: what `society plan` shows and `society export` leaves behind."""

from __future__ import annotations

from typing import Any


def to_yaml(data: dict[str, Any]) -> str:
    """YAML with texts of several lines as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes no aliases, which the scenario language does not have."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    Dumper.add_representer(
        str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None)
    )
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
