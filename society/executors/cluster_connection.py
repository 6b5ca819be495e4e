"""Joining a Ray cluster, or starting one on this machine alone, and leaving what was found as it was."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from society.core.errors import InputError

SECONDS = 5
"""How long a cluster has to answer."""


class Membership:
    """This process in the cluster at an address, as the scenario's `executor.address` has it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._folder: str | None = None  # of a Ray that was started here
        self._joined = False

    def join(self) -> None:
        """Join, unless this process is in a cluster already. Raises `InputError` where there is none."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if self.address == "local":
            keep_to_oneself()
        else:
            os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")  # else it tries for minutes what cannot be
            if self.address != "auto":
                reach(self.address)
        with handlers_kept():
            import ray

            if not ray.is_initialized():
                try:
                    ray.init(**self._options())
                except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                    self._clear()
                    raise absent(self.address, error) from error
                self._joined = True

    def _options(self) -> dict[str, Any]:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
        if self.address != "local":
            return {"address": self.address, **quiet}
        self._folder = tempfile.mkdtemp(prefix="ray-")  # short: paths of sockets must be
        return {
            "address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1", "_temp_dir": self._folder,
            **quiet,
        }  # fmt: skip

    def leave(self) -> None:
        """Leave, if it was joined here; a Ray that was started here ends."""
        import ray

        if self._joined:
            ray.shutdown()
            self._clear()

    def _clear(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def reach(address: str) -> None:
    """Raise `InputError` unless something listens at HOST:PORT. Ray would try for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
    except (OSError, OverflowError) as error:
        raise absent(address, error) from error


def absent(address: str, error: Exception) -> InputError:
    """What to say where no cluster can be joined."""
    return InputError(
        f"No Ray cluster can be joined at executor.address {address!r}: {error}",
        "Start one (`ray start --head`), correct the address, or set executor.address: local. A cluster with a "
        "secret admits who has it in RAY_AUTH_TOKEN, and RAY_AUTH_MODE=token.",
    )


def keep_to_oneself() -> None:
    """Ray on the loopback device alone, and nobody else on this machine lets it run anything.

    By itself Ray would write the secret that admits its clients into the home folder, for all who can read it. This one
    lasts as long as the process.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # Ray's way to stay on the loopback device
    if "ray" not in sys.modules:  # it reads them when it is imported
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ.get("RAY_AUTH_MODE") == "token" and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Within, Ray takes SIGTERM for itself; afterwards it means what it meant: that a run shall stop in good order."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
