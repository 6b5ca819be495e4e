"""Which key goes to which host. A scenario is a stranger's text: it may name a key, but not send it anywhere it likes.

A key goes to this machine, to the host that it is known to belong to, and to the host that the user's environment
names beside it: NAME_BASE_URL for NAME_API_KEY, as the official clients have it.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from society.errors import InputError

if TYPE_CHECKING:
    from backends.openai.config import OpenAI

HOMES = {"OPENAI_API_KEY": "api.openai.com"}
"""Hosts that need no word in the environment, by the name of their key."""


def find_key(config: OpenAI) -> str | None:
    """The key for the server of this configuration, None where it takes none.

    Raises `InputError` when the variable is not set, or when nothing says that its key belongs to this host.
    """
    host = urlsplit(config.url).hostname or ""
    name = config.key_env or next((name for name, home in HOMES.items() if home == host), None)
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise InputError(f"The key for {host} is missing: the environment has no {name}.", f"export {name}=...")
    if not key.isascii() or not key.isprintable():
        raise InputError(f"What {name} holds is no key: it has characters that no header may have.", f"Set {name}.")
    base = name.removesuffix("_API_KEY") + "_BASE_URL"
    if not is_local(config.url) and host not in (HOMES.get(name), urlsplit(os.environ.get(base, "")).hostname):
        raise InputError(
            f"The key in {name} is not sent to {host}: nothing but the scenario says that it belongs there.",
            f"If it does: export {base}={config.url}",
        )
    return key


def is_local(url: str) -> bool:
    """Whether the address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
