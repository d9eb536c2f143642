"""The artifacts of the stage `crop`: the labels of one keyframe, and those of all keyframes of a drive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from recon.arrays import F64, Bool
from recon.artifact import Parts
from vectorize.road_map import Element, pack_elements, unpack_elements


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PseudoLabels:
    """The labels of one keyframe, in its ego frame."""

    frame: int  # index into DriveLog.frames
    time_ns: int
    world_from_ego: F64  # (4, 4)
    elements: tuple[Element, ...]  # vertices (N, 3): x forward, y left, z up, metres
    known: Bool  # (h, w): row 0 is farthest forward, column 0 farthest left

    @property
    def coverage(self) -> float:
        """Return the known share of the patch, 0..1."""
        return float(self.known.mean())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelSet:
    """The labels of all keyframes of one drive."""

    kind: ClassVar[str] = "LabelSet"
    schema: ClassVar[int] = 2

    drive: str  # name
    labels: tuple[PseudoLabels, ...]
    length_m: float
    width_m: float
    mask_cell_m: float
    provenance: dict[str, Any]  # digests of the artifacts behind the labels, where the caller has them
    trips: tuple[str, ...] = ()  # names of the drives that made the map; bit t of a vertex's `trips` is the t-th

    @property
    def mask_shape(self) -> tuple[int, int]:
        """Return (h, w) of every `known` mask."""
        return mask_shape(self.length_m, self.width_m, self.mask_cell_m)

    def to_parts(self) -> Parts:
        """Take the labels apart; masks are packed to bits, row by row."""
        packed = pack_elements([e for one in self.labels for e in one.elements])
        meta = {
            "drive": self.drive,
            "length_m": self.length_m,
            "width_m": self.width_m,
            "mask_cell_m": self.mask_cell_m,
            "provenance": self.provenance,
            "trips": list(self.trips),
            "frames": [one.frame for one in self.labels],
            **packed.meta,
        }
        arrays = {
            **packed.arrays,
            "time_ns": np.array([one.time_ns for one in self.labels], dtype=np.int64),
            "world_from_ego": np.array([one.world_from_ego for one in self.labels]).reshape(-1, 4, 4),
            "element_count": np.array([len(one.elements) for one in self.labels], dtype=np.int64),
            "known_bits": np.packbits(
                np.array([one.known for one in self.labels], dtype=bool).reshape(-1, *self.mask_shape), axis=-1
            ),
        }
        return Parts(meta=meta, arrays=arrays)

    @classmethod
    def from_parts(cls, parts: Parts) -> Self:
        """Put the labels together again."""
        meta, arrays = parts.meta, parts.arrays
        shape = mask_shape(meta["length_m"], meta["width_m"], meta["mask_cell_m"])
        known = np.unpackbits(arrays["known_bits"], axis=-1, count=shape[1]).astype(bool)
        elements = unpack_elements(parts)
        ends = np.cumsum(arrays["element_count"]).tolist()
        labels = tuple(
            PseudoLabels(
                frame=frame,
                time_ns=int(arrays["time_ns"][i]),
                world_from_ego=arrays["world_from_ego"][i],
                elements=elements[ends[i] - int(arrays["element_count"][i]) : ends[i]],
                known=known[i],
            )
            for i, frame in enumerate(meta["frames"])
        )
        fields = {key: meta[key] for key in ("drive", "length_m", "width_m", "mask_cell_m", "provenance")}
        return cls(**fields, trips=tuple(meta["trips"]), labels=labels)


def mask_shape(length_m: float, width_m: float, cell_m: float) -> tuple[int, int]:
    """Return (h, w) of a mask: rows along the vehicle, columns across."""
    return max(1, round(length_m / cell_m)), max(1, round(width_m / cell_m))
