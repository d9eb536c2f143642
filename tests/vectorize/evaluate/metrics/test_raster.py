from __future__ import annotations

import cv2
import numpy as np
import pytest
from lines import box, element, random_elements

from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics import raster
from vectorize.evaluate.metrics.areas import is_area
from vectorize.evaluate.metrics.raster import iou_matrix, rasterize

CONFIG = EvaluateConfig()
CANVAS = (60.0, 30.0)


def stamps(elements, canvas=CANVAS):
    return [rasterize(e, CONFIG, canvas_m=canvas, area=is_area(e)) for e in elements]


def slow_mask(e):
    """Draw the element on the whole canvas of 480 x 240 pixels of 0.125 m."""
    canvas = np.zeros((240 + 400, 480 + 400), np.uint8)
    px = (np.floor(e.vertices[:, :2] / 0.125) + [240 + 200, 120 + 200]).astype(np.int32)
    cv2.polylines(canvas, [px], e.closed, 1, 1)
    if is_area(e):
        cv2.fillPoly(canvas, [px], 1)
    return cv2.dilate(canvas, np.ones((5, 5), np.uint8))[200:440, 200:680] > 0


def test_drawings_agree_with_whole_canvases():
    generator = np.random.default_rng(2)
    elements = [
        *random_elements(generator, 6),
        *random_elements(generator, 4, closed=True, name="ped_crossing"),
        *random_elements(generator, 2, closed=True, name="boundary"),
        element([[25, 10], [40, 20]]),  # leaves the canvas
    ]
    masks = [slow_mask(e) for e in elements]
    slow = [[(a & b).sum() / max(1, (a | b).sum()) for b in masks] for a in masks]
    assert iou_matrix(stamps(elements), stamps(elements)) == pytest.approx(np.array(slow))


def test_shifted_lines_by_hand():
    # 10 m along x: 81 + 4 columns, 5 rows. Shifted by 0.25 m = 2 pixels: 3 of 7 rows are common.
    a, b = element([[0, 0], [10, 0]]), element([[0, 0.25], [10, 0.25]])
    (one,), (two,) = stamps([a]), stamps([b])
    assert len(one.index) == 85 * 5
    assert iou_matrix([one], [two])[0, 0] == pytest.approx(3 / 7)


def test_crossings_are_filled_and_islands_are_not():
    crossing = box(0, 0, 4, 4)
    island = element(crossing.vertices, name="boundary", closed=True)
    (filled,), (rim,) = stamps([crossing]), stamps([island])
    assert len(filled.index) == (33 + 4) ** 2
    assert len(rim.index) == (33 + 4) ** 2 - (33 - 6) ** 2


def test_a_long_line_drawn_in_parts_has_the_same_pixels(monkeypatch):
    line = element(np.stack([np.linspace(-300, 300, 60), 40 * np.sin(np.linspace(0, 9, 60))], axis=1))
    (whole,) = stamps([line], None)
    monkeypatch.setattr(raster, "LARGEST_PX", 2000)
    (parts,) = stamps([line], None)
    assert np.array_equal(whole.index, parts.index)


def test_an_element_outside_the_canvas_overlaps_nothing():
    outside = stamps([element([[100, 100], [110, 100]])])
    assert iou_matrix(outside, outside)[0, 0] == 0.0
