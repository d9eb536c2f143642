from __future__ import annotations

import numpy as np
import pytest
import shapely
from lines import box, element, random_elements

from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics.extent import distances_along, extent, size_of, total

CONFIG = EvaluateConfig()


def test_half_a_line_is_half_found_and_wholly_right():
    true, predicted = element([[0, 0], [20, 0]]), element([[0, 0.7], [10, 0.7]])
    sizes = extent([predicted], [true], CONFIG)
    assert (sizes.true, sizes.predicted) == pytest.approx((20.0, 10.0))
    # At 0.5 m nothing; at 1.0 m the line reaches sqrt(1 - 0.49) = 0.71 m beyond its end: one step of 0.5 m, whose
    # middle lies 0.25 m beyond, and not the next. At 1.5 m sqrt(2.25 - 0.49) = 1.33 m: three steps.
    assert sizes.found == pytest.approx([0.0, 10.5, 11.5])
    assert sizes.right == pytest.approx([0.0, 10.0, 10.0])


def test_a_line_in_pieces_is_as_good_as_one():
    true = element([[0, 0], [20, 0]])
    pieces = [element([[x, 0], [x + 5, 0]]) for x in (0, 5, 10, 15)]
    assert extent(pieces, [true], CONFIG).found == pytest.approx([20.0] * 3)


def test_areas_count_what_they_share():
    sizes = extent([box(2, 0, 6, 4)], [box(0, 0, 4, 4)], CONFIG)
    assert (sizes.true, sizes.predicted) == pytest.approx((16.0, 16.0))
    assert sizes.found == pytest.approx([8.0] * 3)
    # Twice the same ground is the same ground.
    assert extent([box(2, 0, 6, 4)] * 2, [box(0, 0, 4, 4)], CONFIG).predicted == pytest.approx(16.0)


def test_distances_are_those_of_shapely():
    generator = np.random.default_rng(8)
    side = [*random_elements(generator, 3), *random_elements(generator, 1, closed=True, name="boundary")]
    others = [*random_elements(generator, 3), *random_elements(generator, 1, closed=True, name="boundary")]
    xy, weight, away = distances_along(side, others, 0.25, 1.5)
    rings = [np.r_[e.vertices, e.vertices[:1]] if e.closed else e.vertices for e in others]
    slow = [min(shapely.LineString(r).distance(shapely.Point(p)) for r in rings) for p in xy]
    assert away == pytest.approx(np.where(np.array(slow) <= 1.5, slow, np.inf))
    assert 0.2 < np.isfinite(away).mean() < 1
    assert weight.sum() == pytest.approx(size_of(side))


def test_a_self_crossing_polygon_has_the_area_of_its_lobes():
    bow = element([[0, 0], [4, 4], [4, 0], [0, 4]], name="ped_crossing", closed=True)
    assert size_of([bow]) == pytest.approx(8.0)
    assert extent([bow], [box(0, 0, 4, 4)], CONFIG).found == pytest.approx([8.0] * 3)


def test_nothing_is_a_valid_extent():
    sizes = extent([], [], CONFIG)
    assert (sizes.true, sizes.predicted, sizes.found.tolist()) == (0.0, 0.0, [0.0] * 3)
    assert total([], CONFIG).true == 0
    assert extent([], [element([[0, 0], [1, 0]])], CONFIG).found.tolist() == [0.0] * 3
