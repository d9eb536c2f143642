"""Files that a drive may reference: regular files below its own folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from recon.errors import DriveInvalid, PathRefused, RoadscribeError

_HINT = "Give paths relative to the drive folder. Copy files into it instead of linking out of it."


def inside(root: Path, relative: str, *, where: str) -> Path:
    """Return the file at a drive's path `relative`; PathRefused if it lies outside the folder `root`."""
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
    return path


def read_inside(root: Path, relative: str, *, where: str, kind: type[RoadscribeError] = DriveInvalid) -> bytes:
    """Return the bytes of a regular file of the drive; raises `kind` if it is missing, PathRefused if it is outside."""
    path = inside(root, relative, where=where)
    try:
        if not path.is_file():  # a pipe or a device would block the reader
            problem = "is not a regular file" if path.exists() else "does not exist"
            hint = "Restore the file, or remove the frame that lists it from the drive."
            raise kind(f"{relative} {problem}", where=where, hint=hint)
        return path.read_bytes()
    except OSError as error:
        hint = "Check the file and its permissions."
        raise kind(f"{relative} cannot be read: {error.strerror or error}", where=where, hint=hint) from error


def check_unchanged(data: bytes, sha256: str, *, where: str, kind: type[RoadscribeError] = DriveInvalid) -> None:
    """Raise `kind` unless `data` has the digest that the drive was read with ("" = it was not read for a job).

    Stage keys name a drive by the digests of its files: a result of other bytes would be kept under a wrong key.
    """
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise kind("the file changed after the drive was read", where=where, hint="Run the job again.")
