"""Which drives of a fleet become one site: those that meet, directly or through others, as many as a job may hold.

Drives come as the JSON of the ground that each drove over, which the report of a label job holds, so that they are
grouped without a look at their files. All ground of the Earth lies on one plane here, on which areas are true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
import shapely.geometry

from recon.align.overlap import CROSSING_M2, ROAD_HALF_M, drive_area, meetings
from recon.arrays import F64
from recon.drive import DriveLog
from recon.errors import ConfigInvalid

WGS84, LOCAL = "wgs84", "local"
STEP_M = 2.0  # poses nearer to each other add nothing to the ground of a drive
SIMPLE_M = 0.5  # how far an outline may be off
EARTH_M = 6_371_007.0  # radius of the sphere with the surface of the Earth

Ground = dict[str, Any]


def ground_of(drive: DriveLog) -> Ground:
    """Return the road under the path of a drive as a GeoJSON MultiPolygon: degrees, or metres without an origin.

    The member `frame` is "wgs84" or "local".
    """
    poses = np.array([frame.world_from_ego for frame in drive.frames]).reshape(-1, 4, 4)
    steps = np.linalg.norm(np.diff(poses[:, :2, 3], axis=0), axis=1)
    _, kept = np.unique(np.floor(np.append(0.0, np.cumsum(steps)) / STEP_M)[: len(poses)], return_index=True)
    area = drive_area(poses[kept], beside_m=ROAD_HALF_M).simplify(SIMPLE_M)
    origin = drive.origin
    if origin is not None:
        area = shapely.transform(area, origin.to_degrees)
    shape = shapely.geometry.mapping(shapely.MultiPolygon(list(shapely.get_parts(area))))
    decimals = 2 if origin is None else 7
    return {
        "frame": LOCAL if origin is None else WGS84,
        "type": shape["type"],
        "coordinates": [
            [np.round(np.array(ring), decimals).tolist() for ring in polygon] for polygon in shape["coordinates"]
        ],
    }


def area_of(ground: Ground) -> shapely.Geometry:
    """Return the ground of a drive in square metres of one plane: Lambert's cylindrical projection of the Earth.

    That keeps areas, not shapes. Ground in local metres stays as it is.
    """
    area = shapely.make_valid(shapely.geometry.shape(ground))  # rounded vertices may let an outline touch itself
    return shapely.transform(area, _equal_area) if ground["frame"] == WGS84 else area


def _equal_area(lonlat_deg: F64) -> F64:
    longitude, latitude = np.radians(lonlat_deg.T)
    result: F64 = EARTH_M * np.stack([longitude, np.sin(latitude)], axis=1)
    return result


def groups(
    areas: Mapping[str, shapely.Geometry], *, most: int, least_m2: float = CROSSING_M2
) -> tuple[tuple[str, ...], ...]:
    """Return every drive in one group: drives that meet, directly or through others, are in the same one.

    A group of more than `most` drives is parted where its drives share least: of two that meet, those with the most
    shared ground are joined first, as long as the joined group is not too large. The order of `areas` does not matter.
    """
    if most < 1:
        raise ConfigInvalid(f"groups of {most} drives hold none", hint="Give a positive number.")
    names = sorted(areas)
    met = sorted(
        meetings([areas[n] for n in names], least_m2=least_m2), key=lambda m: (-m.shared_m2, m.first, m.second)
    )
    group = {i: [i] for i in range(len(names))}
    for one in met:
        first, second = group[one.first], group[one.second]
        if first is not second and len(first) + len(second) <= most:
            first, second = sorted((first, second), key=len)
            second += first
            group |= dict.fromkeys(first, second)
    distinct = {id(members): members for members in group.values()}.values()
    return tuple(sorted(tuple(names[i] for i in sorted(members)) for members in distinct))
