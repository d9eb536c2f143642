"""The FrameLabels artifact: a class id and a confidence for every pixel of every image of a drive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from recon.artifact import read_manifest
from recon.classes import CLASS_COUNT
from recon.errors import ArtifactInvalid

U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """Where the labels of one image lie, relative to the artifact folder."""

    frame: int  # index into DriveLog.frames
    camera: str
    ids: str  # PNG of RoadClass ids
    confidence: str  # PNG, 0..255 = probability 0..1 of that id


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLabels:
    """Labels of a drive's images, read lazily: a drive's images do not fit in memory."""

    kind: ClassVar[str] = "FrameLabels"
    schema: ClassVar[int] = 1

    folder: Path
    images: tuple[LabelledImage, ...]
    model: str
    weights_sha256: str
    left_out: tuple[dict[str, Any], ...] = ()  # failure records of images that could not be segmented

    @classmethod
    def open(cls, folder: Path, *, verify: bool = True) -> FrameLabels:
        """Open a finished artifact folder; raises what `recon.artifact.read_manifest` raises."""
        meta = read_manifest(folder, kind=cls.kind, schema=cls.schema, verify=verify).meta
        try:
            return cls(
                folder=folder,
                images=tuple(LabelledImage(**entry) for entry in meta["images"]),
                model=meta["model"],
                weights_sha256=meta["weights_sha256"],
                left_out=tuple(meta["left_out"]),
            )
        except (KeyError, TypeError) as error:
            raise ArtifactInvalid(f"the metadata do not fit FrameLabels: {error}", where=str(folder)) from error

    def read(self, image: LabelledImage) -> tuple[U8, U8]:
        """Return RoadClass ids and confidence, both (H, W) u8, of one image."""
        ids = cv2.imread(str(self.folder / image.ids), cv2.IMREAD_UNCHANGED)
        confidence = cv2.imread(str(self.folder / image.confidence), cv2.IMREAD_UNCHANGED)
        if (
            ids is None
            or confidence is None
            or ids.shape != confidence.shape
            or ids.ndim != 2
            or ids.max() >= CLASS_COUNT
        ):
            raise ArtifactInvalid("a label image is damaged", where=str(self.folder / image.ids))
        return ids.astype(np.uint8, copy=False), confidence.astype(np.uint8, copy=False)
