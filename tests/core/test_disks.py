"""Shared disks are found by the list of mounted file systems, and local folders for stores are private."""

from __future__ import annotations

from pathlib import Path

import pytest

from society.core import disks
from society.core.disks import find_scratch, find_shared
from society.core.errors import InputError


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the list of mounts that the code reads."""
    path = tmp_path / "mountinfo"
    monkeypatch.setattr(disks, "MOUNTS", path)
    return path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/runs", "nfs4"),
        ("/homework", ""),
        ("/scratch/a b/run", "lustre"),
        ("/scratch/a", ""),
        ("/mnt/win", "cifs"),
        ("/mnt/sshfs/x", "fuse.sshfs"),
        ("/mnt/usb", ""),
        ("/auto/data", "nfs"),
        ("/data/runs", ""),
    ],
)
def test_the_innermost_and_latest_mount_decides(mounts: Path, path: str, kind: str) -> None:
    mounts.write_text(
        "1 0 8:1 / / rw shared:1 - ext4 /dev/sda rw\n"
        "2 1 0:1 / /home rw,nosuid shared:2 master:3 - nfs4 server:/home rw\n"
        "3 1 0:2 / /scratch/a\\040b rw - lustre mds:/x rw\n"
        "4 1 0:3 / /mnt/win rw - cifs //host/share rw\n"
        "5 1 0:4 / /mnt/sshfs rw - fuse.sshfs me@host: rw\n"
        "6 1 0:5 / /mnt/usb rw - fuseblk /dev/sdb rw\n"
        "7 1 0:6 / /auto rw - autofs auto rw\n"
        "8 7 0:7 / /auto rw - nfs server:/auto rw\n"
        "9 1 0:8 / /data rw - nfs server:/data rw\n"
        "10 9 0:9 / /data rw - xfs /dev/sdc rw\n"
        "a line of no known form\n"
    )
    assert find_shared(Path(path)) == kind


@pytest.mark.parametrize(("root", "shared"), [("fuse.fuse-overlayfs", False), ("9p", False), ("nfs", True)])
def test_the_root_of_a_container_is_local(mounts: Path, root: str, shared: bool) -> None:
    mounts.write_text(f"1 0 0:1 / / rw - {root} x rw\n2 1 0:2 / /runs rw - fuse.sshfs x rw\n")
    assert bool(find_shared(Path("/tmp"))) == shared
    assert find_shared(Path("/runs/a")) == "fuse.sshfs"


def test_without_a_list_of_mounts_every_disk_is_local(mounts: Path) -> None:
    assert not find_shared(Path("/home"))


def test_scratch_is_private_and_local(mounts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(disks.SCRATCH, str(tmp_path / "scratch"))
    mounts.write_text("1 0 8:1 / / rw - ext4 /dev/sda rw\n")
    folder = find_scratch()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(InputError, match="others may write there") as error:
        find_scratch()
    assert disks.SCRATCH in error.value.remedy
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(InputError, match="others may write there"):
        find_scratch()
    mounts.write_text("1 0 8:1 / / rw - nfs server:/ rw\n")
    with pytest.raises(InputError, match=r"shared disk \(nfs\)"):
        find_scratch()
    (tmp_path / "file").touch()
    mounts.write_text("")
    monkeypatch.setenv(disks.SCRATCH, str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot be made"):
        find_scratch()
