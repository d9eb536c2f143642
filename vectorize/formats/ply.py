"""RoadSurface as PLY with the property names of 3D Gaussian splatting, which splat viewers open."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64
from recon.errors import ArtifactInvalid
from recon.surface.road_surface import RoadSurface
from vectorize.formats.exported_files import ExportedFiles

LOSES = (
    "classes, views, trips and view distances: the format holds only geometry, opacity and colour",
    "exposure: colours are written at unit exposure",
    "flatness: a surfel has no thickness; 1 mm is written, because viewers take the logarithm of three scales",
    "the frame: positions are the drive's local east-north-up metres, whatever its origin",
)
PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
SH_DEGREE_0 = 0.282_094_791_773_878_14  # 1 / (2 sqrt(pi)): colour = 0.5 + SH_DEGREE_0 * f_dc
THICKNESS_M = 1e-3


def write_ply(name: str, surface: RoadSurface) -> ExportedFiles:
    """Return `<name>.ply`, binary little endian: one vertex per surfel; scales are logarithms, opacity is a logit.

    Raises ArtifactInvalid for a surfel that is not finite.
    """
    xy = surface.grid.to_m(np.stack([surface.column + 0.5, surface.row + 0.5], axis=-1))
    scale, quaternion, normal = _ellipsoids(surface)
    table = np.column_stack(
        [
            *(xy, surface.z, normal, (surface.rgb.astype(np.float64) - 0.5) / SH_DEGREE_0),
            *(surface.opacity, np.log(scale), quaternion),
        ]
    ).astype("<f4")
    faulty = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if faulty.size:
        where = f"surfel {faulty[0]} of {surface.count}"
        raise ArtifactInvalid("a surfel of the surface is not finite", where=where, hint="Run the fit again.")
    header = ["ply", "format binary_little_endian 1.0", "comment Roadscribe; metres, x east, y north, z up"]
    header += [f"element vertex {surface.count}", *(f"property float {p}" for p in PROPERTIES), "end_header", ""]
    return ExportedFiles(files={f"{name}.ply": "\n".join(header).encode() + table.tobytes()})


def _ellipsoids(surface: RoadSurface) -> tuple[F64, F64, F64]:
    """Return scales (N, 3) metres, rotations (N, 4) w x y z and normals (N, 3) of the surfels.

    A surfel's footprint is an ellipse in plan with axes x and y; on its tilted plane the two are not perpendicular.
    So its covariance J diag(s^2) J^T, with J the columns (1, 0, tilt_x) and (0, 1, tilt_y), is decomposed: the two
    larger eigenvectors are the axes of the ellipse on the plane, the third is the normal.
    """
    count = surface.count
    if not count:
        return np.zeros((0, 3)), np.zeros((0, 4)), np.zeros((0, 3))
    tilt = surface.tilt.astype(np.float64)
    jacobian = np.zeros((count, 3, 2))
    jacobian[:, 0, 0] = jacobian[:, 1, 1] = 1.0
    jacobian[:, 2, :] = tilt
    spread = jacobian * np.exp(surface.log_scale.astype(np.float64))[:, None, :]
    covariance = spread @ spread.transpose(0, 2, 1)
    finite = np.isfinite(covariance.reshape(count, 9).sum(axis=1))
    values, vectors = np.linalg.eigh(np.where(finite[:, None, None], covariance, np.eye(3)))
    rotation = vectors[:, :, ::-1].copy()  # largest first, normal last
    rotation[:, :, 2] *= np.copysign(1.0, rotation[:, 2, 2])[:, None]
    rotation[:, :, 1] *= np.copysign(1.0, np.linalg.det(rotation))[:, None]
    scale = np.sqrt(np.maximum(values[:, ::-1], THICKNESS_M**2))
    scale[:, 2] = THICKNESS_M
    scale[~finite] = np.nan
    from scipy.spatial.transform import Rotation

    quaternion: F64 = Rotation.from_matrix(rotation).as_quat()[:, [3, 0, 1, 2]]
    return scale, quaternion, rotation[:, :, 2]
