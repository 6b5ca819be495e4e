"""Keys and the servers that may receive them. A scenario is untrusted: it may name a key, but not its destination.

A key may go to this machine, to its known server, and to the server that the user's environment names: NAME_BASE_URL
for NAME_API_KEY, as in the official clients. A server is a scheme, a host and a port, and all three must match. Another
machine receives a key only over https.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from society.core.errors import InputError

if TYPE_CHECKING:
    from backends.openai.config import OpenAI

HOMES = {"OPENAI_API_KEY": "https://api.openai.com"}
"""Known servers by the name of their key; the environment does not need to name them."""
PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int]
"""Scheme, host and port of a server."""


def find_key(config: OpenAI) -> str | None:
    """Return the key for the server of this configuration; None if it needs none.

    Raises `InputError` if the variable is not set, if the connection is not encrypted, or if neither the environment
    nor the list of known servers assigns the key to this server.
    """
    host = urlsplit(config.url).hostname or ""
    name = config.key_env or next((name for name, home in HOMES.items() if urlsplit(home).hostname == host), None)
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise InputError(f"The key for {host} is missing: the environment has no {name}.", f"export {name}=...")
    if not key.isascii() or not key.isprintable():
        raise InputError(f"The value of {name} is no key: it has characters that headers do not allow.", f"Set {name}.")
    if not is_local(config.url):
        _check_server(config.url, name)
    return key


def _check_server(url: str, name: str) -> None:
    """Raise `InputError` unless the key of this name may go to the server at `url` on another machine."""
    base = f"{name.removesuffix('_API_KEY')}_BASE_URL"
    server = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
    if urlsplit(url).scheme != "https":
        raise InputError(
            f"The key in {name} is not sent to {server}: http is not encrypted.",
            "Give an https:// address as `url`, or reach the server through a tunnel to this machine (ssh -L).",
        )
    if origin(url) not in (_known_origin(HOMES.get(name)), _known_origin(os.environ.get(base))):
        raise InputError(
            f"The key in {name} is not sent to {urlsplit(url).netloc}: only the scenario names this server.",
            f"If you trust the server, run: export {base}={url}",
        )


def origin(url: str) -> Origin:
    """Return scheme, host (in lower case) and port of an address. Raises `ValueError` if it has no host."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("must be http://HOST... or https://HOST...")
    return parts.scheme, parts.hostname, parts.port if parts.port is not None else PORTS[parts.scheme]


def _known_origin(url: str | None) -> Origin | None:
    """Return the origin of an address; None if there is no address, or an invalid one."""
    try:
        return origin(url.strip()) if url else None
    except ValueError:
        return None


def is_local(url: str) -> bool:
    """Return whether an address is this machine: `localhost`, or a loopback address written in full."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
