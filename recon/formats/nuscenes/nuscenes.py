"""One scene of a nuScenes data root as a drive; see docs/datasets.md.

The world is the frame of nuScenes' map, whose zero is the map's south-western corner. Poses have z = 0, and roll and
pitch only in part; the ego frame lies on the ground below the rear axle.
"""

from __future__ import annotations

from pathlib import Path

from recon.drive import DriveLog, Frame
from recon.errors import ConfigInvalid, DriveInvalid, PathRefused
from recon.files import real_folder
from recon.formats.drive_problems import ParsedDrive, Problems
from recon.formats.nuscenes.json_tables import Row, rows
from recon.formats.nuscenes.scene_rows import SceneRows
from recon.geo_origin import GeoOrigin

NAME = "nuscenes"
# South-western corners of the maps, latitude and longitude, as the devkit documents them.
ORIGINS = {
    "boston-seaport": (42.336849169438615, -71.05785369873047),
    "singapore-onenorth": (1.2882100868743724, 103.78475189208984),
    "singapore-hollandvillage": (1.2993652317780957, 103.78217697143555),
    "singapore-queenstown": (1.2782562240223188, 103.76741409301758),
}


def detect(path: Path) -> bool:
    """Return whether `path` is a nuScenes data root."""
    return bool(_versions(path))


def _versions(path: Path) -> list[str]:
    return sorted(file.parent.name for file in path.glob("v*/sample_data.json"))


def parse(path: Path, problems: Problems, *, scene: str = "", sweeps: bool = False) -> ParsedDrive | None:
    """Read one scene; None if nothing can be used (then a problem was added).

    `scene` is a name such as scene-0061, or VERSION/NAME where several versions hold it; it may be empty if
    there is only one. `sweeps` adds the records between the keyframes. Raises ConfigInvalid for an unknown scene.
    """
    root = real_folder(path)
    try:
        tables = SceneRows.open(root, *_choose(root, scene))
        cameras, ego_from_lidar = tables.sensors()
        moments = tables.moments(sweeps)
    except (DriveInvalid, PathRefused) as error:
        problems.add(error)
        return None
    frames: list[Frame] = []
    places: list[str] = []
    for moment in moments:
        place = f"sample {moment.sample}" if moment.sample else f"sweep at {moment.time_ns} ns"
        try:
            frames.append(tables.frame(moment))
        except DriveInvalid as error:
            problems.add(error)
            continue
        places.append(place)
    origin = ORIGINS.get(tables.location)
    expansion = f"maps/expansion/{tables.location}.json"
    lidar = any(frame.lidar_path for frame in frames)
    drive = DriveLog(
        name=tables.name,
        root=root,
        cameras=cameras,
        frames=tuple(frames),
        ground_z_ego_m=0.0,
        origin=GeoOrigin(latitude_deg=origin[0], longitude_deg=origin[1]) if origin else None,
        lidar_format="f32x5" if lidar else "",
        ego_from_lidar=ego_from_lidar if lidar else None,
        true_map=expansion if (root / expansion).is_file() else "",
    )
    return ParsedDrive(drive=drive, places=tuple(places))


def _choose(root: Path, scene: str) -> tuple[str, Row]:
    """Return the version and the row of the requested scene, or of the only one."""
    wanted_version, _, wanted = scene.rpartition("/")
    found = [
        (version, row)
        for version in _versions(root)
        if wanted_version in ("", version)
        for row in rows(root, f"{version}/scene.json")
        if wanted in ("", row.text("name"), row.text("token"))
    ]
    if len(found) == 1:
        return found[0]
    names = [f"{version}/{row.text('name')}" for version, row in found or _all_scenes(root)]
    listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    message = f"{len(found)} scenes have the name {scene!r}" if scene else f"the data root holds {len(found)} scenes"
    raise ConfigInvalid(message, where=root.name, hint=f"Choose one with --scene: {listed or 'there are none'}.")


def _all_scenes(root: Path) -> list[tuple[str, Row]]:
    return [(version, row) for version in _versions(root) for row in rows(root, f"{version}/scene.json")]
