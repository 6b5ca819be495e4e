"""Limits of programs in the sandbox."""

from __future__ import annotations

from pydantic import Field

from society.core.component import Component


class Limits(Component):
    """Limits of one program. A program that exceeds a limit is stopped, or gets an error from the system."""

    cpu_seconds: int = Field(10, ge=1, le=3600)
    """Maximum processor time of a process, in seconds. It does not depend on the load of the machine."""
    wall_seconds: float = Field(300, ge=1, le=36_000)
    """Maximum elapsed time, in seconds. Only programs that wait should reach it, so it is generous."""
    memory_mb: int = Field(512, ge=64, le=65_536)
    """Maximum memory of a process, in MiB. All processes together may use `processes` times as much."""
    processes: int = Field(8, ge=1, le=256)
    """Maximum number of processes and threads at the same time."""
    files: int = Field(100, ge=10, le=10_000)
    """Maximum number of files in the program's folder."""
    disk_mb: int = Field(16, ge=1, le=4096)
    """Maximum size of a file, and of all files of the program, in MiB."""
    output_kb: int = Field(64, ge=1, le=10_000)
    """Maximum output, in KiB. A program that writes more is stopped."""
