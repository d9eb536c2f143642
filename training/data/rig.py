"""The geometry of cameras for a model: which pixel shows a bird's-eye cell, and which ray a feature cell looks along.

A lens of any model enters here and nowhere else. Lifting by the ground plane reads `cell_uv` (inverse perspective
mapping); lifting by depth (Philion and Fidler, "Lift, Splat, Shoot", 2020, section 3.1) reads `rays` and `origins`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import cv2
import numpy as np

from recon.arrays import F32, F64, Bool
from recon.drive import Camera
from recon.geometry import invert
from recon.segment.net_frame import NetFrame
from recon.sensors.lens import WIDEST_RAD, Lens
from recon.sensors.project import NEAR_M
from training.data.config import ModelShape

UNSEEN = -1.0  # coordinate of a cell that a camera does not show
EXACT_PX = 0.1  # by which a ray may miss its pixel: the polynomial of a lens is inverted by iteration
ROUNDS = 60  # of that iteration; each shrinks the error of a strong lens by a third at least
BORDER = 40  # pixels on half a side of an image, at which its widest ray is sought
SPARE_RAD = 0.01  # beyond them
KEPT_LENSES = 256
KEPT_RIGS = 256  # camera geometries: those of 40 synchronous rigs; a tenth of a gigabyte at the published sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraGeometry:
    """One camera at one pose in the ego frame, at the sizes of a model. Z heights, (Hb, Wb) cells, (h, w) features."""

    cell_uv: F32  # (Z, Hb, Wb, 2) where the cell's centre lies in the input, 0..1; UNSEEN where it does not
    rays: F32  # (h, w, 3) ego frame, to where features look, length 1 along the optical axis
    origin: F32  # (3,) camera centre in the ego frame, metres
    image_cells: Bool  # (h, w) feature cells that look at image


@dataclass(frozen=True, slots=True)
class _Lens:
    """What a lens is, as a key."""

    model: str
    size_px: tuple[int, int]
    k: bytes
    distortion: bytes

    @classmethod
    def of(cls, camera: Camera) -> Self:
        return cls(camera.model, (camera.width_px, camera.height_px), camera.k.tobytes(), camera.distortion.tobytes())


def camera_of(entry: Mapping[str, Any]) -> Camera:
    """Return the camera of an entry of `cameras` in a sample JSON."""
    return Camera(
        name=str(entry["name"]),
        width_px=int(entry["width_px"]),
        height_px=int(entry["height_px"]),
        k=np.array(entry["k"], dtype=np.float64),
        ego_from_camera=np.array(entry["ego_from_camera"], dtype=np.float64),
        distortion=np.array(entry["distortion"], dtype=np.float64),
        model=entry["model"],
    )


def camera_geometry(camera: Camera, ego_from_camera: F64, ground_z_ego_m: float, config: ModelShape) -> CameraGeometry:
    """Return the geometry of a camera whose pose (4, 4) in the keyframe's ego frame is `ego_from_camera`.

    That pose is not the calibrated one where the rig is not synchronous: the vehicle moved between keyframe and image.
    Equal cameras at equal poses share one result.
    """
    return _geometry(_Lens.of(camera), ego_from_camera.tobytes(), float(ground_z_ego_m), _shape_of(config))


@dataclass(frozen=True, slots=True)
class _Shape:
    """What of a model the geometry depends on, as a key."""

    image_px: tuple[int, int]
    feature_px: tuple[int, int]
    feature_shift_px: float
    bev_px: tuple[int, int]
    heights_m: tuple[float, ...]
    patch_m: tuple[float, float]


def _shape_of(config: ModelShape) -> _Shape:
    patch_m = (config.patch.length_m, config.patch.width_m)
    return _Shape(config.image_px, config.feature_px, config.feature_shift_px, config.bev_px, config.heights_m, patch_m)


@lru_cache(maxsize=KEPT_RIGS)
def _geometry(key: _Lens, pose: bytes, ground_z_ego_m: float, shape: _Shape) -> CameraGeometry:
    lens, frame = _lens(key), NetFrame.of(key.size_px, shape.image_px)
    ego_from_camera = np.frombuffer(pose, dtype=np.float64).reshape(4, 4)
    rays, shown = _feature_rays(key, shape)
    uv = _cell_uv(lens, _widest(key), frame, ego_from_camera, ground_z_ego_m, shape)
    return CameraGeometry(
        cell_uv=uv,
        rays=(rays @ ego_from_camera[:3, :3].T).astype(np.float32),
        origin=ego_from_camera[:3, 3].astype(np.float32),
        image_cells=shown,
    )


@lru_cache(maxsize=KEPT_LENSES)
def _lens(key: _Lens) -> Lens:
    # The fold of a lens takes some 10 ms to find, and the same lens comes back at every pose.
    camera = Camera(
        name="lens",
        width_px=key.size_px[0],
        height_px=key.size_px[1],
        k=np.frombuffer(key.k, dtype=np.float64).reshape(3, 3),
        ego_from_camera=np.eye(4),
        distortion=np.frombuffer(key.distortion, dtype=np.float64),
        model=key.model,  # type: ignore[arg-type]  # it comes from a Camera
    )
    return Lens.of(camera)


@lru_cache(maxsize=KEPT_LENSES)
def _widest(key: _Lens) -> float:
    """Return the cosine of the angle off the axis beyond which a lens shows nothing: of the farthest border pixel."""
    lens, (width, height) = _lens(key), key.size_px
    along = np.linspace(0.0, 1.0, 2 * BORDER + 1)
    ends = np.zeros_like(along), np.ones_like(along)
    sides = [np.c_[along, end] for end in ends] + [np.c_[end, along] for end in ends]
    border = np.concatenate(sides) * (width, height)
    rays = lens_rays(lens, border)
    again, _ = lens.pixels(rays)
    away = np.hypot(rays[:, 0], rays[:, 1])
    angle = np.arctan2(away, rays[:, 2])
    with np.errstate(invalid="ignore"):
        real = np.linalg.norm(again - border, axis=1) < EXACT_PX
    limit = float(angle.max()) if real.all() else float(lens.fold_rad.max())
    return float(np.cos(min(limit + SPARE_RAD, np.pi)))


def _cell_uv(
    lens: Lens, widest: float, frame: NetFrame, ego_from_camera: F64, ground_z_ego_m: float, shape: _Shape
) -> F32:
    rows, columns = shape.bev_px
    length_m, width_m = shape.patch_m
    x = (0.5 - (np.arange(rows) + 0.5) / rows) * length_m
    y = (0.5 - (np.arange(columns) + 0.5) / columns) * width_m
    z = ground_z_ego_m + np.array(shape.heights_m)
    turn, move = np.split(invert(ego_from_camera)[:3], [3], axis=1)
    # Cells are a product of three axes, so their coordinates are sums: no matrix is multiplied for each cell.
    parts = turn[:, :1] * x, turn[:, 1:2] * y, turn[:, 2:] * z + move
    right, down, depth = (
        (up[:, None, None] + along[:, None] + across).ravel() for along, across, up in zip(*parts, strict=True)
    )
    distance = np.sqrt(right * right + down * down + depth * depth)
    near = distance if lens.camera.model == "fisheye" else depth
    # Most cells lie outside the cone that the lens shows, and a lens takes long to compute.
    ahead = np.flatnonzero((near > NEAR_M) & (depth >= widest * distance))
    pixels, inside = _pixels(lens, np.stack([right[ahead], down[ahead], depth[ahead]], axis=-1))
    uv = np.full((len(depth), 2), UNSEEN, dtype=np.float32)
    net = _to_net(frame, pixels[inside]) / np.array(frame.net_px)
    uv[ahead[inside]] = net.astype(np.float32)
    return uv.reshape(len(z), rows, columns, 2)


def _pixels(lens: Lens, points: F64) -> tuple[F64, Bool]:
    """Return what `Lens.pixels` does of points ahead of the camera; a lens without distortion needs no search."""
    camera = lens.camera
    if camera.model == "fisheye" or np.any(camera.distortion):
        return lens.pixels(points)
    pixels = (points @ camera.k[:2].T) / points[:, 2:]
    inside: Bool = np.all((pixels >= 0) & (pixels < (camera.width_px, camera.height_px)), axis=1)
    return pixels, inside


def _to_net(frame: NetFrame, pixels: F64) -> F64:
    """Return pixels (N, 2) of the image as pixels of the net's input."""
    scale = np.array([frame.width / frame.image_px[0], frame.height / frame.image_px[1]])
    result: F64 = pixels * scale + (frame.left, frame.top)
    return result


@lru_cache(maxsize=KEPT_LENSES)
def _feature_rays(key: _Lens, shape: _Shape) -> tuple[F64, Bool]:
    """Return rays (h, w, 3) in the camera frame, z = 1, to where features look, and which ones are real.

    Rays farther off the axis than WIDEST_RAD have no useful length along it; they are zero, as those of padding.
    """
    lens, frame = _lens(key), NetFrame.of(key.size_px, shape.image_px)
    rows, columns = shape.feature_px
    centres = (
        (np.arange(columns) + 0.5) * shape.image_px[0] / columns,
        (np.arange(rows) + 0.5) * shape.image_px[1] / rows,
    )
    net = np.stack(np.meshgrid(*centres), axis=-1).reshape(-1, 2) + shape.feature_shift_px
    scale = np.array([frame.image_px[0] / frame.width, frame.image_px[1] / frame.height])
    pixels = (net - (frame.left, frame.top)) * scale
    shown = np.all((pixels >= 0) & (pixels < np.array(frame.image_px)), axis=1)
    rays = np.zeros((len(pixels), 3))
    if shown.any():
        found = lens_rays(lens, pixels[shown])
        again, inside = lens.pixels(found)
        miss = np.linalg.norm(again - pixels[shown], axis=1)
        angle = np.arctan2(np.hypot(found[:, 0], found[:, 1]), found[:, 2])
        with np.errstate(invalid="ignore"):
            real = inside & (miss < EXACT_PX) & (angle < WIDEST_RAD)
        rays[np.flatnonzero(shown)[real]] = found[real] / found[real, 2:]
        shown[np.flatnonzero(shown)[~real]] = False
    return rays.reshape(rows, columns, 3), shown.reshape(rows, columns)


def lens_rays(lens: Lens, pixels: F64) -> F64:
    """Return rays (N, 3) in the camera frame that fall on pixels (N, 2); beyond the fold of a lens they are wrong."""
    camera = lens.camera
    result: F64
    plane: F64 = np.c_[pixels, np.ones(len(pixels))] @ np.linalg.inv(camera.k).T
    if camera.model == "fisheye":
        radius = np.hypot(plane[:, 0], plane[:, 1])
        angles = np.linspace(0.0, float(lens.fold_rad.max()), 4096)
        radii = angles * (1.0 + angles[:, None] ** np.array([2, 4, 6, 8]) @ camera.distortion)
        rising = np.maximum.accumulate(radii)
        angle = np.interp(radius, rising, angles)
        side = np.sin(angle) / np.maximum(radius, 1e-12)
        result = np.c_[plane[:, 0] * side, plane[:, 1] * side, np.cos(angle)]
        return result
    if not np.any(camera.distortion):
        return plane
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ROUNDS, 1e-9)
    shaped = np.ascontiguousarray(plane[:, None, :2])
    found = cv2.undistortPoints(shaped, np.eye(3), camera.distortion, criteria=stop)
    result = np.c_[found.reshape(-1, 2), np.ones(len(plane))]
    return result
