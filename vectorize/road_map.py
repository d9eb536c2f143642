"""The RoadMap artifact: the vector map of one site in world metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from recon.arrays import F32, F64, I64, U16, U64, AnyArray, Bool
from recon.artifact import Parts
from recon.geo_origin import GeoOrigin

ElementClass = Literal["divider", "ped_crossing", "boundary", "stop_line", "centerline", "hatched"]
# Of a pair of one solid and one dashed line, the first word names the left one as the vertices run.
Style = Literal["solid", "dashed", "double", "solid_dashed", "dashed_solid", "unknown"]
MIRRORED: dict[Style, Style] = {"solid_dashed": "dashed_solid", "dashed_solid": "solid_dashed"}

AREA_CLASSES: tuple[ElementClass, ...] = ("ped_crossing", "hatched")  # closed ones are polygons, not lines

PER_VERTEX = ("seen", "confidence", "views", "trips")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Element:
    """One polyline or polygon of a map."""

    element_class: ElementClass
    vertices: F64  # (N, 2 or 3) metres; a closed ring does not repeat its first vertex
    seen: Bool  # (N,) whether the place of the vertex was observed
    confidence: F32  # (N,) 0..1
    score: float  # 0..1, evidence of the whole element
    style: Style = "unknown"
    closed: bool = False
    # Of the stretch half-way to the neighbours. They default to 0, for maps that were not made from images.
    views: U16 = field(default_factory=lambda: np.zeros(0, np.uint16))  # (N,) images that saw a cell of it, on average
    trips: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))  # (N,) bit t: trip t saw some cell of it

    def __post_init__(self) -> None:
        count = len(self.vertices)
        for name, kind in (("views", np.uint16), ("trips", np.uint64)):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.zeros(count, kind))
        if self.vertices.ndim != 2 or self.vertices.shape[1] not in (2, 3) or count < (3 if self.closed else 2):
            raise ValueError(f"{self.element_class}: vertices of shape {self.vertices.shape} are no polyline")
        shapes = {name: getattr(self, name).shape for name in PER_VERTEX}
        if any(shape != (count,) for shape in shapes.values()):
            raise ValueError(f"{self.element_class}: {count} vertices, and per vertex {shapes}")

    def take(self, order: slice | I64, *, closed: bool) -> Element:
        """Return the element with the vertices that `order` picks."""
        arrays = {name: getattr(self, name)[order] for name in ("vertices", *PER_VERTEX)}
        return replace(self, closed=closed, **arrays)

    def reversed(self) -> Element:
        """Return the same element walked from its last vertex: what was on its left is on its right then."""
        turned = self.take(np.s_[::-1], closed=self.closed)
        return replace(turned, style=MIRRORED.get(self.style, self.style))

    def at(self, where: F64, vertices: F64, *, closed: bool = False) -> Element:
        """Return new `vertices` (M, 2 or 3) that lie at `where` (M,) along this element, with what is known there.

        2.25 is a quarter of the way from vertex 2 to 3; beyond its last vertex a ring goes on to its first. Such a
        place was seen if both neighbours were, its confidence lies between theirs, views and trips are the nearer's.
        """
        low = np.floor(where).astype(np.int64)
        share, count = where - low, len(self.vertices)
        before, after = low % count, np.ceil(where).astype(np.int64) % count
        nearer = np.where(share < 0.5, before, after)
        return replace(
            self,
            vertices=vertices,
            seen=self.seen[before] & self.seen[after],
            confidence=((1 - share) * self.confidence[before] + share * self.confidence[after]).astype(np.float32),
            views=self.views[nearer],
            trips=self.trips[nearer],
            closed=closed,
        )

    @property
    def trip_numbers(self) -> list[int]:
        """Return the trips that saw some part of the element, ascending; `RoadMap.trips` has their names."""
        return numbers_of(int(np.bitwise_or.reduce(self.trips)))


def numbers_of(bits: int) -> list[int]:
    """Return the places of the bits that are set, ascending."""
    return [number for number in range(bits.bit_length()) if bits >> number & 1]


def pack_elements(elements: Sequence[Element]) -> Parts:
    """Take elements apart into ragged arrays; all vertices become (N, 3), with a NaN height where it is missing."""
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
    arrays: dict[str, AnyArray] = {
        "vertices": np.concatenate([np.zeros((0, 3)), *vertices]),
        "seen": np.concatenate([np.zeros(0, bool), *(e.seen for e in elements)]),
        "confidence": np.concatenate([np.zeros(0, np.float32), *(e.confidence for e in elements)]),
        "views": np.concatenate([np.zeros(0, np.uint16), *(e.views for e in elements)]),
        "trips": np.concatenate([np.zeros(0, np.uint64), *(e.trips for e in elements)]),
        "offsets": np.cumsum([0, *(len(e.vertices) for e in elements)], dtype=np.int64),
    }
    return Parts(meta={"elements": meta}, arrays=arrays)


def unpack_elements(parts: Parts) -> tuple[Element, ...]:
    """Put elements together again."""
    arrays, offsets = parts.arrays, parts.arrays["offsets"]
    result = []
    for i, entry in enumerate(parts.meta["elements"]):
        span = slice(int(offsets[i]), int(offsets[i + 1]))
        fields: dict[str, Any] = {key: entry[key] for key in ("element_class", "style", "closed", "score")}
        fields |= {name: arrays[name][span] for name in PER_VERTEX}
        vertices = arrays["vertices"][span, : entry["dim"]]
        result.append(Element(**fields, vertices=vertices))
    return tuple(result)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoadMap:
    """The vector map of one site."""

    kind: ClassVar[str] = "RoadMap"
    schema: ClassVar[int] = 2

    elements: tuple[Element, ...]
    origin: GeoOrigin | None = None
    trips: tuple[str, ...] = ()  # names of the drives that made the map; bit t of a vertex's `trips` is the t-th

    def __post_init__(self) -> None:
        every = max((int(e.trips.max()) for e in self.elements), default=0)
        if every >> len(self.trips):
            raise ValueError(f"a vertex was seen by trip {every.bit_length()}, and the map has {len(self.trips)} trips")

    def of(self, element_class: ElementClass) -> tuple[Element, ...]:
        """Return the elements of one class."""
        return tuple(e for e in self.elements if e.element_class == element_class)

    def to_parts(self) -> Parts:
        """Take the map apart."""
        parts = pack_elements(self.elements)
        origin = asdict(self.origin) if self.origin else None
        return Parts(meta={**parts.meta, "origin": origin, "trips": list(self.trips)}, arrays=parts.arrays)

    @classmethod
    def from_parts(cls, parts: Parts) -> Self:
        """Put the map together again."""
        origin = GeoOrigin(**parts.meta["origin"]) if parts.meta["origin"] else None
        return cls(elements=unpack_elements(parts), origin=origin, trips=tuple(parts.meta["trips"]))
