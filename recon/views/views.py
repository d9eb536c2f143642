"""The images of one or several trips: rectified, labelled and posed."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from recon.arrays import F64, I64, U8
from recon.drive import DriveLog
from recon.errors import ImageInvalid
from recon.files import check_unchanged, read_inside
from recon.geometry import invert
from recon.prefetch import prefetch
from recon.segment.frame_labels import FrameLabels, LabelledImage, Labels
from recon.sensors.image_file import decode_rgb
from recon.sensors.rectify import Rectifier
from recon.views.stands import stands

SURE_M = 20.0  # ground counts so far from any camera
PIXEL_M = 0.8  # and beyond, while a pixel on the ground is no longer: blurred far ground bends kerbs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """One rectified image with its labels and its place in the world."""

    trip: int
    frame: int
    camera: str
    rgb: U8  # (H, W, 3)
    labels: Labels  # (H, W)
    k: F64  # (3, 3)
    world_from_camera: F64  # (4, 4)
    world_from_ego: F64  # (4, 4)
    ground_z_ego_m: float

    @property
    def camera_from_world(self) -> F64:
        """Return the (4, 4) transform into the camera frame."""
        return invert(self.world_from_camera)

    @property
    def above_m(self) -> float:
        """Return the height of the camera above the road plane under the vehicle."""
        up = self.world_from_ego[:3, 2]
        ground = self.world_from_ego[:3, 3] + self.ground_z_ego_m * up
        return float(up @ (self.world_from_camera[:3, 3] - ground))

    def reach_m(self, most_m: float) -> float:
        """Return how far from the camera its ground counts."""
        return reach_of(float(self.k[1, 1]), self.above_m, most_m)

    def footprint(self, reach_m: float) -> tuple[F64, F64]:
        """Return the world box (two corners) of the ground that the image shows within reach."""
        height, width = self.labels.ids.shape
        return box_ahead(self.k, self.world_from_camera, width, height, reach_m)


def reach_of(focal_px: float, above_m: float, most_m: float) -> float:
    """Return how far ground counts, at most `most_m`: SURE_M, and on while a pixel is at most PIXEL_M long there.

    At distance d, a pixel of a camera h above the road covers d^2 / (h f) of it along the ray.
    """
    carried = float(np.sqrt(PIXEL_M * max(above_m, 0.0) * focal_px))
    return min(most_m, max(SURE_M, carried))


def box_ahead(k: F64, world_from_camera: F64, width_px: int, height_px: int, reach_m: float) -> tuple[F64, F64]:
    """Return the world box (two corners) of the ground that a camera can show within reach."""
    corners_px = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * [width_px, height_px]
    rays = np.c_[corners_px, np.ones(4)] @ np.linalg.inv(k).T @ world_from_camera[:3, :3].T
    flat = rays[:, :2] / np.linalg.norm(rays[:, :2], axis=1, keepdims=True)
    centre = world_from_camera[:2, 3]
    # A camera that points straight down has no direction ahead: its corner rays span the footprint.
    ahead = world_from_camera[:2, 2] / max(float(np.linalg.norm(world_from_camera[:2, 2])), 1e-9)
    # The far arc is spanned by the corner rays and the optical axis; the near end is the camera itself.
    tips = centre + np.r_[flat, ahead[None]] * reach_m
    points = np.r_[tips, centre[None]]
    return points.min(axis=0), points.max(axis=0)


def held_out(frame: int, every: int) -> bool:
    """Return whether a frame is held out of the fit when every n-th is (0: no frame)."""
    return every > 0 and frame % every == every - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trip:
    """One drive with the labels of its images."""

    drive: DriveLog
    labels: FrameLabels


class Views:
    """Reads the labelled images of one or several trips, one at a time."""

    def __init__(self, trips: Sequence[Trip], *, holdout_every: int = 0) -> None:
        self._trips = tuple(trips)
        self._faces = [{c.name: Rectifier.faces(c) for c in trip.drive.cameras} for trip in trips]
        self._paths = [{(i, image.camera): image for i, _, image in trip.drive.images()} for trip in trips]
        self.images: tuple[tuple[int, LabelledImage, int], ...] = tuple(  # trip, image, face of a wide fisheye
            (number, image, face)
            for number, trip in enumerate(trips)
            for image in trip.labels.images
            if not held_out(image.frame, holdout_every)
            for face in range(len(self._faces[number][image.camera]))
        )
        self._stand = self._stands()

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[View]:
        return (self.read(trip, image, face) for trip, image, face in self.images)

    def ahead(self, order: Iterable[int], *, workers: int) -> Iterator[View]:
        """Yield images in the given order; threads read the next ones while the caller works on one."""
        return prefetch((partial(self.read, *self.images[number]) for number in order), workers=workers)

    def only(self, numbers: Iterable[int]) -> Views:
        """Return the views of some of the images, in the given order."""
        part = copy.copy(self)
        chosen = list(numbers)
        part.images = tuple(self.images[number] for number in chosen)
        part._stand = self._stand[chosen]
        return part

    def looks(self) -> list[I64]:
        """Return the numbers of the images of every stand, in the order of their first images."""
        _, first, group = np.unique(self._stand, return_index=True, return_inverse=True)
        members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
        return [members[number] for number in np.argsort(first)] if len(self) else []

    def distinct(self) -> Views:
        """Return the first view of every stand."""
        return self.only(int(look[0]) for look in self.looks())

    def shares(self) -> F64:
        """Return the weight (len,) of each image: those of a stand weigh as much as one."""
        _, group, count = np.unique(self._stand, return_inverse=True, return_counts=True)
        return np.asarray(1.0 / count[group], dtype=np.float64)

    def shuffled(self, generator: np.random.Generator) -> list[int]:
        """Return the numbers of one image of every stand in a random order."""
        looks = self.looks()
        order = generator.permutation(len(looks))
        return [int(look[0] if len(look) == 1 else generator.choice(look)) for look in (looks[i] for i in order)]

    def _stands(self) -> I64:
        """Return the number (len,) of the stand of every image, over all trips and cameras."""
        result = np.zeros(len(self), dtype=np.int64)
        faces: dict[tuple[int, str, int], list[int]] = {}
        for number, (trip, image, face) in enumerate(self.images):
            faces.setdefault((trip, image.camera, face), []).append(number)
        for numbers in faces.values():
            poses = np.array([self._world_from_view(number) for number in numbers])
            result[numbers] = stands(poses) + result.max() + 1
        return result

    def _world_from_view(self, number: int) -> F64:
        trip, labelled, face = self.images[number]
        drive = self._trips[trip].drive
        pose = drive.frames[labelled.frame].pose_of(self._paths[trip][labelled.frame, labelled.camera])
        view = self._faces[trip][labelled.camera][face]
        return pose @ drive.camera(labelled.camera).ego_from_camera @ view.camera_from_view

    def footprint(self, number: int, reach_m: float) -> tuple[F64, F64]:
        """Return the world box (two corners) of the ground that an image shows within reach, without reading it."""
        trip, labelled, face = self.images[number]
        view = self._faces[trip][labelled.camera][face]
        return box_ahead(view.k, self._world_from_view(number), *view.size_px, reach_m)

    def read(self, trip: int, labelled: LabelledImage, face: int = 0) -> View:
        """Return one image, or one face of it.

        Raises ImageInvalid when the file changed since the drive was read, or does not decode.
        """
        drive, labels = self._trips[trip].drive, self._trips[trip].labels
        image = self._paths[trip][labelled.frame, labelled.camera]
        frame = drive.frames[labelled.frame]
        camera = drive.camera(labelled.camera)
        where = f"frame {labelled.frame}, {labelled.camera}: {image.path}"
        where = f"{drive.name}, {where}" if len(self._trips) > 1 else where
        data = read_inside(drive.root, image.path, where=where, kind=ImageInvalid)
        check_unchanged(data, image.sha256, where=where, kind=ImageInvalid)
        rgb = decode_rgb(data, width_px=camera.width_px, height_px=camera.height_px, where=where)
        rectifier = self._faces[trip][labelled.camera][face]
        found = labels.read(labelled)
        pose = frame.pose_of(image)
        return View(
            trip=trip,
            frame=labelled.frame,
            camera=labelled.camera,
            rgb=rectifier.image(rgb),
            labels=Labels(
                ids=rectifier.ids(found.ids),
                confidence=rectifier.ids(found.confidence),
                runner_up=rectifier.ids(found.runner_up),
                runner_up_confidence=rectifier.ids(found.runner_up_confidence),
            ),
            k=rectifier.k,
            world_from_camera=pose @ camera.ego_from_camera @ rectifier.camera_from_view,
            world_from_ego=pose,
            ground_z_ego_m=drive.ground_z_ego_m,
        )
