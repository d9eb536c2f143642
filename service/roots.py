"""Checks paths in jobs: only below configured roots, and without following any link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from recon.errors import ModelInvalid, PathRefused
from recon.segment.openvino_files import external_files

HINT = "Allowed are existing files and folders below ROADSCRIBE_ROOTS, without links on the way."


def resolve_below(roots: Iterable[Path], path: str) -> Path:
    """Return the real path of an input; raises PathRefused for everything else, always with the same words.

    The same words, because the difference between "not there" and "not allowed" would reveal what the disk holds.
    """
    wanted = PurePosixPath(path)
    if wanted.is_absolute() and ".." not in wanted.parts and "\0" not in path:
        for root in roots:
            # The administrator may name a root through a link; the sender of a job may use none below it.
            for spelling in dict.fromkeys((root, root.resolve())):
                if wanted.is_relative_to(spelling):
                    rest = wanted.relative_to(spelling).parts
                    found = root.resolve().joinpath(*rest)
                    if _walk(root.resolve(), rest) and _companions_allowed(root.resolve(), found):
                        return found
    raise PathRefused("the path may not be read", where="path", hint=HINT)


def _companions_allowed(root: Path, path: Path) -> bool:
    """Return whether what is opened along with a model file may be read as well.

    OpenVINO opens the .bin beside an .xml and the data beside an .onnx. The configuration of mmsegmentation is a .py
    beside its .pth. A checkpoint of transformers is a folder whose files are opened by name.
    """
    if path.suffix == ".xml":
        companions = [path.with_suffix(".bin")]
    elif path.suffix == ".onnx":
        try:
            companions = external_files(path)
        except (ModelInvalid, OSError):
            return False
    elif path.suffix == ".pth":
        companions = list(path.parent.glob("*.py"))
    else:
        companions = list(path.iterdir()) if (path / "config.json").is_file() else []
    return all(_walk(root, file.relative_to(root).parts) for file in companions if os.path.lexists(file))


def _walk(root: Path, parts: Sequence[str]) -> bool:
    """Return whether `parts` lead from `root` to a file or folder, opening each step relative to the last."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        handle = os.open(root, flags | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            try:
                step = os.open(part, flags if last else flags | os.O_DIRECTORY, dir_fd=handle)
            except OSError:
                return False
            os.close(handle)
            handle = step
        mode = os.fstat(handle).st_mode
        return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    finally:
        os.close(handle)
