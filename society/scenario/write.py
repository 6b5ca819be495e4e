"""Writing of scenarios as YAML, for `society plan` and `society export`."""

from __future__ import annotations

from typing import Any


def to_yaml(data: dict[str, Any]) -> str:
    """Return data as YAML. Multi-line texts are literal blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """A dumper without aliases, so that every value is written out."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    Dumper.add_representer(
        str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None)
    )
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
