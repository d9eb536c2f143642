"""Read a drive of any known format, or list everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from recon.drive import DriveLog
from recon.errors import ConfigInvalid, DriveInvalid, PathRefused, RoadscribeError
from recon.files import kept_open, real_folder
from recon.formats.argoverse2 import argoverse2
from recon.formats.drive_checks import check_drive
from recon.formats.drive_folder import drive_folder
from recon.formats.drive_problems import ParsedDrive, Problems
from recon.formats.kitti import kitti_raw
from recon.formats.nuscenes import nuscenes
from recon.progress import Tick, silent


class DriveFormat(Protocol):
    """The interface of a format's module. A module in FORMATS is available everywhere."""

    NAME: str

    def detect(self, path: Path) -> bool:
        """Return whether `path` holds a drive of this format, judging by file names only."""

    def parse(self, path: Path, problems: Problems) -> ParsedDrive | None:
        """Read poses and calibration, adding faults to `problems`; None if nothing can be used."""


FORMATS: tuple[DriveFormat, ...] = (drive_folder, kitti_raw, argoverse2, nuscenes)


def read_drive(
    path: Path,
    *,
    format: str = "auto",
    scene: str = "",
    sweeps: bool = False,
    tick: Tick = silent,
    images_required: bool = True,
) -> DriveLog:
    """Return the drive at `path` with the sha256 of every file it references.

    `scene` and `sweeps` choose from a nuScenes data root. Without `images_required` a log without images is read
    for its poses, LiDAR and true map. Raises the first problem found: DriveInvalid and its kinds, or PathRefused;
    ConfigInvalid for an unknown format or scene.
    """
    problems = Problems(strict=True)
    with _opened(path) as folder:
        parsed = _parse(folder, format, scene, sweeps, problems)
        if parsed is None:
            raise DriveInvalid(where=str(path))
        return check_drive(parsed, problems, tick, images_required=images_required)


def find_problems(
    path: Path, *, format: str = "auto", scene: str = "", sweeps: bool = False, tick: Tick = silent
) -> list[RoadscribeError]:
    """Return every problem of the drive at `path`, each with its frame. If the list is empty, `read_drive` succeeds.

    Of very many problems it holds the first ones, and last how many more there are.
    Raises ConfigInvalid for an unknown format or scene.
    """
    problems = Problems(strict=False)
    with _opened(path) as folder:
        parsed = _parse(folder, format, scene, sweeps, problems)
        if parsed is not None:
            check_drive(parsed, problems, tick)
    return problems.listed()


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """Keep the folder of a drive open, and yield its path without links."""
    folder = real_folder(path)
    with kept_open(folder) if folder.exists() else nullcontext():
        yield folder


def _parse(path: Path, name: str, scene: str, sweeps: bool, problems: Problems) -> ParsedDrive | None:
    try:
        source = _format(path, name)
        if source is nuscenes:
            return nuscenes.parse(path, problems, scene=scene, sweeps=sweeps)
        if scene or sweeps:
            hint = "--scene and --sweeps choose from a nuScenes data root."
            raise ConfigInvalid(f"the format {source.NAME} has no scenes", where=str(path), hint=hint)
        return source.parse(path, problems)
    except (DriveInvalid, PathRefused) as error:
        problems.add(error)
        return None
    except OSError as error:
        hint = "Check the folder and its permissions."
        problems.add(DriveInvalid(f"the drive cannot be read: {error.strerror}", where=str(path), hint=hint))
        return None


def _format(path: Path, name: str) -> DriveFormat:
    names = [source.NAME for source in FORMATS]
    if name != "auto" and name not in names:
        raise ConfigInvalid(f"unknown drive format {name!r}", hint=f"Known formats: auto, {', '.join(names)}.")
    if not path.exists():
        raise DriveInvalid("the folder does not exist", where=str(path), hint="Give the folder that holds the drive.")
    for source in FORMATS:
        if (name == "auto" and source.detect(path)) or name == source.NAME:
            return source
    hint = (
        "A drive folder holds drive.json, a KITTI raw drive oxts/data, an Argoverse 2 log city_SE3_egovehicle.feather,"
        " a nuScenes data root v1.0-.../sample_data.json."
        f" Known formats: {', '.join(names)}."
    )
    raise DriveInvalid("the drive format is not known", where=str(path), hint=hint)
