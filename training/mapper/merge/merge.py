"""Predictions of all keyframes of a drive as one RoadMap: what agrees is averaged by score, what few saw is dropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.arrays import F64, I64, Bool
from recon.geo_origin import GeoOrigin
from recon.geometry import apply, invert
from training.mapper.merge.areas import Vote, fuse_areas
from training.mapper.merge.lines import Track, fuse_lines
from training.mapper.merge.rings import LineVote, along, bridged, fuse_rings, is_closed, opened, with_parts
from vectorize import polyline
from vectorize.evaluate.patch import corners_of
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.road_map import AREA_CLASSES, Element, ElementClass, RoadMap

LEAST_SUPPORT = 0.15  # mean score over the keyframes whose patch holds a place: fewer votes are noise
SHORTEST_M = 1.5
TOLERANCE_M = 0.1
SMOOTH_VERTICES = 2.0  # of half a metre: what the frames disagree on is no shape of the road
RING_TOLERANCE_M = 0.05
SMOOTH_RING_VERTICES = 0.8  # of a quarter metre: more would shrink an island and round its corners


def merge(labels: LabelSet, ground_z_ego_m: float, origin: GeoOrigin | None = None) -> RoadMap:
    """Return the map of a drive from the elements of its keyframes (ego frame; heights: the vehicle's ground plane).

    The score of an element is its mean support: the sum of scores at a place over the keyframes that reach it.
    """
    size_m = (labels.length_m, labels.width_m)
    found: list[Element] = []
    for name in sorted({e.element_class for one in labels.labels for e in one.elements}):
        if name in AREA_CLASSES:
            found += _areas(labels.labels, name, ground_z_ego_m, size_m)
        else:
            found += _lines(labels.labels, name, ground_z_ego_m, size_m)
    return RoadMap(elements=tuple(found), origin=origin, trips=(labels.drive,))


def _lines(
    labels: Sequence[PseudoLabels], name: ElementClass, ground_z_ego_m: float, size_m: tuple[float, float]
) -> list[Element]:
    elements, lines = _rings(_line_votes(labels, name, ground_z_ego_m, size_m), labels, name, size_m)
    for track in fuse_lines(lines):
        support = np.minimum(track.weight / np.maximum(reached(track.vertices, labels, size_m), 1), 1.0)
        sure = np.flatnonzero(support >= LEAST_SUPPORT)
        if not len(sure):
            continue
        part = np.s_[sure[0] : sure[-1] + 1]  # weak ends are cut, a weak middle is not
        vertices, support, count = track.vertices[part], support[part], track.votes[part]
        if polyline.length_of(vertices) < SHORTEST_M:
            continue
        vertices = polyline.smooth(vertices, SMOOTH_VERTICES)
        elements.append(_element(name, vertices, support, count, closed=False))
    return elements


def _rings(
    votes: Sequence[LineVote], labels: Sequence[PseudoLabels], name: ElementClass, size_m: tuple[float, float]
) -> tuple[list[Element], list[Track]]:
    """Return the closed elements, and the lines that are left, in the order in which they are to be fused."""
    elements: list[Element] = []
    ends = [vote for vote in votes if not vote.closed]
    whole_lines: list[Track] = []
    weak_lines: list[Track] = []
    for ring in fuse_rings([vote for vote in votes if vote.closed]):
        beside = along(ring, ends)
        parts = [vote for vote, found in zip(ends, beside, strict=True) if found]
        whole = with_parts(ring, parts)
        support = np.minimum(whole.weight / np.maximum(reached(whole.vertices, labels, size_m), 1), 1.0)
        if not bridged(support >= LEAST_SUPPORT).all():
            weak_lines.append(opened(ring, parts))  # after all others: one false ring must not join two lines
            continue
        ends = [vote for vote, found in zip(ends, beside, strict=True) if not found]
        if is_closed(ring, parts):
            vertices = polyline.smooth(whole.vertices, SMOOTH_RING_VERTICES, closed=True)
            elements.append(_element(name, vertices, support, whole.votes, closed=True))
        else:
            whole_lines.append(opened(whole, parts))
    return elements, [*whole_lines, *(Track.of(vote.line, vote.score) for vote in ends), *weak_lines]


def _line_votes(
    labels: Sequence[PseudoLabels], name: ElementClass, ground_z_ego_m: float, size_m: tuple[float, float]
) -> list[LineVote]:
    votes = []
    for one in labels:
        patch = corners_of(one.world_from_ego, size_m)
        mine = [e for e in one.elements if e.element_class == name]
        for element in sorted(mine, key=lambda e: -e.score):
            world = _world(element, one.world_from_ego, ground_z_ego_m)
            if polyline.length_of(world, closed=element.closed) > SHORTEST_M:
                votes.append(LineVote(line=world, score=element.score, closed=element.closed, patch=patch))
    return votes


def _areas(
    labels: Sequence[PseudoLabels], name: ElementClass, ground_z_ego_m: float, size_m: tuple[float, float]
) -> list[Element]:
    votes = [
        Vote(
            ring=_world(element, one.world_from_ego, ground_z_ego_m),
            score=element.score,
            patch=corners_of(one.world_from_ego, size_m),
        )
        for one in labels
        for element in one.elements
        if element.element_class == name
    ]
    elements = []
    for area in fuse_areas(votes):
        reach = max(float(reached(area.ring.mean(axis=0, keepdims=True), labels, size_m)[0]), 1.0)
        support = min(area.weight / reach, 1.0)
        if support >= LEAST_SUPPORT:
            count = len(area.ring)
            elements.append(
                _element(name, area.ring, np.full(count, support), np.full(count, area.votes, np.int64), closed=True)
            )
    return elements


def reached(world: F64, labels: Sequence[PseudoLabels], size_m: tuple[float, float]) -> F64:
    """Return (N,) in how many keyframes' patches each world point (N, 3) lies."""
    half = np.array(size_m) / 2
    count = np.zeros(len(world))
    for one in labels:
        ego = apply(invert(one.world_from_ego), world)
        inside: Bool = np.all(np.abs(ego[:, :2]) <= half, axis=1)
        count += inside
    return count


def _world(element: Element, world_from_ego: F64, ground_z_ego_m: float) -> F64:
    ego = np.c_[element.vertices[:, :2], np.full(len(element.vertices), ground_z_ego_m)]
    return apply(world_from_ego, ego)


def _element(name: ElementClass, vertices: F64, support: F64, votes: I64, *, closed: bool) -> Element:
    kept = polyline.simplify(vertices, RING_TOLERANCE_M if closed else TOLERANCE_M, closed=closed)
    if closed and len(kept) < 3:  # a narrow island is no line
        kept = np.arange(len(vertices))
    count = len(kept)
    return Element(
        element_class=name,
        vertices=vertices[kept],
        seen=np.ones(count, bool),
        confidence=support[kept].astype(np.float32),
        score=float(support.mean()),
        closed=closed,
        views=np.minimum(votes[kept], 65535).astype(np.uint16),
        trips=np.ones(count, np.uint64),
    )
