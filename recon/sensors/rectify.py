"""From a distorted camera image to the pinhole images that renderers and projections use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from recon.arrays import F32, F64, U8
from recon.classes import RoadClass
from recon.drive import Camera
from recon.sensors.lens import DIRECTIONS, STEPS, WIDEST_FISHEYE_RAD, Lens, polar_rays

WIDE_RAD = np.radians(60.0)  # half the field up to which one pinhole image shows all of a fisheye without much stretch
STEEPEST_ROAD = 0.17  # sine of 10 degrees: a face whose rays all rise more shows no ground
NOWHERE = -1e4  # source coordinate of a pixel that the lens does not show: remap fills it with its border value

# Rotations camera_from_view of the faces of a cube around a camera: ahead, right, left, down, up.
CUBE: tuple[F64, ...] = (
    np.eye(3),
    np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]),
    np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rectifier:
    """Resamples one camera's images to a pinhole camera; without distortion they stay as they are."""

    camera: Camera
    k: F64  # (3, 3) of the pinhole image, pixel centres at +0.5
    size_px: tuple[int, int]  # width and height of the pinhole image
    camera_from_view: F64  # (4, 4) rotation from the pinhole's frame
    maps: tuple[F32, F32] | None  # (H, W) source column, row

    @classmethod
    def of(cls, camera: Camera) -> Self:
        """Return the pinhole image with the camera's own axis, size and K; beyond the fold of the lens it is empty."""
        size = (camera.width_px, camera.height_px)
        if camera.model == "pinhole" and not np.any(camera.distortion):
            return cls(camera=camera, k=camera.k, size_px=size, camera_from_view=np.eye(4), maps=None)
        return cls._resampled(camera, camera.k, size, np.eye(3))

    @classmethod
    def faces(cls, camera: Camera) -> tuple[Self, ...]:
        """Return the pinhole images that together show the ground of the camera's whole field.

        One, except for a fisheye wider than a pinhole image can be: that one becomes the faces of a cube, with the
        resolution of the lens at its axis. Faces that show no ground are left out.
        """
        if camera.model != "fisheye" or _half_field(camera) <= WIDE_RAD:
            return (cls.of(camera),)
        half = round(float(np.sqrt(camera.k[0, 0] * camera.k[1, 1])))
        k = np.array([[half, 0.0, half], [0.0, half, half], [0.0, 0.0, 1.0]])
        made = [cls._resampled(camera, k, (2 * half, 2 * half), rotation) for rotation in CUBE]
        shown = tuple(face for face in made if face._shows_ground())
        return shown or (cls.of(camera),)

    @classmethod
    def _resampled(cls, camera: Camera, k: F64, size_px: tuple[int, int], rotation: F64) -> Self:
        rays = pixel_rays(k, size_px[::-1]) @ rotation.T
        uv, _ = Lens.of(camera).pixels(rays)
        source = np.where(np.isfinite(uv), uv - 0.5, NOWHERE).astype(np.float32)  # OpenCV's centres lie at integers
        turned = np.eye(4)
        turned[:3, :3] = rotation
        maps = (np.ascontiguousarray(source[..., 0]), np.ascontiguousarray(source[..., 1]))
        return cls(camera=camera, k=k, size_px=size_px, camera_from_view=turned, maps=maps)

    def _shows_ground(self) -> bool:
        rays = pixel_rays(self.k, self.size_px[::-1])
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        up = self.camera.ego_from_camera[2, :3] @ self.camera_from_view[:3, :3]
        shown = self.ids(np.ones((self.camera.height_px, self.camera.width_px), np.uint8)) > 0
        return bool((shown & (rays @ up < STEEPEST_ROAD)).any())

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


def _half_field(camera: Camera) -> float:
    """Return the largest angle off the axis, in radians, that the border of the image shows."""
    angle, around = np.linspace(0.0, WIDEST_FISHEYE_RAD, STEPS + 1), np.linspace(-np.pi, np.pi, DIRECTIONS + 1)
    inside = Lens.of(camera).pixels(polar_rays(angle[:, None], around))[1].any(axis=1)
    return float(angle[inside].max(initial=0.0))


def pixel_rays(k: F64, shape: tuple[int, int]) -> F64:
    """Return (H, W, 3) directions through the pixel centres of a pinhole image in the camera frame, z = 1."""
    height, width = shape
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays: F64 = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(k).T
    return rays
