"""A site traced window by window is the site traced at once: the seams do not show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import painter
import pytest
import shapely

from recon.bev.bev_map import BevBlocks, BevMap
from recon.classes import RoadClass
from recon.drive import DriveLog, Frame
from recon.errors import NoRoadFound
from recon.geometry import rotation_from_euler, transform
from recon.grid import Grid
from vectorize.config import CropConfig
from vectorize.labels import known
from vectorize.labels.crop import crop
from vectorize.polyline import length_of
from vectorize.road_map import RoadMap
from vectorize.trace.trace import trace
from vectorize.trace.trace_site import trace_site
from vectorize.trace_config import TraceConfig
from vectorize.windows import cores_of, window

CONFIG = TraceConfig(guided_gap_m=0.0)  # windows then show 50 m more than their cores, not 60


@pytest.fixture(scope="module")
def bev() -> BevMap:
    canvas, centre = painter.street(radius_m=200.0, length_m=75.0)
    canvas.stroke(painter.shifted(centre, 3.0))
    canvas.dashes(painter.shifted(centre, -3.0))
    for middle in (0.3, 0.55):
        here = centre[round(middle * len(centre))]
        canvas.area(here + np.array([[-1.5, -4], [1.5, -4], [1.5, 4], [-1.5, 4]]), RoadClass.CROSSWALK)
    island = centre[round(0.8 * len(centre))] + 1.2 * np.stack(
        [np.cos(np.linspace(0, 2 * np.pi, 60)), np.sin(np.linspace(0, 2 * np.pi, 60))], axis=1
    )
    canvas.area(island, RoadClass.OFF_ROAD)
    return canvas.bev()


@pytest.fixture(scope="module")
def whole(bev: BevMap) -> RoadMap:
    return trace(bev, CONFIG)


def lines(road_map: RoadMap, name: str) -> shapely.Geometry:
    shapes = []
    for e in road_map.of(name):
        xy = np.concatenate([e.vertices, e.vertices[:1]]) if e.closed else e.vertices
        shapes.append(shapely.LineString(xy[:, :2]))
    return shapely.union_all(shapes)


@pytest.mark.parametrize("core_blocks", [9, pytest.param(4, marks=pytest.mark.slow)])
def test_windows_give_the_map_of_the_whole(bev: BevMap, whole: RoadMap, core_blocks: int) -> None:
    part = trace_site(BevBlocks.of(bev), CONFIG, core_blocks=core_blocks)
    for name in ("divider", "boundary", "ped_crossing", "stop_line"):
        one, other = whole.of(name), part.of(name)
        assert sorted((e.closed, e.style) for e in one) == sorted((e.closed, e.style) for e in other), name
        a, b = lines(whole, name), lines(part, name)
        # Each was simplified by itself, to 0.1 m of the line that both have in common.
        assert a.difference(b.buffer(2 * CONFIG.simplify_m)).length < 0.1, name
        assert b.difference(a.buffer(2 * CONFIG.simplify_m)).length < 0.1, name
    lengths = [sum(length_of(e.vertices) for e in m.of("divider")) for m in (whole, part)]
    assert lengths[1] == pytest.approx(lengths[0], rel=1e-3)
    scores = [np.mean([e.score for e in m.of("divider")]) for m in (whole, part)]
    assert scores[1] == pytest.approx(scores[0], abs=0.02)


def test_a_straight_line_over_many_windows_tells_of_every_trip_that_saw_some_of_it() -> None:
    canvas, centre = painter.street(length_m=75.0, half_width_m=3.0)
    canvas.stroke(centre)
    bev = canvas.bev()
    tens = (np.clip(bev.grid.centres()[..., 0], 0, 74) // 10).astype(np.int64)
    seen = replace(bev, trips=(1 << tens).astype(np.uint64), views=(10 + tens).astype(np.uint16))
    part = trace_site(BevBlocks.of(seen), CONFIG, core_blocks=4)
    (line,) = part.of("divider")
    assert len(line.vertices) < 8  # seams left no vertex, and what those stood for is their neighbours'
    assert line.trip_numbers == list(range(8))
    assert 10 <= line.views.min() < line.views.max() <= 17


def test_a_line_that_runs_along_a_seam_is_there_once() -> None:
    canvas = painter.Canvas(Grid(west_m=0.0, north_m=38.4, cell_m=0.1, width=640, height=384))
    canvas.area(np.array([[0.5, 1.0], [63.5, 1.0], [63.5, 37.0], [0.5, 37.0]]), RoadClass.ROAD)
    canvas.stroke(np.array([[3.0, 19.2], [61.0, 19.2]]))
    blocks = BevBlocks.of(canvas.bev())
    seams = [core.low_m[1] for core in cores_of(blocks, most_blocks=15)]
    assert max(seams) == pytest.approx(19.2)
    (line,) = trace_site(blocks, CONFIG, core_blocks=15).of("divider")
    assert length_of(line.vertices) == pytest.approx(58.0, abs=0.3)


def test_a_ring_longer_than_a_window_is_welded_into_a_ring() -> None:
    canvas = painter.Canvas(Grid(west_m=0.0, north_m=40.0, cell_m=0.1, width=400, height=400))
    angle = np.linspace(0, 2 * np.pi, 400)[:-1]
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    canvas.area(20.0 + 16.0 * circle, RoadClass.ROAD)
    canvas.area(20.0 + 11.0 * circle, RoadClass.OFF_ROAD)
    part = trace_site(BevBlocks.of(canvas.bev()), CONFIG, core_blocks=9)
    rings = sorted(length_of(e.vertices, closed=True) for e in part.of("boundary") if e.closed)
    assert rings == pytest.approx([2 * np.pi * 11, 2 * np.pi * 16], rel=5e-3)
    assert len(part.of("boundary")) == 2


def test_every_place_has_one_core_and_its_window_shows_it(bev: BevMap) -> None:
    points = np.random.default_rng(0).uniform(-30, 130, (500, 2))
    cores, blocks = [], BevBlocks.of(bev)
    for core in cores_of(blocks, most_blocks=4):
        cores.append(core.holds(points))
        cells, inside = bev.grid.cells(points)
        seen = inside.copy()
        seen[inside] = bev.seen[cells[inside, 0], cells[inside, 1]]
        assert window(blocks, core, 5.0).grid.cells(points[core.holds(points) & seen])[1].all()
    assert np.array_equal(np.sum(cores, axis=0), np.ones(len(points)))


def test_a_window_without_road_is_empty_and_a_site_without_any_is_refused(bev: BevMap) -> None:
    hidden = painter.Canvas(bev.grid)
    with pytest.raises(NoRoadFound, match="Check the calibration"):
        trace_site(BevBlocks.of(hidden.bev()), CONFIG, core_blocks=4, trips=["one"])


def test_masks_of_windows_are_those_of_the_whole(bev: BevMap, whole: RoadMap, monkeypatch: pytest.MonkeyPatch) -> None:
    line = painter.arc(radius_m=200.0, length_m=75.0)[::200]
    poses = [transform(rotation_from_euler(yaw_rad=i / 20.0), (x, y, 0.0)) for i, (x, y) in enumerate(line)]
    frames = tuple(Frame(time_ns=i, world_from_ego=pose, images=()) for i, pose in enumerate(poses))
    drive = DriveLog(name="painted.street", root=Path(), cameras=(), frames=frames)
    config = CropConfig(length_m=20.0, width_m=12.0)
    expected = crop(drive, bev, whole, config)
    monkeypatch.setattr(known, "is_one_window", lambda _: False)
    monkeypatch.setattr(known, "SPARE_M", 8.0)
    found = crop(drive, BevBlocks.of(bev), whole, config)
    for one, other in zip(expected.labels, found.labels, strict=True):
        assert np.array_equal(one.known, other.known)
