"""The entry to all true maps: a drive with a true map, a true map file, or a map that Roadscribe wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from recon.artifact import digest_file
from recon.drive import DriveLog
from recon.errors import InputInvalid
from recon.files import read_inside
from recon.formats.read_drive import read_drive
from recon.geo_origin import GeoOrigin
from vectorize.road_map import RoadMap
from vectorize.truth.argoverse2_truth import read_argoverse2_truth
from vectorize.truth.geojson_reader import read_geojson
from vectorize.truth.json_object import read_json_object
from vectorize.truth.nuscenes_truth import read_nuscenes_truth
from vectorize.truth.true_map_reader import read_true_map

NO_MAP = "Leave out --truth: the reprojection error needs no map. Or name a true map of this place."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TruthFile:
    """A true map and what identifies it in a report."""

    road_map: RoadMap
    path: Path
    sha256: str
    seed: int | None = None  # of the demo city that wrote it, if known
    origin: GeoOrigin | None = None  # of its world frame, if known


def read_truth(path: Path, *, origin: GeoOrigin | None = None, scene: str = "") -> TruthFile:
    """Read a drive with a true map, a true map, a GeoJSON file or a result folder; `origin` is for degrees.

    `scene` chooses the scene of a nuScenes data root. Raises InputInvalid if the true map is missing or faulty.
    """
    if not path.exists():
        raise InputInvalid("the true map does not exist", where=str(path), hint="Name a drive folder or a true map.")
    seed = None
    if path.is_dir():
        if not any((path / name).is_file() for name in ("drive.json", "map.geojson")):
            return _of_data_set(path, scene)
        path, seed, own = _in_folder(path)
        origin = own or origin
    road_map = read_geojson(path, origin) if path.suffix == ".geojson" else read_true_map(path)
    return TruthFile(road_map=road_map, path=path, sha256=digest_file(path), seed=seed, origin=origin)


def truth_of(drive: DriveLog) -> RoadMap | None:
    """Return the true map of a drive of any format, in its world frame; None if it has none.

    Raises InputInvalid naming the file and the faulty element.
    """
    path = PurePosixPath(drive.true_map)
    if not drive.true_map:
        return None
    if path.name.startswith("log_map_archive_"):
        return read_argoverse2_truth(drive.root, drive.true_map)
    if path.parent.name == "expansion":
        return read_nuscenes_truth(drive)
    return replace(read_true_map(drive.root / drive.true_map), origin=drive.origin)


def _of_data_set(root: Path, scene: str) -> TruthFile:
    # The world frame of a data set's drive depends on its poses, so the whole drive is read.
    drive = read_drive(root, scene=scene, images_required=False)
    road_map = truth_of(drive)
    if road_map is None:
        raise InputInvalid("the drive has no true map", where=str(root), hint=NO_MAP)
    path = drive.root / drive.true_map
    return TruthFile(road_map=road_map, path=path, sha256=digest_file(path), origin=drive.origin)


def _in_folder(folder: Path) -> tuple[Path, int | None, GeoOrigin | None]:
    if (folder / "drive.json").is_file():
        drive = read_json_object(folder / "drive.json", what="the file")
        name = drive.get("true_map")
        if not name:
            raise InputInvalid("the drive has no true map", where=str(folder / "drive.json"), hint=NO_MAP)
        read_inside(folder.resolve(), name, where=f"{folder / 'drive.json'}: true_map", kind=InputInvalid)
        return folder / name, _seed(folder), drive_origin(folder)
    return folder / "map.geojson", None, None


def drive_origin(folder: Path) -> GeoOrigin | None:
    """Return the origin in drive.json of a drive folder, or None; no other file is read."""
    if not (folder / "drive.json").is_file():
        return None
    origin = read_json_object(folder / "drive.json", what="the file").get("origin")
    try:
        return GeoOrigin(**origin) if origin else None
    except (TypeError, ValueError) as error:
        raise InputInvalid(f"the origin is faulty: {error}", where=str(folder / "drive.json")) from error


def _seed(folder: Path) -> int | None:
    path = folder / "true_poses.json"
    seed = read_json_object(path, what="the file").get("seed") if path.is_file() else None
    return seed if isinstance(seed, int) else None
