"""Predictions of all keyframes of a drive as one RoadMap: what agrees is averaged by score, what few saw is dropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.arrays import F64, I64, Bool
from recon.geo_origin import GeoOrigin
from recon.geometry import apply, invert
from training.mapper.merge.areas import Vote, fuse_areas
from training.mapper.merge.lines import Track, fuse_lines
from vectorize import polyline
from vectorize.evaluate.patch import corners_of
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.road_map import AREA_CLASSES, Element, ElementClass, RoadMap

LEAST_SUPPORT = 0.15  # mean score over the keyframes whose patch holds a place: fewer votes are noise
SHORTEST_M = 1.5
TOLERANCE_M = 0.1
SMOOTH_VERTICES = 2.0  # of half a metre: what the frames disagree on is no shape of the road


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
    lines = []
    for one in labels:
        mine = [e for e in one.elements if e.element_class == name]
        for element in sorted(mine, key=lambda e: -e.score):
            world = _world(element, one.world_from_ego, ground_z_ego_m)
            world = np.concatenate([world, world[:1]]) if element.closed else world
            if polyline.length_of(world) > SHORTEST_M:
                lines.append(Track.of(world, element.score))
    elements = []
    for track in fuse_lines(lines):
        support = np.minimum(track.weight / np.maximum(reached(track.vertices, labels, size_m), 1), 1.0)
        sure = np.flatnonzero(support >= LEAST_SUPPORT)
        if not len(sure):
            continue
        part = np.s_[sure[0] : sure[-1] + 1]  # weak ends are cut, a weak middle is not
        vertices, support, votes = track.vertices[part], support[part], track.votes[part]
        if polyline.length_of(vertices) < SHORTEST_M:
            continue
        vertices = polyline.smooth(vertices, SMOOTH_VERTICES)
        elements.append(_element(name, vertices, support, votes, closed=False))
    return elements


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
    kept = np.arange(len(vertices)) if closed else polyline.simplify(vertices, TOLERANCE_M)
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
