"""From a distorted camera image to the pinhole image that renderers and projections use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from recon.arrays import F32, F64, U8
from recon.classes import RoadClass
from recon.drive import Camera


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rectifier:
    """Resamples one camera's images to a pinhole camera of the same size; without distortion they stay as they are."""

    camera: Camera
    k: F64  # (3, 3) of the pinhole image, pixel centres at +0.5
    maps: tuple[F32, F32] | None  # (H, W) source column, row

    @classmethod
    def of(cls, camera: Camera) -> Rectifier:
        """Build the resampling maps of a camera."""
        if not np.any(camera.distortion):
            return cls(camera=camera, k=camera.k, maps=None)
        size = (camera.width_px, camera.height_px)
        shift = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # OpenCV puts pixel centres at integers
        module: Any = cv2.fisheye if camera.model == "fisheye" else cv2
        eye = np.eye(3)
        column, row = module.initUndistortRectifyMap(
            camera.k - shift, camera.distortion, eye, camera.k - shift, size, cv2.CV_32FC1
        )
        return cls(camera=camera, k=camera.k, maps=(column, row))

    def image(self, rgb: U8) -> U8:
        """Return the pinhole image (H, W, 3) of a camera image."""
        if self.maps is None:
            return rgb
        return np.asarray(cv2.remap(rgb, *self.maps, cv2.INTER_LINEAR), dtype=np.uint8)

    def ids(self, ids: U8) -> U8:
        """Return the pinhole labels (H, W) of a label image; pixels from outside it are UNKNOWN."""
        if self.maps is None:
            return ids
        border = int(RoadClass.UNKNOWN)
        warped = cv2.remap(ids, *self.maps, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=[border])
        return np.asarray(warped, dtype=np.uint8)


def pixel_rays(k: F64, shape: tuple[int, int]) -> F64:
    """Return (H, W, 3) directions through the pixel centres of a pinhole image in the camera frame, z = 1."""
    height, width = shape
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays: F64 = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(k).T
    return rays
