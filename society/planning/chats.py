"""The check of a scenario's chats with the chat templates of its models, before the first turn and without the models.

The chats are those of a dry run. Some templates accept no system message, or want other roles in turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from backends.base import CheckChat
from society.components.faults import faults_of
from society.core.types import Item
from society.scenario.expand import Society


def check_chats(society: Society, item: Item, backends: Iterable[str]) -> None:
    """Raise `InputError` if a chat of one debate on this item is refused by the chat template of one of the backends.

    Only templates that this machine has are checked.
    """
    from society.planning.dry_run import dry_run, rough_count

    checks = {name: check for name in backends if (check := find_check(society, name)) is not None}
    if checks:
        dry_run(society, item, dict.fromkeys(society.scenario.backends, rough_count), checks, part=True)


def find_check(society: Society, backend: str, say: Callable[[str], None] | None = None) -> CheckChat | None:
    """Return the check of chats of a backend, or None; see `BackendConfig.chat_check`."""
    config = society.scenario.backends[backend]
    with faults_of(config, "chat_check", f"of the backend {backend!r}"):
        return config.chat_check(say)
