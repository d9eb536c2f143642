"""The FrameLabels artifact: a class id and a confidence for every pixel of every image of a drive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from recon.arrays import F32, U8
from recon.artifact import read_manifest, write_atomic
from recon.classes import CLASS_COUNT, RoadClass
from recon.errors import ArtifactInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """The files of one image's labels, relative to the artifact folder."""

    frame: int  # index into DriveLog.frames
    camera: str
    ids: str  # PNG of RoadClass ids
    evidence: str  # PNG of three planes: confidence of that id, runner-up id, confidence of the runner-up


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """The labels of one image: for every pixel the two likeliest classes (H, W).

    The runner-up matters for thin objects. Distant paint is often the second class, after the road around it, and a
    surface fitted to the first class alone would lose it.
    """

    ids: U8  # RoadClass
    confidence: U8  # 0..255 = probability 0..1 of that id
    runner_up: U8  # RoadClass
    runner_up_confidence: U8

    @classmethod
    def certain(cls, ids: U8) -> Labels:
        """Return labels (H, W) without doubt, as precomputed id images are."""
        return cls(
            ids=ids,
            confidence=np.full_like(ids, 255),
            runner_up=np.full_like(ids, int(RoadClass.UNKNOWN)),
            runner_up_confidence=np.zeros_like(ids),
        )

    @classmethod
    def of_probability(cls, probability: F32) -> Labels:
        """Return the two likeliest classes of probabilities (CLASS_COUNT, H, W)."""
        shape = probability.shape[1:]
        best, second = np.full(shape, -np.inf, np.float32), np.full(shape, -np.inf, np.float32)
        ids, runner_up = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        # One pass over the planes; sorting them all would take longer than a small net. Of equals the first wins.
        for i, plane in enumerate(probability):
            wins, follows = plane > best, plane > second
            runner_up = np.where(wins, ids, np.where(follows, np.uint8(i), runner_up))
            second = np.where(wins, best, np.where(follows, plane, second))
            ids, best = np.where(wins, np.uint8(i), ids), np.where(wins, plane, best)
        value, next_value = (np.round(np.maximum(v, 0) * 255).clip(0, 255).astype(np.uint8) for v in (best, second))
        return cls(ids=ids, confidence=value, runner_up=runner_up, runner_up_confidence=next_value)


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
    movables: dict[str, Any] | None = None  # model, weights_sha256 and classes of the second net, if there is one

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
                movables=meta.get("movables"),
            )
        except (KeyError, TypeError) as error:
            raise ArtifactInvalid(f"the metadata do not fit FrameLabels: {error}", where=str(folder)) from error

    def read(self, image: LabelledImage) -> Labels:
        """Return the labels of one image; raises ArtifactInvalid when its files are damaged."""
        ids = cv2.imread(str(self.folder / image.ids), cv2.IMREAD_UNCHANGED)
        evidence = cv2.imread(str(self.folder / image.evidence), cv2.IMREAD_UNCHANGED)
        if ids is None or evidence is None or ids.ndim != 2 or evidence.shape != (*ids.shape, 3):
            raise ArtifactInvalid("a label image is damaged", where=str(self.folder / image.ids))
        if max(int(ids.max()), int(evidence[..., 1].max())) >= CLASS_COUNT:
            raise ArtifactInvalid("a label image holds an unknown class", where=str(self.folder / image.ids))
        planes = (np.ascontiguousarray(evidence[..., i], dtype=np.uint8) for i in range(3))
        confidence, runner_up, runner_up_confidence = planes
        return Labels(
            ids=np.ascontiguousarray(ids, dtype=np.uint8),
            confidence=confidence,
            runner_up=runner_up,
            runner_up_confidence=runner_up_confidence,
        )


def write_labels(labels: Labels, ids_path: Path, evidence_path: Path) -> None:
    """Write the two PNGs of one image; raises OSError when the disk is full."""
    evidence = np.stack([labels.confidence, labels.runner_up, labels.runner_up_confidence], axis=-1)
    for path, image in ((ids_path, labels.ids), (evidence_path, evidence)):
        ok, data = cv2.imencode(".png", image)
        if not ok:
            raise ValueError(f"labels of shape {image.shape} do not encode")
        write_atomic(path, data.tobytes())
