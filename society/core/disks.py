"""Disks: whether a folder lies on a network or parallel file system, and where this machine has a local one.

SQLite's WAL needs memory that all its processes share, and locks that they all see. Network file systems, parallel file
systems and FUSE promise neither between machines.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from society.core.errors import InputError

SCRATCH = "SOCIETY_SCRATCH"
"""Environment variable with the folder, on a local disk, for the stores of runs on shared disks."""
MOUNTS = Path("/proc/self/mountinfo")
"""The mounted file systems, as Linux lists them. On other systems every disk counts as local."""
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Errors of a disk without space, and of a quota that is used up."""
_SHARED = re.compile(
    r"9p|acfs|afs|beegfs|ceph|cifs|coda|davfs|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs|nfs4|ocfs2|orangefs|panfs|pvfs2|smb3"
    r"|smbfs|vboxsf|virtiofs|vmhgfs|wekafs|fuse|fuse\..*"
)
"""Types of file systems that several machines may have mounted, or that are reached through another machine."""
_PRIVATE_ROOT = re.compile(r"9p|virtiofs|fuse|fuse\..*")
"""Types that sandboxes and rootless containers use for a root of their own."""


def advise(error: BaseException | None, otherwise: str) -> str:
    """Return the remedy for a file that cannot be written: space for a full disk or quota, or else `otherwise`."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return "Free space on this disk, or raise the quota. Then run the same command again."
    return otherwise


def find_shared(path: Path) -> str:
    """Return the type of the file system of a path if it is shared, such as "nfs4"; "" for a local disk.

    The path need not exist: then its nearest existing parent counts. The root of a container counts as local.
    """
    mount, kind = _find_mount(path)
    if mount == Path(mount.anchor) and _PRIVATE_ROOT.fullmatch(kind):
        return ""
    return kind if _SHARED.fullmatch(kind) else ""


def find_scratch() -> Path:
    """Return a private folder on a local disk, made if needed.

    Its parent is named by `SOCIETY_SCRATCH`, or else is the system's folder for temporary files. Raises `InputError`
    where that is on a shared disk, cannot be written, or belongs to somebody else.
    """
    parent = scratch_parent()
    kind = find_shared(parent)
    remedy = f"Set {SCRATCH} to a folder on a local disk of this machine."
    if kind:
        raise InputError(f"{parent} is on a shared disk ({kind}), where SQLite's WAL is unsafe.", remedy)
    folder = find_own_scratch()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}.", remedy) from error
    if not _is_private(found):
        raise InputError(f"{folder} belongs to another user, or others may write there.", remedy)
    return folder


def scratch_parent() -> Path:
    """Return the folder that holds the private folder of each user."""
    return Path(os.environ.get(SCRATCH) or tempfile.gettempdir())


def find_own_scratch() -> Path:
    """Return the path of this user's private folder, whether or not there is one."""
    return scratch_parent() / f"society-{os.getuid() if hasattr(os, 'getuid') else os.getlogin()}"


def _is_private(found: os.stat_result) -> bool:
    """Return whether a folder is this user's, and nobody else may write there. Windows keeps it so by itself."""
    if not hasattr(os, "getuid"):
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _find_mount(path: Path) -> tuple[Path, str]:
    """Return the mount point and the type of the file system that holds a path; the type is "" if unknown."""
    place = path.resolve()
    best, kind = Path(place.anchor), ""
    for mount, found in _list_mounts():
        if place.is_relative_to(mount) and len(mount.parts) >= len(best.parts):  # a later mount hides an earlier one
            best, kind = mount, found
    return best, kind


def _list_mounts() -> Iterator[tuple[Path, str]]:
    """Yield the place and the type of each mounted file system."""
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 4 and after:
            yield Path(_unescape(fields[4])), after.split(" ")[0]


def _unescape(text: str) -> str:
    """Return a path of the list of mounts, in which spaces and backslashes are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
