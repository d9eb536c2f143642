"""The images of a drive as the fit sees them: rectified, labelled and posed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon.drive import DriveLog
from recon.errors import ImageInvalid
from recon.formats.contained import check_unchanged, read_inside
from recon.formats.image_file import decode_rgb
from recon.geometry import invert
from recon.rectify import Rectifier
from recon.segment.frame_labels import FrameLabels, LabelledImage, Labels

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """One rectified image with its labels and its place in the world."""

    frame: int
    camera: str
    rgb: U8  # (H, W, 3)
    labels: Labels  # (H, W)
    k: F64  # (3, 3)
    world_from_camera: F64  # (4, 4)
    world_from_ego: F64  # (4, 4)

    @property
    def camera_from_world(self) -> F64:
        """Return the (4, 4) transform into the camera frame."""
        return invert(self.world_from_camera)


def held_out(frame: int, every: int) -> bool:
    """Return whether a frame is left out of the fit when every n-th is (0: none)."""
    return every > 0 and frame % every == every - 1


class Views:
    """Reads the labelled images of one drive, one at a time."""

    def __init__(self, drive: DriveLog, labels: FrameLabels, *, holdout_every: int = 0) -> None:
        self._drive = drive
        self._labels = labels
        self._rectifiers = {camera.name: Rectifier.of(camera) for camera in drive.cameras}
        self._paths = {(i, image.camera): image for i, _, image in drive.images()}
        self.images = tuple(image for image in labels.images if not held_out(image.frame, holdout_every))

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[View]:
        return (self.read(image) for image in self.images)

    def read(self, labelled: LabelledImage) -> View:
        """Return one image; raises ImageInvalid when the file changed since the drive was read, or does not decode."""
        image = self._paths[labelled.frame, labelled.camera]
        frame = self._drive.frames[labelled.frame]
        camera = self._drive.camera(labelled.camera)
        where = f"frame {labelled.frame}, {labelled.camera}: {image.path}"
        data = read_inside(self._drive.root, image.path, where=where, kind=ImageInvalid)
        check_unchanged(data, image.sha256, where=where, kind=ImageInvalid)
        rgb = decode_rgb(data, width_px=camera.width_px, height_px=camera.height_px, where=where)
        rectifier = self._rectifiers[labelled.camera]
        labels = self._labels.read(labelled)
        pose = frame.pose_of(image)
        return View(
            frame=labelled.frame,
            camera=labelled.camera,
            rgb=rectifier.image(rgb),
            labels=Labels(
                ids=rectifier.ids(labels.ids),
                confidence=rectifier.ids(labels.confidence),
                runner_up=rectifier.ids(labels.runner_up),
                runner_up_confidence=rectifier.ids(labels.runner_up_confidence),
            ),
            k=rectifier.k,
            world_from_camera=pose @ camera.ego_from_camera,
            world_from_ego=pose,
        )
