from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from painter import Canvas, street
from shapely import Polygon

from recon.artifact import Parts
from recon.classes import RoadClass
from recon.errors import Cancelled, NoRoadFound
from recon.grid import Grid
from vectorize.road_map import RoadMap
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


def test_a_zebra_becomes_one_polygon_of_its_outline():
    canvas, _ = street(heading_rad=0.0)
    for k in range(10):
        y = -5.0 + k
        canvas.area([(28, y), (32, y), (32, y + 0.5), (28, y + 0.5)], RoadClass.CROSSWALK)
    (crossing,) = trace(canvas.bev(), TraceConfig()).of("ped_crossing")
    assert crossing.closed
    truth = Polygon([(28, -5), (32, -5), (32, 4.5), (28, 4.5)])
    found = Polygon(crossing.vertices[:, :2])
    assert found.intersection(truth).area / found.union(truth).area > 0.93


def test_tracing_is_deterministic_and_survives_parts():
    canvas, centre = street(radius_m=50.0)
    canvas.dashes(centre)
    one, two = (trace(canvas.bev(), TraceConfig()).to_parts() for _ in range(2))
    assert one.meta == two.meta
    for name, array in one.arrays.items():
        assert np.array_equal(array, two.arrays[name])
    again = RoadMap.from_parts(Parts(meta=one.meta, arrays=one.arrays))
    assert [e.style for e in again.elements] == [e["style"] for e in one.meta["elements"]]


def test_vertices_carry_the_surface_height():
    canvas, centre = street()
    canvas.stroke(centre)
    for element in trace(canvas.bev(height_m=7.5), TraceConfig()).elements:
        assert element.vertices.shape[1] == 3
        assert np.allclose(element.vertices[:, 2], 7.5)


def test_no_road_is_an_error_of_its_own():
    canvas = Canvas(Grid(west_m=0, north_m=10, cell_m=0.1, width=100, height=100))
    with pytest.raises(NoRoadFound):
        trace(canvas.bev(), TraceConfig())
    bev = canvas.bev()
    with pytest.raises(NoRoadFound):
        trace(replace(bev, views=np.zeros_like(bev.views)), TraceConfig())


def test_a_road_without_paint_has_boundaries_only_and_cells_of_few_views_count_as_unseen():
    canvas, _ = street()
    road_map = trace(canvas.bev(), TraceConfig())
    assert not road_map.of("divider")
    assert road_map.of("boundary")
    with pytest.raises(NoRoadFound):
        trace(canvas.bev(), TraceConfig(min_views=21))


def test_cancelling_stops_the_stage():
    canvas, _ = street(length_m=20.0)

    def stop(done: int, total: int, unit: str = "") -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        trace(canvas.bev(), TraceConfig(), tick=stop)


def test_cells_that_no_image_saw_are_ignored_whatever_their_classes():
    canvas, centre = street(length_m=20.0, half_width_m=3.0)
    canvas.stroke(centre)
    x = canvas.grid.centres()[..., 0]
    canvas.hide(x > 10.0)
    bev = canvas.bev()
    # Whatever stands in unseen cells, paint included, means nothing.
    noise = np.random.default_rng(2).dirichlet(np.ones(bev.class_probability.shape[-1]), bev.grid.shape)
    lying = np.where(bev.seen[..., None], bev.class_probability, noise).astype(np.float16)
    one, two = trace(bev, TraceConfig()), trace(replace(bev, class_probability=lying), TraceConfig())
    assert len(one.elements) == len(two.elements) > 0
    for a, b in zip(one.elements, two.elements, strict=True):
        assert np.array_equal(a.vertices, b.vertices)
        assert a.vertices[a.seen, 0].max() < 10.3
