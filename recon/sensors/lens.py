"""The lens of a camera: where a ray falls in its image, and how far from the axis its model can be believed.

The polynomials of lens models are fitted within an image. Beyond it many turn back: with k1 = -0.3 alone, the distance
from the centre grows up to 46 degrees off the axis and then shrinks, so that rays from farther out land on pixels that
show other rays. A ray counts only before that fold, which lies where the Jacobian of the model first loses its sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import cv2
import numpy as np

from recon.arrays import F64, Bool
from recon.drive import Camera

WIDEST_RAD = np.arctan(8.0)  # 83 degrees: a pinhole's coordinates, tangents, grow without bounds at 90
WIDEST_FISHEYE_RAD = np.radians(110.0)  # lenses of 190 degrees with a margin
DIRECTIONS = 72  # around the axis, in which the fold is searched: tangential terms make it no circle
STEPS = 800  # from the axis outwards: an eighth of a degree
KEPT = 64  # lenses, by camera object: a point is projected more often than a lens is made
MARGIN_PX = 1.0  # before the fold: there one pixel shows rays from both of its sides


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lens:
    """A camera with the angle off the axis up to which its model is one to one, by direction around the axis."""

    camera: Camera
    fold_rad: F64  # (DIRECTIONS + 1,), from -pi to pi around the axis

    @classmethod
    @lru_cache(maxsize=KEPT)
    def of(cls, camera: Camera) -> Self:
        """Find the fold of a camera's model; without one the limit is the widest angle of the model."""
        widest = WIDEST_FISHEYE_RAD if camera.model == "fisheye" else WIDEST_RAD
        around = np.linspace(-np.pi, np.pi, DIRECTIONS + 1)
        if not np.any(camera.distortion):
            straight = np.pi / 2 if camera.model == "pinhole" else widest
            return cls(camera=camera, fold_rad=np.full(len(around), straight))
        angle = widest * np.arange(STEPS + 1) / STEPS
        uv = cls(camera=camera, fold_rad=np.full(len(around), np.inf))._pixels(polar_rays(angle[:, None], around))
        # Between neighbours of the polar net: the area that they span in the image turns negative behind the fold.
        outwards, sideways = np.diff(uv, axis=0)[:, :-1], np.diff(uv, axis=1)[1:]
        area = outwards[..., 0] * sideways[..., 1] - outwards[..., 1] * sideways[..., 0]
        folded = ~(area > 0)
        first = np.where(folded.any(axis=0), folded.argmax(axis=0), STEPS)
        first = np.minimum(np.r_[first, first[:1]], np.r_[first[-1:], first])  # a direction has two neighbours
        # Back from there to where the image is one pixel away from its fold.
        columns = np.arange(len(around))
        away = np.linalg.norm(uv - uv[first, columns], axis=-1)
        before = np.arange(STEPS + 1)[:, None] < first
        clear = (before & (away >= MARGIN_PX)).sum(axis=0)
        limit = np.where(first < STEPS, angle[np.maximum(clear - 1, 0)], widest)
        return cls(camera=camera, fold_rad=limit)

    def pixels(self, rays: F64) -> tuple[F64, Bool]:
        """Return the pixel (..., 2) of rays (..., 3) in the camera's frame, centres at +0.5, and which ones it shows.

        Rays at or behind the fold have no pixel; their coordinates are NaN.
        """
        away = np.hypot(rays[..., 0], rays[..., 1])
        angle = np.arctan2(away, rays[..., 2])
        around = np.linspace(-np.pi, np.pi, len(self.fold_rad))
        limit = np.interp(np.arctan2(rays[..., 1], rays[..., 0]), around, self.fold_rad)
        sharp = angle < limit
        uv = np.full((*rays.shape[:-1], 2), np.nan)
        if sharp.any():
            uv[sharp] = self._pixels(rays[sharp])
        size = (self.camera.width_px, self.camera.height_px)
        inside: Bool = sharp & np.all((uv >= 0) & (uv < size), axis=-1)
        return uv, inside

    def _pixels(self, rays: F64) -> F64:
        camera = self.camera
        if camera.model == "fisheye":
            # OpenCV's own function divides by z, which ends at 90 degrees. Source: OpenCV, module calib3d, fisheye.
            away = np.hypot(rays[..., 0], rays[..., 1])
            angle = np.arctan2(away, rays[..., 2])
            powers = angle[..., None] ** np.array([2, 4, 6, 8])
            radius = angle * (1.0 + powers @ camera.distortion)
            xy = rays[..., :2] * (radius / np.maximum(away, 1e-12))[..., None]
            result: F64 = xy @ camera.k[:2, :2].T + camera.k[:2, 2]
            return result
        shaped = np.ascontiguousarray(rays, dtype=np.float64).reshape(-1, 1, 3)
        found, _ = cv2.projectPoints(shaped, np.zeros(3), np.zeros(3), np.eye(3), camera.distortion)
        xy = found.reshape(*rays.shape[:-1], 2)
        result = xy @ camera.k[:2, :2].T + camera.k[:2, 2]  # OpenCV would leave the skew out
        return result


def polar_rays(angle: F64, around: F64) -> F64:
    """Return unit rays (..., 3) at an angle off the axis and a direction around it."""
    away = np.sin(angle)
    x, y, z = np.broadcast_arrays(away * np.cos(around), away * np.sin(around), np.cos(angle))
    result: F64 = np.stack([x, y, z], axis=-1)
    return result
