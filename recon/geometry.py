"""Rigid transforms, rotations and the local tangent plane.

A transform is a (4, 4) float64 matrix named `a_from_b`; products cancel: `a_from_b @ b_from_c`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from recon import transverse_mercator
from recon.arrays import F64

EARTH_RADIUS_M = 6_378_137.0  # WGS84 semi-major axis
LOCAL_FRAME_LIMIT_M = 50_000.0


def transform(rotation: npt.ArrayLike, translation: npt.ArrayLike) -> F64:
    """Return the (4, 4) transform of a (3, 3) rotation and a (3,) translation in metres."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = translation
    return matrix


def invert(a_from_b: F64) -> F64:
    """Return `b_from_a` of rigid transforms (..., 4, 4)."""
    rotation = np.swapaxes(a_from_b[..., :3, :3], -1, -2)
    result = np.zeros_like(a_from_b)
    result[..., :3, :3] = rotation
    result[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, a_from_b[..., :3, 3])
    result[..., 3, 3] = 1.0
    return result


def apply(a_from_b: F64, points_b: npt.NDArray[np.floating]) -> F64:
    """Return points (..., 3) of frame b in frame a, for one transform (4, 4)."""
    result: F64 = points_b @ a_from_b[:3, :3].T + a_from_b[:3, 3]
    return result


def rotation_from_quaternion(wxyz: npt.ArrayLike) -> F64:
    """Return the (3, 3) rotation of a unit quaternion in w, x, y, z order."""
    w, x, y, z = np.asarray(wxyz, dtype=np.float64)
    matrix: F64 = Rotation.from_quat([x, y, z, w]).as_matrix()
    return matrix


def quaternion_from_rotation(rotation: npt.ArrayLike) -> F64:
    """Return the unit quaternion (4,) of a (3, 3) rotation in w, x, y, z order, with w not negative."""
    quaternion: F64 = Rotation.from_matrix(np.asarray(rotation, dtype=np.float64)).as_quat(canonical=True)[[3, 0, 1, 2]]
    return quaternion


def rotation_from_euler(*, yaw_rad: float, pitch_rad: float = 0.0, roll_rad: float = 0.0) -> F64:
    """Return Rz(yaw) Ry(pitch) Rx(roll); positive pitch points the x axis down (z up frames)."""
    matrix: F64 = Rotation.from_euler("ZYX", [yaw_rad, pitch_rad, roll_rad]).as_matrix()
    return matrix


def yaw_of(world_from_ego: F64) -> float:
    """Return the heading in radians, 0 = east, counter-clockwise."""
    return float(np.arctan2(world_from_ego[1, 0], world_from_ego[0, 0]))


def rigid_fault(matrix: F64, *, tolerance: float = 1e-3) -> str:
    """Return what keeps a (4, 4) matrix from being a rigid transform, or an empty string."""
    if matrix.shape != (4, 4):
        return f"shape {matrix.shape}, expected (4, 4)"
    if not np.all(np.isfinite(matrix)):
        return "it holds NaN or infinity"
    if not np.allclose(matrix[3], (0.0, 0.0, 0.0, 1.0), atol=1e-9):
        return "its last row is not 0 0 0 1"
    rotation = matrix[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > tolerance:
        return f"its rotation is not orthonormal (error {error:.2g})"
    if np.linalg.det(rotation) < 0:
        return "its rotation is a reflection (determinant -1)"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoOrigin:
    """Where the local frame's zero lies on Earth: degrees (WGS84) and metres above the ellipsoid.

    Local metres are those of a transverse Mercator projection about the origin, true to scale there: x and y are east
    and north of the tangent plane to 3 mm where both stay within 5 km, and to 2.5 m at `LOCAL_FRAME_LIMIT_M`, beyond
    which points are refused. PROJ knows it as +proj=tmerc +lat_0 +lon_0 +k=1: rasters in metres and lines in degrees
    agree.
    """

    latitude_deg: float
    longitude_deg: float
    altitude_m: float = 0.0

    def __post_init__(self) -> None:
        if not (-85 <= self.latitude_deg <= 85 and -180 <= self.longitude_deg <= 180 and np.isfinite(self.altitude_m)):
            raise ValueError(f"origin {self.latitude_deg}, {self.longitude_deg} is no place on Earth's local frames")

    def _zero_m(self) -> F64:
        """Return the projected place of the origin, on its own meridian."""
        return transverse_mercator.metres_of(np.array([0.0, self.latitude_deg]))

    def to_degrees(self, xy_m: npt.NDArray[np.floating]) -> F64:
        """Return (..., 2) longitude, latitude in degrees of local east, north metres; ValueError when too far."""
        if xy_m.size and float(np.abs(xy_m).max()) > LOCAL_FRAME_LIMIT_M:
            raise ValueError(f"a point lies more than {LOCAL_FRAME_LIMIT_M / 1000:.0f} km from the origin")
        degrees = transverse_mercator.degrees_of(xy_m + self._zero_m())
        result: F64 = degrees + np.array([self.longitude_deg, 0.0])
        return result

    def to_metres(self, lonlat_deg: npt.NDArray[np.floating]) -> F64:
        """Return (..., 2) local east, north metres of longitude, latitude in degrees."""
        result: F64 = transverse_mercator.metres_of(lonlat_deg - np.array([self.longitude_deg, 0.0])) - self._zero_m()
        return result
