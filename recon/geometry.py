"""Rigid transforms and rotations.

A transform is a (4, 4) float64 matrix named `a_from_b`; products cancel: `a_from_b @ b_from_c`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from recon.arrays import F64


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
