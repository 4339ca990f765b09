"""Which account a server runs under: PostgreSQL refuses root, so root lends it `nobody` and a folder it may enter."""

import os
import pwd
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import mkdtemp

from ops.stack.parts import NotStarted


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group of this machine, by number."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """`nobody` when we are root, else None: we run things as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise NotStarted("PostgreSQL will not run as root and this machine has no account `nobody`") from error
    return Account(entry.pw_uid, entry.pw_gid)


def may_enter(folder: Path) -> bool:
    """Whether any account can go into `folder` and read there: every parent lets others through."""
    folder = folder.resolve()
    return folder.stat().st_mode & 0o005 == 0o005 and may_pass(folder)


def may_pass(folder: Path) -> bool:
    """Whether any account can go through `folder` to something of its own."""
    folder = folder.resolve()
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def data_folder(folder: Path) -> Path:
    """Make the folder that holds everything of a local stack: closed to others, but root lets `nobody` pass through."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder.resolve()


def lent_folder(wanted: Path, account: Account | None) -> Path:
    """The folder `wanted`, made for `account`; data in it survives restarts.

    Where `account` cannot reach `wanted` (a checkout under /root, say), the folder lies in /var/lib and `wanted` is
    a link to it, so that people still find their data.
    """
    if account is None:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        return wanted
    if not wanted.is_symlink() and may_pass(wanted.parent):
        wanted.mkdir(mode=0o700, exist_ok=True)
    else:
        # A link may have been copied along with the checkout, and a folder that is new must not meet old data.
        mark = f"carillon-{blake2b(str(wanted.absolute()).encode(), digest_size=6).hexdigest()}"
        if not (wanted.is_symlink() and wanted.is_dir() and wanted.resolve().name.startswith(mark)):
            wanted.unlink(missing_ok=True)
            wanted.symlink_to(mkdtemp(prefix=f"{mark}-", dir=_first_usable()), target_is_directory=True)
    os.chown(wanted, account.uid, account.gid)
    return wanted.resolve()


def lend_copy(sources: Mapping[Path, str], target: Path, account: Account) -> None:
    """Copy each tree to its name under `target`, owned by `account`; all of them or nothing."""
    half = target.with_name(target.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    for source, name in sources.items():
        shutil.copytree(source, half / name, symlinks=True)
    for path in (half, *half.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    half.rename(target)


def _first_usable() -> Path:
    for folder in (Path("/var/lib"), Path("/var/tmp"), Path("/tmp")):  # noqa: S108  # a root-owned name inside
        if folder.is_dir() and os.access(folder, os.W_OK) and may_pass(folder):
            return folder
    raise NotStarted(
        "PostgreSQL will not run as root, and no folder was found that `nobody` may enter (/var/lib, /tmp)"
    )
