"""Views of an analytic street with banks, kerbs and grade, ray-cast exactly, for heights from images that agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.classes import RoadClass
from recon.drive import Camera, DriveLog, Frame
from recon.geometry import rotation_from_euler, transform
from recon.segment.frame_labels import Labels
from recon.views.views import View

CAMERA_Z_M = 1.5
ROAD_HALF_M, KERB_M = 6.0, 0.12
# Camera axes (x right, y down, z forward) in the ego frame (x forward, y left, z up).
EGO_FROM_FRONT = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
ALL_SIDES = (0.0, 60.0, -60.0, 120.0, -120.0, 180.0)
REACH_M = np.geomspace(1.0, 45.0, 90)


@dataclass(frozen=True, kw_only=True)
class Street:
    """A straight street along x; its height is told apart from the step at both kerbs."""

    grade: float = 0.0
    bank: float = 0.0  # metres up per metre north
    crown: float = 0.0  # metres down per metre from the middle
    verge: float = 0.0  # metres up per metre beyond the kerb
    kerb_m: float = KERB_M
    contrast: float = 25.0  # grey levels of the texture
    grain_m: tuple[float, ...] = (1.7, 0.6, 0.25)
    bare_lines: float = 0.0  # grey levels of a painted line in the middle and of the edges of the road

    def z(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return heights."""
        beyond = np.maximum(np.abs(y) - ROAD_HALF_M, 0.0)
        road = self.grade * x + self.bank * y - self.crown * np.minimum(np.abs(y), ROAD_HALF_M)
        return road + np.where(beyond > 0, self.kerb_m, 0.0) + self.verge * beyond

    def ids(self, y: np.ndarray) -> np.ndarray:
        """Return the RoadClass."""
        return np.where(np.abs(y) < ROAD_HALF_M, int(RoadClass.ROAD), int(RoadClass.OFF_ROAD)).astype(np.uint8)

    def grey(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return grey levels: value noise that is fixed to the ground."""
        total = np.zeros_like(x)
        for octave, size in enumerate(self.grain_m):
            a, b = x / size, y / size
            i, j = np.floor(a), np.floor(b)
            fa, fb = a - i, b - j

            def at(di: int, dj: int, i: np.ndarray = i, j: np.ndarray = j, octave: int = octave) -> np.ndarray:
                return np.modf(np.abs(np.sin((i + di) * 127.1 + (j + dj) * 311.7 + octave) * 43758.5453))[0] - 0.5

            near = (1 - fb) * ((1 - fa) * at(0, 0) + fa * at(1, 0))
            total += near + fb * ((1 - fa) * at(0, 1) + fa * at(1, 1))
        along = np.where(np.abs(y) < 0.15, 1.0, np.where(np.abs(y) > ROAD_HALF_M, -0.3, 0.0))
        return 110.0 + self.contrast * total + self.bare_lines * along


class Listed(list[View]):
    """Views in memory, with what `Views` offers beside."""

    @property
    def images(self) -> list[tuple[int, View]]:
        """Return trip and image of every view."""
        return [(view.trip, view) for view in self]

    def only(self, numbers: Iterable[int]) -> Listed:
        """Return some of the views."""
        return Listed(self[number] for number in numbers)

    def footprint(self, number: int, reach_m: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the box of the ground that a view shows."""
        return self[number].footprint(reach_m)


def pose(street: Street, x: float, y: float) -> np.ndarray:
    """Return world_from_ego on the road, pitched and rolled by it."""
    roll = float(np.arctan(street.bank - street.crown * np.sign(y)))
    turn = rotation_from_euler(yaw_rad=0.0, pitch_rad=-float(np.arctan(street.grade)), roll_rad=roll)
    return transform(turn, [x, y, float(street.z(np.array(x), np.array(y)))])


def views(
    street: Street,
    *,
    frames: int = 9,
    step_m: float = 2.5,
    y_m: float = -1.5,
    yaws_deg: Sequence[float] = ALL_SIDES,
    size: tuple[int, int] = (200, 112),
    exposures: Sequence[float] = (0.0,),
    noise: float = 1.5,
    down_deg: float = 8.0,
    camera_z_m: float = CAMERA_Z_M,
) -> tuple[DriveLog, Listed]:
    """Return the log of a drive along the street and what its cameras see."""
    width, height = size
    k = np.array([[0.7 * width, 0, width / 2], [0, 0.7 * width, height / 2], [0, 0, 1.0]])
    generator = np.random.default_rng(4)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1).reshape(-1, 3) @ np.linalg.inv(k).T
    cameras, found, logged = [], Listed(), []
    for number, yaw in enumerate(yaws_deg):
        turn = rotation_from_euler(yaw_rad=float(np.radians(yaw))) @ rotation_from_euler(
            yaw_rad=0.0, pitch_rad=float(np.radians(down_deg))
        )
        mount = transform(turn @ EGO_FROM_FRONT, [1.0, 0.0, camera_z_m])
        name = f"camera{number}"
        cameras.append(
            Camera(name=name, width_px=width, height_px=height, k=k, ego_from_camera=mount, distortion=np.zeros(0))
        )
    for frame in range(frames):
        world_from_ego = pose(street, step_m * frame, y_m)
        logged.append(Frame(time_ns=frame * 10**8, world_from_ego=world_from_ego, images=()))
        for number, camera in enumerate(cameras):
            world_from_camera = world_from_ego @ camera.ego_from_camera
            grey, ids = _cast(street, world_from_camera, rays)
            grey = grey * np.exp(exposures[number % len(exposures)]) + generator.normal(0.0, noise, grey.shape)
            rgb = np.repeat(np.clip(np.round(grey), 0, 255).astype(np.uint8).reshape(height, width, 1), 3, axis=2)
            found.append(
                View(
                    trip=0,
                    frame=frame,
                    camera=camera.name,
                    rgb=rgb,
                    labels=Labels.certain(ids.reshape(height, width)),
                    k=k,
                    world_from_camera=world_from_camera,
                    world_from_ego=world_from_ego,
                    ground_z_ego_m=0.0,
                )
            )
    drive = DriveLog(name="street", root=Path(), cameras=tuple(cameras), frames=tuple(logged), ground_z_ego_m=0.0)
    return drive, found


def _cast(street: Street, world_from_camera: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return grey levels and ids where rays (N, 3) first meet the street."""
    origin = world_from_camera[:3, 3]
    direction = rays @ world_from_camera[:3, :3].T
    direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    grey, ids = np.full(len(rays), 180.0), np.full(len(rays), int(RoadClass.BACKGROUND), dtype=np.uint8)
    down = np.flatnonzero(direction[:, 2] < 0.1)
    point = origin + direction[down, None] * REACH_M[:, None]
    below = point[..., 2] < street.z(point[..., 0], point[..., 1])
    hit = below.any(axis=1)
    first = np.maximum(below[hit].argmax(axis=1), 1)
    near, far = REACH_M[first - 1], REACH_M[first]
    way = direction[down[hit]]
    for _ in range(12):
        middle = 0.5 * (near + far)
        at = origin + way * middle[:, None]
        under = at[:, 2] < street.z(at[:, 0], at[:, 1])
        near, far = np.where(under, near, middle), np.where(under, middle, far)
    at = origin + way * far[:, None]
    grey[down[hit]], ids[down[hit]] = street.grey(at[:, 0], at[:, 1]), street.ids(at[:, 1])
    return grey, ids
