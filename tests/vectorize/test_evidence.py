from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from painter import Canvas, shifted, street

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.evidence import Evidence
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60), st.data())
def test_witnesses_are_those_of_the_points_half_way_to_the_neighbours(seed, count, data):
    random = np.random.default_rng(seed)
    grid = Grid(west_m=0.0, north_m=3.0, cell_m=1.0, width=4, height=3)
    views = random.integers(0, 5, grid.shape).astype(np.uint16)
    trips = np.where(views > 0, random.integers(1, 2**63, grid.shape, dtype=np.uint64), np.uint64(0))
    bev = replace(Canvas(grid).bev(), views=views, trips=trips)
    evidence = Evidence.of(bev, min_views=2)
    xy = random.uniform([-1, -1], [5, 4], (count, 2))  # some lie beyond the raster
    kept = np.array(sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)) | {0, count - 1}))
    mean, bits = evidence.views_and_trips(xy, kept)
    assert (mean.dtype, bits.dtype) == (np.uint16, np.uint64)
    known = evidence.is_known(xy)
    for i, vertex in enumerate(kept):
        ours, named = [], 0
        for point in range(count):
            # The nearer kept vertex; of two equally near ones the later.
            owner = max(kept, key=lambda k, point=point: (-abs(k - point), k))
            (row, column), inside = (found[0] for found in grid.cells(xy[[point]]))
            if owner == vertex and inside and known[point] == known[vertex]:
                ours.append(int(views[row, column]))
                named |= int(trips[row, column])
        assert abs(mean[i] - np.mean(ours or [0])) <= 0.5
        assert int(bits[i]) == named


def test_traced_elements_tell_which_trips_saw_them():
    canvas, centre = street(length_m=60.0)
    canvas.stroke(centre)
    canvas.area([[40, -5], [43, -5], [43, 5], [40, 5]], RoadClass.CROSSWALK)
    bev = canvas.bev()
    x = bev.grid.centres()[..., 0]
    # Two trips pass; the second turns off after 30 m, a third saw no more than the far kerb's end.
    trips = np.where(x < 30, 3, 1).astype(np.uint64) | np.where(x > 58, 4, 0).astype(np.uint64)
    views = np.where(x < 30, 12, 7).astype(np.uint16)
    road_map = trace(replace(bev, views=views, trips=trips), TraceConfig(), trips=["monday", "tuesday", "friday"])
    assert road_map.trips == ("monday", "tuesday", "friday")
    every = int(np.bitwise_or.reduce(trips, axis=None))
    for element in road_map.elements:
        assert not np.any(element.trips & ~np.uint64(every))
        assert np.all(element.views[element.seen] >= 7)
        assert np.all(element.views <= 12)
        assert np.all(element.trips[element.seen] & 1)
    (crossing,) = road_map.of("ped_crossing")
    assert crossing.trip_numbers == [0]
    assert crossing.views.tolist() == [7] * 4
    first = min(road_map.of("divider"), key=lambda e: e.vertices[:, 0].min())
    assert 0 in first.trip_numbers
    assert 1 in first.trip_numbers
    for kerb in road_map.of("boundary"):
        if np.ptp(kerb.vertices[:, 0]) > 40:
            assert kerb.trip_numbers == [0, 1, 2]


def test_nobody_saw_what_was_bridged_unseen():
    canvas, centre = street(length_m=60.0)
    canvas.stroke(shifted(centre, 1.0))
    x = canvas.grid.centres()[..., 0]
    canvas.hide((x > 28) & (x < 32))
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert np.array_equal(divider.views > 0, divider.seen)
    assert np.array_equal(divider.trips > 0, divider.seen)
    assert not divider.seen.all()
