"""The drives of a campaign: the folders in a folder, or the lines of a list."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from recon.errors import ConfigInvalid
from recon.formats.read_drive import FORMATS

SCHEME = "://"


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignDrive:
    """A drive as the service sees it."""

    path: str
    scene: str = ""
    content: str = ""  # digest of its files' names, sizes and times; "" where this machine does not see them

    @property
    def name(self) -> str:
        """Return what reports and groups call it."""
        return f"{self.path} {self.scene}".rstrip()


def find_drives(source: Path, drive_format: str) -> tuple[CampaignDrive, ...]:
    """Return the drives of a folder of drives or of a list, each once, by name; raises ConfigInvalid without any.

    A list has one path a line, relative to the list's folder, perhaps with the scene of a nuScenes data root after a
    tab. Empty lines and those that start with # count for nothing. Paths need not exist on this machine.
    """
    if source.is_dir():
        places = [(str(folder), "") for folder in _folders(source.resolve(), drive_format)]
        hint = "Name the folder that holds the folders of the drives, or a text file with one path a line."
    elif source.is_file():
        places = list(_lines(source))
        hint = "Write one path a line."
    else:
        hint = "For drives that only the service sees, write a text file with one path a line."
        raise ConfigInvalid("no such folder or list", where=str(source), hint=hint)
    if not places:
        raise ConfigInvalid("it holds no drive", where=str(source), hint=hint)
    return tuple(
        CampaignDrive(path=path, scene=scene, content=_content(path)) for path, scene in sorted(dict.fromkeys(places))
    )


def _folders(folder: Path, drive_format: str) -> Iterator[Path]:
    formats = [one for one in FORMATS if drive_format in ("auto", one.NAME)]
    for entry in folder.iterdir():
        if entry.is_dir() and any(one.detect(entry) for one in formats):
            yield entry.resolve()


def _lines(source: Path) -> Iterator[tuple[str, str]]:
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigInvalid("the list is no text in UTF-8", where=str(source)) from error
    for line in text.splitlines():
        path, _, scene = line.strip().partition("\t")
        if path and not path.startswith("#"):
            where = path if SCHEME in path else os.path.normpath(source.resolve().parent / path)
            yield where, scene.strip()


@cache
def _content(path: str) -> str:
    """Return a digest that changes when a file of the drive is added, removed or written."""
    if SCHEME in path or not Path(path).exists():
        return ""
    digest = hashlib.sha256()
    for name, size, time_ns in sorted(_files(Path(path), "")):
        digest.update(f"{name}\0{size}\0{time_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files(folder: Path, before: str) -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of every file in a folder; folders behind links are not looked into."""
    try:
        entries = list(os.scandir(folder)) if folder.is_dir() else []
    except OSError:
        return  # the service reports what cannot be read
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), f"{before}{entry.name}/")
        else:
            with suppress(OSError):
                status = entry.stat()
                yield f"{before}{entry.name}", status.st_size, status.st_mtime_ns
