"""Joins a Ray cluster, or starts one on this machine only, and leaves a joined cluster unchanged."""

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
from contextlib import contextmanager, suppress
from typing import Any

from society.core.errors import InputError

SECONDS = 5
"""Timeout in seconds for a connection to a cluster."""


class ClusterConnection:
    """The connection of this process to the cluster at an address (the scenario's `executor.address`)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._folder: str | None = None  # of a cluster that was started here
        self._joined = False

    def join(self) -> None:
        """Join the cluster, unless this process is connected already. Raises `InputError` if there is none."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if self.address == "local":
            restrict_to_loopback()
        else:
            os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")  # seconds; by default Ray retries for minutes
            if self.address != "auto":
                check_reachable(self.address)
        import ray

        if ray.is_initialized():
            return
        try:
            with without_handlers():
                ray.init(**self._options())
        except BaseException as error:
            ray.shutdown()
            self._clear()
            if isinstance(error, ConnectionError | OSError | RuntimeError | ValueError):
                raise join_error(self.address, error) from error
            raise
        self._joined = True

    def _options(self) -> dict[str, Any]:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
        if self.address != "local":
            return {"address": self.address, **quiet}
        self._folder = tempfile.mkdtemp(prefix="ray-")  # short, because paths of sockets are limited
        return {
            "address": "local",
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
            "_temp_dir": self._folder,
            **quiet,
        }

    def leave(self) -> None:
        """Leave the cluster if `join` joined it, and stop a cluster that was started here."""
        import ray

        if self._joined:
            if self._folder is not None:
                kill_monitor()
            ray.shutdown()
            self._clear()

    def _clear(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def check_reachable(address: str) -> None:
    """Raise `InputError` unless a server listens at HOST:PORT. Ray itself would retry for 15 minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
    except (OSError, OverflowError) as error:
        raise join_error(address, error) from error


def join_error(address: str, error: Exception) -> InputError:
    """Return the error for a cluster that cannot be joined."""
    return InputError(
        f"Cannot join a Ray cluster at executor.address {address!r}: {error}",
        "Start one (`ray start --head`), correct the address, or set executor.address: local. For a cluster with token "
        "authentication, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN.",
    )


def restrict_to_loopback() -> None:
    """Restrict Ray to the loopback device, with a token that lasts as long as the process.

    Without this token, Ray would write its own into the home folder, where other users may be able to read it.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # makes Ray use the loopback device
    if "ray" not in sys.modules:  # Ray reads the variables when it is imported
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ.get("RAY_AUTH_MODE") == "token" and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def kill_monitor() -> None:
    """Kill the monitor of a cluster that was started here. It only adds machines, and Ray waits a second for it."""
    from ray._private import worker

    with suppress(AttributeError):  # another version of Ray: the second is waited for
        for started in worker._global_node.all_processes.get("monitor", ()):
            started.process.kill()


@contextmanager
def without_handlers() -> Iterator[None]:
    """Keep the handler of SIGTERM, which stops a run gracefully, while Ray starts.

    Ray's handler in Python would end the process at once. Ray's core installs another one in C++, which would
    abort the process three seconds after the signal. So the handler is set again afterwards.
    """
    from ray._private import utils

    before, handler = utils.set_sigterm_handler, signal.getsignal(signal.SIGTERM)
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = before
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
