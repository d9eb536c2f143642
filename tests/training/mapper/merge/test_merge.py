"""Noisy pieces of lines and areas, seen keyframe by keyframe, become the lines and areas they were cut from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from recon.geometry import rotation_from_euler, transform
from training.mapper.merge.merge import merge
from vectorize.config import CropConfig
from vectorize.evaluate.patch import TruthIndex
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.road_map import Element, ElementClass, RoadMap

CROP = CropConfig()


def element(name: ElementClass, vertices: np.ndarray, *, closed: bool = False, score: float = 0.8) -> Element:
    count = len(vertices)
    vertices = np.c_[vertices, np.zeros(count)]
    return Element(
        element_class=name,
        vertices=vertices,
        seen=np.ones(count, bool),
        confidence=np.ones(count, np.float32),
        score=score,
        closed=closed,
    )


def arc(radius_m: float) -> np.ndarray:
    angle = np.linspace(0.0, 120.0 / 80.0, 60)
    return np.stack([radius_m * np.sin(angle), 80.0 - radius_m * np.cos(angle)], axis=1)


ZEBRA = np.array([[30.0, 8.0], [34.0, 10.0], [30.5, 17.0], [26.5, 15.0]])


def world() -> RoadMap:
    lines = [element("divider", arc(80.0)), element("divider", arc(83.5)), element("boundary", arc(76.0))]
    return RoadMap(elements=(*lines, element("ped_crossing", ZEBRA, closed=True)))


def drive(road_map: RoadMap, random: np.random.Generator, noise_m: float) -> LabelSet:
    """Return the crops of a drive along the first divider; each element of each keyframe is moved by some noise."""
    truth, labels = TruthIndex(road_map), []
    for i in range(20):
        angle = 0.06 * i
        pose = transform(rotation_from_euler(yaw_rad=angle), [80.0 * np.sin(angle), 80.0 - 80.0 * np.cos(angle), 0.0])
        moved = []
        for one in truth.crop(pose, 0.0, CROP):
            flat = one.vertices[:, :2] + random.normal(0.0, noise_m, 2)
            kept = replace(one, vertices=flat)
            moved.append(kept.reversed() if random.random() < 0.5 else kept)
        order = random.permutation(len(moved)).tolist()
        labels.append(
            PseudoLabels(
                frame=i,
                time_ns=i,
                world_from_ego=pose,
                elements=tuple(moved[k] for k in order),
                known=np.ones((400, 200), bool),
            )
        )
    return LabelSet(drive="arc", labels=tuple(labels), length_m=60.0, width_m=30.0, mask_cell_m=0.15, provenance={})


@pytest.mark.parametrize("noise_m", [0.0, 0.15])
def test_a_drive_gives_the_lines_it_was_cut_from(noise_m: float) -> None:
    merged = merge(drive(world(), np.random.default_rng(4), noise_m), 0.0)
    counts = {name: len(merged.of(name)) for name in ("divider", "boundary", "ped_crossing")}
    assert counts == {"divider": 2, "boundary": 1, "ped_crossing": 1}
    for name, radii in (("divider", (80.0, 83.5)), ("boundary", (76.0,))):
        for radius in radii:
            middle = shapely.Point(arc(radius)[30])
            found = min(
                (shapely.LineString(e.vertices[:, :2]) for e in merged.of(name)),
                key=middle.distance,
            )
            inner = shapely.LineString(arc(radius)[6:50])
            assert shapely.hausdorff_distance(inner.intersection(found.buffer(1.0)), inner) < 0.5
            assert (
                max(found.distance(shapely.Point(p)) for p in inner.coords) < 0.12 + 1.2 * noise_m
            )  # simplified at 0.1 m
    crossing = shapely.Polygon(merged.of("ped_crossing")[0].vertices[:, :2])
    both = crossing.intersection(shapely.Polygon(ZEBRA)).area
    assert both / crossing.union(shapely.Polygon(ZEBRA)).area > 0.85
    assert 0.7 < merged.of("divider")[0].score <= 0.85


def test_what_one_keyframe_alone_saw_is_dropped() -> None:
    labels = drive(world(), np.random.default_rng(1), 0.05)
    ghost = element("divider", np.array([[-20.0, 12.0], [20.0, 12.0]]), score=0.6)
    ghosted = replace(labels.labels[8], elements=(*labels.labels[8].elements, replace(ghost, vertices=ghost.vertices)))
    labels = replace(labels, labels=(*labels.labels[:8], ghosted, *labels.labels[9:]))
    assert len(merge(labels, 0.0).of("divider")) == 2


def test_keyframes_without_elements_give_an_empty_map() -> None:
    far = RoadMap(elements=(element("divider", arc(80.0) + 900.0),))
    merged = merge(drive(far, np.random.default_rng(0), 0.0), 0.0)
    assert merged.elements == ()
    assert merged.trips == ("arc",)
