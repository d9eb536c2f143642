"""Files that a drive may reference: regular files below its own folder."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from recon.errors import DriveInvalid, PathRefused, RoadscribeError

MOST_BYTES = 512 << 20  # of a file that is read whole
# To pass through a folder, the right to list it is not needed.
_FOLDER = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
_STEP = os.O_NOFOLLOW | os.O_CLOEXEC
_RESTORE = "Restore the file, or remove the frame that lists it from the drive."
_HINT = "Give paths relative to the drive folder. Copy files into it instead of linking out of it."


_kept: dict[Path, int] = {}  # descriptors of the folders that `kept_open` holds


@contextmanager
def kept_open(path: Path) -> Iterator[None]:
    """Open a drive's folder once: until the end its files are read from there, whatever takes its place meanwhile.

    `path` is absolute and holds no links: one that stands on the way took the place of a folder. It may also be a file
    of the folder. Raises PathRefused for a link, DriveInvalid for a folder that does not exist or cannot be opened.
    """
    folder = path if path.is_dir() else path.parent
    if folder in _kept:
        yield
        return
    try:
        handle = _open_below(os.open(folder.anchor, _FOLDER), folder.parts[1:], _FOLDER)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise PathRefused("a link stands in the place of a folder", where=str(path), hint=_HINT) from error
        what = "does not exist" if error.errno == errno.ENOENT else f"cannot be opened: {error.strerror}"
        hint = "Give the folder that holds the drive."
        raise DriveInvalid(f"the folder {what}", where=str(path), hint=hint) from error
    _kept[folder] = handle
    # KITTI keeps the calibration of a day beside its drives.
    places = [folder]
    if folder.parent not in _kept:
        _kept[folder.parent] = os.open("..", _FOLDER, dir_fd=handle)
        places.append(folder.parent)
    try:
        yield
    finally:
        for place in places:
            os.close(_kept.pop(place))


def real_folder(path: Path) -> Path:
    """Return the path of a drive, or of a file in it, without links; one that is kept open as it is."""
    return path.resolve() if _kept.keys().isdisjoint((path, path.parent)) else path


def inside(root: Path, relative: str, *, where: str) -> Path:
    """Return the file at a drive's path `relative`; PathRefused if it lies outside the folder `root`."""
    folder, parts = _below(root, relative, where)
    return folder.joinpath(*parts)


def _below(root: Path, relative: str, where: str) -> tuple[Path, tuple[str, ...]]:
    """Return the folder `root` without links, and the way from there to a file without links."""
    pure = PurePosixPath(relative)
    if (
        not relative
        or pure.is_absolute()
        or ".." in pure.parts
        or "\\" in relative
        or PureWindowsPath(relative).drive
        or any(ord(character) < 32 for character in relative)
    ):
        raise PathRefused(f"{relative!r} is not a path inside the drive folder", where=where, hint=_HINT)
    try:
        os.fsencode(relative)
        root = root.resolve()  # a root may be a link, or relative to the working directory
        path = (root / pure).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, or a name that no file system accepts
        raise PathRefused(f"{relative!r} cannot be resolved: {error}", where=where, hint=_HINT) from error
    if not path.is_relative_to(root):
        raise PathRefused(f"{relative!r} is a link that leads out of the drive folder", where=where, hint=_HINT)
    return root, path.relative_to(root).parts


def open_inside(
    root: Path, relative: str, *, where: str, kind: type[RoadscribeError] = DriveInvalid, most_bytes: int = 1 << 40
) -> BinaryIO:
    """Open a regular file of the drive; raises `kind` if it is missing or too large, PathRefused if it is outside.

    Every folder on the way is opened from the one before: a link that came after the check leads nowhere.
    """
    folder, parts = _below(root, relative, where)
    try:
        start = os.dup(_kept[root]) if root in _kept else os.open(folder, _FOLDER)
        handle = _open_below(start, parts, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would block the reader
        found = os.fstat(handle)
        problem = "" if stat.S_ISREG(found.st_mode) else "is not a regular file"
        if found.st_size > most_bytes:
            problem = f"has {found.st_size >> 20} MB, at most {most_bytes >> 20} MB are read"
        if not problem:
            return os.fdopen(handle, "rb")
        os.close(handle)
    except FileNotFoundError:
        problem = "does not exist"
    except NotADirectoryError:
        problem = "does not exist: a part of its path is a file"
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PathRefused(f"{relative!r} became a link", where=where, hint=_HINT) from error
        hint = "Check the file and its permissions."
        raise kind(f"{relative} cannot be read: {error.strerror or error}", where=where, hint=hint) from error
    raise kind(f"{relative} {problem}", where=where, hint=_RESTORE)


def _open_below(start: int, parts: Sequence[str], flags: int) -> int:
    """Open what `parts` lead to from an open folder, following no link, and close the folder."""
    handle = start
    for index, part in enumerate(parts):
        try:
            step = os.open(part, (flags if index == len(parts) - 1 else _FOLDER) | _STEP, dir_fd=handle)
        finally:
            os.close(handle)
        handle = step
    return handle


def read_inside(
    root: Path, relative: str, *, where: str, kind: type[RoadscribeError] = DriveInvalid, most_bytes: int = MOST_BYTES
) -> bytes:
    """Return the bytes of a regular file of the drive; raises what `open_inside` raises."""
    with open_inside(root, relative, where=where, kind=kind, most_bytes=most_bytes) as stream:
        try:
            return stream.read(most_bytes)
        except OSError as error:
            hint = "Check the file and its permissions."
            raise kind(f"{relative} cannot be read: {error.strerror or error}", where=where, hint=hint) from error


def check_unchanged(data: bytes, sha256: str, *, where: str, kind: type[RoadscribeError] = DriveInvalid) -> None:
    """Raise `kind` unless `data` has the digest that the drive was read with ("" = it was not read for a job).

    Stage keys name a drive by the digests of its files: a result of other bytes would be kept under a wrong key.
    """
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise kind("the file changed after the drive was read", where=where, hint="Run the job again.")
