"""Labels become points of equal distance and rasters of the cells that lines cross."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.errors import ArtifactInvalid
from training.data.targets import at, draw_lines, equal_distances, fill, map_targets
from training.model.config import ModelConfig
from vectorize.labels.class_ids import CLASS_TYPE

MODEL = ModelConfig(classes=("boundary", "divider", "ped_crossing"), points=5, bev_px=(40, 20))
INSIDE = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
LINES = st.lists(INSIDE, min_size=2, max_size=6, unique=True)


def vector(name, points, *, closed=False, **changes):
    count = len(points)
    fields = {"pts": points, "seen": [True] * count, "confidence": [1.0] * count, "closed": closed, "cls_name": name}
    return fields | changes


def record(*vectors, classes=CLASS_TYPE):
    return {"sample_token": "a sample", "classes": classes, "vectors": list(vectors)}


@settings(max_examples=50)
@given(LINES, st.integers(2, 30), st.booleans())
def test_points_lie_on_the_line_at_equal_distances(vertices, count, closed):
    line, closed = np.array(vertices), closed and len(vertices) > 2
    points = at(line, equal_distances(line, count, closed=closed))
    # The slow twin: shapely walks along the line.
    shape = shapely.LinearRing(line) if closed else shapely.LineString(line)
    steps = np.linspace(0, shape.length, count, endpoint=not closed)
    assert points == pytest.approx(shapely.get_coordinates([shape.interpolate(s) for s in steps]), abs=1e-9)


def test_a_ring_does_not_repeat_its_first_point_and_a_line_keeps_its_ends():
    square = vector("ped_crossing", [[0, 0], [4, 0], [4, 4], [0, 4]], closed=True)
    line = vector("divider", [[-10, 2], [10, 2]], seen=[True, False], confidence=[0.2, 1.0])
    targets = map_targets(record(line, square), MODEL)
    assert targets.classes.tolist() == [1, 2]
    assert targets.closed.tolist() == [False, True]
    ego = np.stack([MODEL.patch.to_ego(points.astype(np.float64)) for points in targets.points])
    assert ego[0] == pytest.approx(np.array([[-10, 2], [-5, 2], [0, 2], [5, 2], [10, 2]]), abs=1e-5)
    steps = np.linalg.norm(np.diff(np.r_[ego[1], ego[1][:1]], axis=0), axis=1)
    assert ego[1, 0] == pytest.approx([0, 0], abs=1e-5)
    assert np.array(steps).sum() < 16  # chords across corners
    assert ego[1, 1] == pytest.approx([3.2, 0], abs=1e-5)
    assert targets.seen[0] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert targets.confidence[0] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_classes_that_the_model_lacks_are_left_out_and_missing_ones_refused():
    stop = vector("stop_line", [[0, 0], [0, 3]])
    assert map_targets(record(stop), MODEL).points.shape == (0, 5, 2)
    with pytest.raises(ArtifactInvalid, match="without the model's classes divider"):
        map_targets(record(classes={"boundary": 2, "ped_crossing": 1}), MODEL)
    with pytest.raises(ArtifactInvalid, match="boundary"):  # the same name with another meaning
        map_targets(record(classes=CLASS_TYPE | {"boundary": 7}), MODEL)


@pytest.mark.parametrize(
    "faulty",
    [
        vector("divider", [[0, 0]]),
        vector("divider", [[0, 0], [float("nan"), 1]]),
        vector("divider", [[0, 0], [1, 1]], seen=[True]),
        vector("divider", [[0, 0, 0], [1, 1, 0]]),
        {"cls_name": "divider"},
    ],
)
def test_faulty_vectors_are_refused(faulty):
    with pytest.raises(ArtifactInvalid, match="faulty") as error:
        map_targets(record(faulty), MODEL)
    assert error.value.where == "a sample"


@settings(max_examples=40)
@given(LINES, st.booleans())
def test_lines_are_drawn_into_the_cells_that_they_cross(vertices, closed):
    line, shape = np.array(vertices), (12, 9)
    planes = np.zeros((2, *shape), np.uint8)
    draw_lines(planes, [line], np.array([1]), np.array([closed]))
    ring = np.r_[line, line[:1]] if closed else line
    cells = shapely.box(*np.meshgrid(np.arange(9), np.arange(12)), *np.meshgrid(np.arange(1, 10), np.arange(1, 13)))
    drawn = shapely.LineString(ring * (9, 12))
    touched = shapely.intersects(cells, drawn.buffer(1e-6))
    stretches = [shapely.LineString(ends) for ends in itertools.pairwise(ring * (9, 12))]
    crossed = np.max([shapely.length(shapely.intersection(cells, one)) for one in stretches], axis=0)
    assert not planes[0].any()
    assert not (planes[1].astype(bool) & ~touched).any()
    # A stretch may miss only a corner of a cell: a quarter of a cell in both directions.
    assert planes[1][crossed > 0.36].all()


def test_areas_cover_the_cells_whose_centres_they_hold():
    plane = np.zeros((10, 10), np.uint8)
    fill(plane, np.array([[0.22, 0.31], [0.58, 0.31], [0.58, 0.74], [0.22, 0.74]]))
    expected = np.zeros((10, 10), np.uint8)
    expected[3:7, 2:6] = 1
    assert plane[expected > 0].all()
    assert plane.sum() - expected.sum() <= 9  # OpenCV's polygons hold their border
    targets = map_targets(record(vector("ped_crossing", [[0, 0], [9, 0], [9, 9], [0, 9]], closed=True)), MODEL)
    island = map_targets(record(vector("boundary", [[0, 0], [9, 0], [9, 9], [0, 9]], closed=True)), MODEL)
    assert targets.bev[2].sum() > 1.3 * island.bev[0].sum()  # a closed boundary is a line
