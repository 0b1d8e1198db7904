"""Which file system a directory is on: SQLite's write-ahead log needs memory that all who open a file share.

"All processes using a database must be on the same host computer; WAL does not work over a network filesystem."
(https://www.sqlite.org/wal.html)
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

Journal = Literal["WAL", "DELETE"]

_MOUNTS = Path("/proc/self/mountinfo")
# As the system calls them; of FUSE's those are local that stand here.
_OF_A_NETWORK = frozenset(
    (
        "nfs", "nfs3", "nfs4", "lustre", "lustre_lite", "gpfs", "mmfs", "beegfs", "beegfs_nodev", "fhgfs", "glusterfs",
        "ceph", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "autofs", "ncpfs", "coda", "ocfs2", "gfs", "gfs2",
        "orangefs", "pvfs2", "panfs", "wekafs", "wekaio", "daos", "acfs", "vboxsf", "prl_fs", "virtiofs",
    )
)  # fmt: skip
_LOCAL_FUSE = frozenset({"fuse.ext2", "fuse.ntfs", "fuse.exfat", "fuse.fuse-overlayfs", "fuseblk", "fuse.mergerfs"})


def journal_for(kind: str) -> Journal:
    """Return the journal that an archive on a file system has.

    >>> journal_for("ext4"), journal_for("nfs4"), journal_for("fuse.sshfs")
    ('WAL', 'DELETE', 'DELETE')
    """
    far = kind in _OF_A_NETWORK or (kind.startswith("fuse") and kind not in _LOCAL_FUSE)
    return "DELETE" if far else "WAL"


def kind_in(mounts: str, path: PurePosixPath) -> str:
    """Return the kind of file system that a path is on, of the text of /proc/self/mountinfo; empty if it does not say.

    Of several mounts at one place the last one counts: it lies on top.
    """
    best, found = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        point = PurePosixPath(_unescaped(fields[4]))
        if len(point.parts) >= best and path.is_relative_to(point):
            best, found = len(point.parts), after.split(" ", 1)[0]
    return found


def journal_at(path: Path) -> Journal:
    """Return the journal for an archive at a path; where the system does not say what lies there, WAL."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return "WAL"
    return journal_for(kind_in(mounts, PurePosixPath(path.resolve())))


def _unescaped(field: str) -> str:
    r"""Return a field of mountinfo, in which space, tab, line feed and \ stand as octal numbers."""
    for number, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        field = field.replace(f"\\{number}", character)
    return field
