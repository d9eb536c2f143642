"""Argoverse 2's city frames: their place on Earth, and the height of the ground in them.

City coordinates are UTM metres relative to the city's origin, so their y axis is grid north, up to 1.4 degrees off true
north. The world of a log is true east-north-up with its zero at the first pose.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon.arrays import F32, F64, Bool
from recon.errors import DriveInvalid
from recon.files import read_inside
from recon.geo_origin import GeoOrigin, degrees_of, metres_of
from recon.geometry import rotation_from_euler, transform

# City code -> UTM zone, latitude and longitude of the city frame's zero, as in the data set's own API.
CITIES = {
    "ATX": (14, 30.27464237939507, -97.7404457407424),
    "DTW": (17, 42.29993066912924, -83.17555750783717),
    "MIA": (17, 25.77452579915163, -80.19656914449405),
    "PAO": (10, 37.416065, -122.13571963362166),
    "PIT": (17, 40.44177902989321, -80.01294377242584),
    "WDC": (18, 38.889377, -77.0355047439081),
}
_SCALE = 0.9996  # of UTM on its central meridian
_FALSE_EASTING = np.array([500_000.0, 0.0])
_HINT = "Restore the file as Argoverse 2 distributes it."


def utm_from_degrees(latitude_deg: float, longitude_deg: float, zone: int) -> F64:
    """Return easting and northing (m) of a place of the northern hemisphere (WGS84)."""
    metres = metres_of(np.array([longitude_deg - _meridian_deg(zone), latitude_deg]))
    result: F64 = _FALSE_EASTING + _SCALE * metres
    return result


def degrees_from_utm(utm_m: F64, zone: int) -> F64:
    """Return longitude and latitude (degrees) of easting and northing (m) on the northern hemisphere."""
    result: F64 = degrees_of((utm_m - _FALSE_EASTING) / _SCALE) + np.array([_meridian_deg(zone), 0.0])
    return result


def _meridian_deg(zone: int) -> float:
    return 6.0 * zone - 183.0


def place_world(city: str, city_zero_m: F64) -> tuple[F64, GeoOrigin | None]:
    """Return `world_from_city` (4, 4) and the origin of a world whose zero is the city point `city_zero_m` (3,).

    UTM's scale (0.04 % at most) is kept, because a pose is rigid. An unknown city keeps its own axes, and its
    world has no origin.
    """
    rotation, origin = np.eye(3), None
    if city in CITIES:
        zone, latitude, longitude = CITIES[city]
        zero = utm_from_degrees(latitude, longitude, zone) + city_zero_m[:2]
        lon, lat = degrees_from_utm(zero, zone)
        origin = GeoOrigin(latitude_deg=float(lat), longitude_deg=float(lon))
        # Grid north seen from true north: where a point 100 m up the grid lies.
        east, north = origin.to_metres(degrees_from_utm(zero + np.array([0.0, 100.0]), zone))
        rotation = rotation_from_euler(yaw_rad=float(-np.arctan2(east, north)))
    return transform(rotation, -rotation @ city_zero_m), origin


def map_archive(root: Path) -> str:
    """Return the path of the log's map archive relative to `root`; empty if there is no archive."""
    return _only(root, "log_map_archive_*.json")


def city_code(root: Path) -> str:
    """Return the city code in the map's file name (such as PIT); empty without a map."""
    return Path(map_archive(root)).stem.rpartition("____")[2].split("_")[0]


def _only(root: Path, pattern: str) -> str:
    found = sorted((root / "map").glob(pattern))
    if len(found) > 1:
        raise DriveInvalid(f"{len(found)} files match {pattern}", where=f"{root.name}/map", hint=_HINT)
    return f"map/{found[0].name}" if found else ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroundHeight:
    """The ground height raster of a log; Sim(2) maps city metres to its pixels."""

    height_m: F32  # (H, W) in the city frame, NaN outside the mapped area
    image_from_city: F64  # (3, 3): column, row of a city point

    def at(self, city_xy: F64) -> tuple[F64, Bool]:
        """Return heights (N,) in the city frame and whether each is known (0 where it is not)."""
        pixels = city_xy @ self.image_from_city[:2, :2].T + self.image_from_city[:2, 2]
        column, row = np.round(pixels).astype(np.int64).T
        inside = (column >= 0) & (row >= 0) & (column < self.height_m.shape[1]) & (row < self.height_m.shape[0])
        height = np.full(len(city_xy), np.nan)
        height[inside] = self.height_m[row[inside], column[inside]]
        known = np.isfinite(height)
        return np.where(known, height, 0.0), known


def read_ground_height(root: Path) -> GroundHeight | None:
    """Return the log's ground height, None if it has no such raster; DriveInvalid if one of its files is broken."""
    name, frame = _only(root, "*_ground_height_surface____*.npy"), _only(root, "*___img_Sim2_city.json")
    if not name:
        return None
    if not frame:
        raise DriveInvalid("the ground height has no *___img_Sim2_city.json", where=name, hint=_HINT)
    try:
        height = np.load(io.BytesIO(read_inside(root, name, where=name)), allow_pickle=False)
        if height.ndim != 2 or height.dtype.kind != "f":
            raise ValueError(f"{height.dtype} of shape {height.shape}")
    except (ValueError, EOFError, OSError) as error:
        raise DriveInvalid(f"the ground height does not parse: {error}", where=name, hint=_HINT) from error
    try:
        body: dict[str, Any] = json.loads(read_inside(root, frame, where=frame))
        scale = float(body["s"])
        image_from_city = np.eye(3)
        image_from_city[:2, :2] = scale * np.array(body["R"], dtype=np.float64).reshape(2, 2)
        image_from_city[:2, 2] = scale * np.array(body["t"], dtype=np.float64).reshape(2)
        if not (np.isfinite(image_from_city).all() and scale > 0):
            raise ValueError("a number is not finite")
    except (ValueError, TypeError, KeyError) as error:
        raise DriveInvalid(f"the raster's frame does not parse: {error}", where=frame, hint=_HINT) from error
    return GroundHeight(height_m=height.astype(np.float32), image_from_city=image_from_city)
