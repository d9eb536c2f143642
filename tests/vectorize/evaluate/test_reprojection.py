from __future__ import annotations

import numpy as np
import pytest

from recon.classes import RoadClass
from recon.drive import Camera
from recon.geometry import transform
from vectorize.evaluate.reprojection import CLASSES, ClassErrors, ground_rows, sample_points, target_pixels
from vectorize.road_map import Element, RoadMap

# A camera that looks straight down from 10 m: one pixel is 0.1 m, x forward is up in the image.
CAMERA = Camera(
    name="down",
    width_px=200,
    height_px=200,
    k=np.array([[100.0, 0, 100], [0, 100, 100], [0, 0, 1]]),
    ego_from_camera=transform([[0, -1, 0], [-1, 0, 0], [0, 0, -1]], (0.0, 0.0, 10.0)),
    distortion=np.zeros(0),
)


def element(name, vertices, *, closed=False, seen=True):
    vertices = np.c_[np.asarray(vertices, dtype=float), np.zeros(len(vertices))]
    count = len(vertices)
    flags = {"seen": np.full(count, seen), "confidence": np.ones(count, np.float32)}
    return Element(element_class=name, vertices=vertices, score=1.0, closed=closed, **flags)


def painted(*boxes):
    """Return road ids with (class, x0, y0, x1, y1) boxes in metres."""
    ids = np.full((200, 200), RoadClass.ROAD, np.uint8)
    for road_class, x0, y0, x1, y1 in boxes:
        rows = slice(round((10 - x1) * 10), round((10 - x0) * 10))
        ids[rows, round((10 - y1) * 10) : round((10 - y0) * 10)] = road_class
    return ids


def measured(elements, ids):
    errors = ClassErrors(RoadMap(elements=tuple(elements)))
    errors.add(ids, CAMERA, np.eye(4))
    return errors.record()


def test_each_class_meets_its_own_pixels():
    ids = painted(
        (RoadClass.LANE_MARKING, -9, 0, 9, 0.2),
        (RoadClass.STOP_LINE, 5, -4, 5.4, -1),
        (RoadClass.CROSSWALK, -6, -5, -2, -1),
        (RoadClass.OFF_ROAD, -10, 6, 10, 10),
    )
    record = measured(
        [
            element("divider", [[-8, 0.5], [8, 0.5]]),  # 0.3 m from the paint
            element("stop_line", [[5.2, -3.9], [5.2, -1.1]]),  # on it
            element("ped_crossing", [[-6.5, -5.5], [-1.5, -5.5], [-1.5, -0.5], [-6.5, -0.5]], closed=True),  # 0.5 m out
            element("boundary", [[-8, 5.0], [8, 5.0]]),  # a metre inside the road
        ],
        ids,
    )
    # Distances run from the middle of the pixel that holds the sample to that of the nearest one wanted.
    assert record["divider"]["median_px"] == pytest.approx(3, abs=1.01)
    assert record["stop_line"]["median_px"] == 0.0
    assert record["ped_crossing"]["median_px"] == pytest.approx(5, abs=1.01)
    assert record["boundary"]["median_px"] == pytest.approx(10, abs=1.01)
    assert all(record[name]["why"] == "" for name in CLASSES)


def test_of_two_lines_one_aside_half_of_the_samples_are_met():
    ids = painted((RoadClass.LANE_MARKING, -9, 0, 9, 0.2))
    record = measured([element("divider", [[-8, 0.1], [8, 0.1]]), element("divider", [[-8, 0.5], [8, 0.5]])], ids)
    assert record["divider"]["within_px"] == {"1": 0.5, "2": 0.5, "4": 1.0}
    assert record["divider"]["mean_px"] == pytest.approx(record["divider"]["p90_px"] / 2, abs=0.01)


def test_rows_of_the_ground_follow_from_the_camera():
    ahead = Camera(
        name="front",
        width_px=200,
        height_px=200,
        k=np.array([[100.0, 0, 100], [0, 100, 50], [0, 0, 1]]),
        ego_from_camera=transform([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (1.0, 0, 1.5)),
        distortion=np.zeros(0),
    )
    assert ground_rows(ahead, -0.3) == (50 + 100 * 1.8 / 20, 50 + 100 * 1.8 / 3)  # rows 59 to 110
    assert ground_rows(ahead, 2.0) == (33, 48)  # above the camera
    assert ground_rows(CAMERA, 0.0) == (0, 200)


def test_a_rim_against_the_unknown_is_none():
    ids = painted((RoadClass.OFF_ROAD, -10, 6, 10, 10), (RoadClass.UNKNOWN, -10, -10, 10, -6))
    rim = target_pixels(ids, "boundary")
    assert rim.any(axis=0).nonzero()[0].tolist() == [40]


def test_samples_behind_what_hides_the_road_do_not_count():
    ids = painted((RoadClass.LANE_MARKING, -9, 0, 9, 0.2), (RoadClass.UNKNOWN, 0, -10, 10, 10))
    record = measured([element("divider", [[-8, 0.1], [8, 0.1]])], ids)
    assert record["divider"]["samples"] == pytest.approx(16, abs=1)


def test_what_cannot_be_measured_says_why():
    record = measured([element("divider", [[-8, 0], [8, 0]])], painted())
    assert record["divider"]["median_px"] is None
    assert record["divider"]["images_without_pixels"] == 1
    assert "no held-out image shows a divider" in record["divider"]["why"]
    assert record["stop_line"]["why"] == "the map has no stop_line with seen vertices and heights"


def test_only_seen_stretches_are_sampled_and_rings_are_closed():
    ring = element("ped_crossing", [[0, 0], [4, 0], [4, 4], [0, 4]], closed=True)
    assert len(sample_points(RoadMap(elements=(ring,)), "ped_crossing")) == 32
    hidden = element("divider", [[0, 0], [4, 0]], seen=False)
    assert len(sample_points(RoadMap(elements=(hidden,)), "divider")) == 0
