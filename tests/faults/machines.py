"""Machines that share a disk, each played by processes of this one: see shared_disk.c."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.faults.injection import compile_library

DRIVER = """
import sys
from society.runs import lease, mirror
lease.BEAT, lease.PATIENCE, mirror.INTERVAL = 0.1, 1.5, 0.1
from society.cli import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Machine:
    """A machine with a local disk `home`, whose name is the machine's, and with the shared disk `shared`."""

    home: Path
    shared: Path
    clock: int = 0

    def __post_init__(self) -> None:
        for name in ("locks", "scratch"):
            (self.home / name).mkdir(parents=True)
        self.shared.mkdir(exist_ok=True)
        (self.home / "boot_id").write_text(f"started-{self.home.name}\n")
        mounts = [f"1 0 0:1 / {place} rw - {kind} none rw" for place, kind in (("/", "ext4"), (self.shared, "nfs4"))]
        (self.home / "mountinfo").write_text("\n".join(mounts))

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command of the program on this machine."""
        library = compile_library("shared_disk.c")
        environment = {
            "LD_PRELOAD": str(library),
            "SHARED_FOLDER": str(self.shared),
            "SHARED_NODE": str(self.home),
            "SHARED_CLOCK": str(self.clock),
            "SOCIETY_SCRATCH": str(self.home / "scratch"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, *map(str, arguments)],
            env=os.environ | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: object) -> tuple[int, str]:
        """Run a command to its end. Return its exit status and what it printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out + err
