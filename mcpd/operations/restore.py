"""A state directory of a backup, see ``backup``. All of it blocks."""

import os
import secrets
import tarfile
import tempfile
import time
from pathlib import Path, PurePosixPath

from mcpd.errors import ConfigError, Unavailable
from mcpd.operations.backup import (
    MANIFEST,
    MAX_FILES,
    PIECE_BYTES,
    Manifest,
    digest_of,
    is_plain,
    no_backup,
    read_manifest,
    words_of,
)


def restore(source: Path, folder: Path, *, replace: bool = False) -> tuple[Manifest, Path | None]:
    """Make a state directory of a backup; what it says of itself, and where what was there is now.
    Nothing is changed before all of it has been read and
    found to be whole.

    Args:
        replace: what is there already is kept, in a folder of it.

    Raises:
        ConfigError: the file is no backup, is damaged, or there is a state directory already.
        Unavailable: something could not be read or written.
    """
    folder = folder.resolve()  # a link stays, and leads to the new one
    there = folder.exists() and any(folder.iterdir())
    if there and not replace:
        raise ConfigError(
            f"{folder} is not empty.",
            fix="Give another --state-dir, or --force: what is there is kept in a folder of it.",
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat()
        with tempfile.TemporaryDirectory(dir=folder, prefix=".mcpd-restore-") as name:
            with tarfile.open(source, mode="r:") as tar:
                manifest = read_manifest(tar)
                _unpack(tar, manifest, Path(name), source.stat().st_size)
            _own(Path(name), owner)
            aside = _exchange(folder, Path(name))
    except (tarfile.TarError, RecursionError) as error:
        raise no_backup() from error
    except OSError as error:
        raise Unavailable(f"{source} could not be restored: {words_of(error)}.") from error
    return manifest, aside


def _own(fresh: Path, owner: os.stat_result) -> None:
    """What root restores belongs to whom the directory belongs."""
    if os.geteuid() == 0 and owner.st_uid != 0:
        for top, folders, names in os.walk(fresh):
            for name in (*folders, *names):
                os.chown(Path(top) / name, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _exchange(folder: Path, fresh: Path) -> Path | None:
    """Within the directory, which may be a mount point: what was there goes into a folder of it."""
    old = [path for path in folder.iterdir() if path != fresh]
    aside = None
    if old:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        aside = folder / f".mcpd-before-{stamp}-{secrets.token_hex(2)}"
        aside.mkdir(mode=0o700)
        for path in old:
            if not path.name.startswith(".mcpd-before-"):
                os.replace(path, aside / path.name)
    for path in list(fresh.iterdir()):
        os.replace(path, folder / path.name)
    return aside


def _unpack(tar: tarfile.TarFile, manifest: Manifest, fresh: Path, most: int) -> None:
    """No more than the file itself has: a few bytes must not become a disk."""
    wanted = {file.name: file for file in manifest.files}
    if len(wanted) > MAX_FILES or sum(file.size for file in manifest.files) > most:
        raise no_backup()
    for entry in tar:
        if entry.name == MANIFEST:
            continue
        file, path = wanted.pop(entry.name, None), PurePosixPath(entry.name)
        unsafe = path.is_absolute() or ".." in path.parts or not is_plain(entry)
        if file is None or unsafe or entry.size != file.size:
            raise _damaged(entry.name)
        target = fresh / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = tar.extractfile(entry)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            while data is not None and (piece := data.read(PIECE_BYTES)):
                out.write(piece)
        target.chmod(file.mode & 0o777)
        if digest_of(target)[0] != file.sha256:
            raise _damaged(entry.name)
    if wanted:
        raise _damaged(next(iter(wanted)))


def _damaged(name: str) -> ConfigError:
    return ConfigError(f"The backup is damaged: {name[:100]!r} is not as it was written.")
