"""The RoadMap artifact: the vector map of one site in world metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from recon.artifact import Parts
from recon.geometry import GeoOrigin

ElementClass = Literal["divider", "ped_crossing", "boundary", "stop_line", "centerline"]
Style = Literal["solid", "dashed", "double", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Element:
    """One polyline or polygon of a map."""

    element_class: ElementClass
    vertices: npt.NDArray[np.float64]  # (N, 2 or 3) metres; a closed ring does not repeat its first vertex
    seen: npt.NDArray[np.bool_]  # (N,) whether the place of the vertex was observed
    confidence: npt.NDArray[np.float32]  # (N,) 0..1
    score: float  # 0..1, evidence of the whole element
    style: Style = "unknown"
    closed: bool = False

    def __post_init__(self) -> None:
        count = len(self.vertices)
        if self.vertices.ndim != 2 or self.vertices.shape[1] not in (2, 3) or count < (3 if self.closed else 2):
            raise ValueError(f"{self.element_class}: vertices of shape {self.vertices.shape} are no polyline")
        if self.seen.shape != (count,) or self.confidence.shape != (count,):
            raise ValueError(
                f"{self.element_class}: seen {self.seen.shape}, confidence {self.confidence.shape}, {count} vertices"
            )


def pack_elements(elements: Sequence[Element]) -> Parts:
    """Take elements apart into ragged arrays; all vertices become (N, 3), with NaN height where there is none."""
    vertices = [np.c_[e.vertices, np.full((len(e.vertices), 3 - e.vertices.shape[1]), np.nan)] for e in elements]
    meta = [
        {
            "element_class": e.element_class,
            "style": e.style,
            "closed": e.closed,
            "score": e.score,
            "dim": e.vertices.shape[1],
        }
        for e in elements
    ]
    arrays: dict[str, npt.NDArray[Any]] = {
        "vertices": np.concatenate([np.zeros((0, 3)), *vertices]),
        "seen": np.concatenate([np.zeros(0, bool), *(e.seen for e in elements)]),
        "confidence": np.concatenate([np.zeros(0, np.float32), *(e.confidence for e in elements)]),
        "offsets": np.cumsum([0, *(len(e.vertices) for e in elements)], dtype=np.int64),
    }
    return Parts(meta={"elements": meta}, arrays=arrays)


def unpack_elements(parts: Parts) -> tuple[Element, ...]:
    """Put elements together again."""
    arrays, offsets = parts.arrays, parts.arrays["offsets"]
    result = []
    for i, entry in enumerate(parts.meta["elements"]):
        span = slice(int(offsets[i]), int(offsets[i + 1]))
        fields = {key: entry[key] for key in ("element_class", "style", "closed", "score")}
        vertices = arrays["vertices"][span, : entry["dim"]]
        result.append(
            Element(**fields, vertices=vertices, seen=arrays["seen"][span], confidence=arrays["confidence"][span])
        )
    return tuple(result)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoadMap:
    """The vector map of one site."""

    kind: ClassVar[str] = "RoadMap"
    schema: ClassVar[int] = 1

    elements: tuple[Element, ...]
    origin: GeoOrigin | None = None

    def of(self, element_class: ElementClass) -> tuple[Element, ...]:
        """Return the elements of one class."""
        return tuple(e for e in self.elements if e.element_class == element_class)

    def to_parts(self) -> Parts:
        """Take the map apart."""
        parts = pack_elements(self.elements)
        return Parts(meta={**parts.meta, "origin": asdict(self.origin) if self.origin else None}, arrays=parts.arrays)

    @classmethod
    def from_parts(cls, parts: Parts) -> Self:
        """Put the map together again."""
        origin = GeoOrigin(**parts.meta["origin"]) if parts.meta["origin"] else None
        return cls(elements=unpack_elements(parts), origin=origin)
