"""The HD map of Argoverse 2 as truth: of a small log by hand, of real logs against their own LiDAR, and broken."""
# ruff: noqa: E501 - the cases are a table

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import small_argoverse2 as small
from real_data import real_data
from scipy.spatial import cKDTree

from recon.errors import InputInvalid
from recon.formats.argoverse2.city_frame import place_world
from recon.formats.read_drive import read_drive
from recon.geometry import apply, invert
from recon.sensors.lidar import world_points
from vectorize.road_map import RoadMap
from vectorize.truth.read_truth import truth_of


def read(root: Path) -> RoadMap:
    road_map = truth_of(read_drive(root, images_required=False))
    assert road_map is not None
    return road_map


def in_log_metres(vertices: np.ndarray) -> np.ndarray:
    """Undo the world's turn: metres along the city's axes from where the log starts."""
    world_from_city, _ = place_world("PIT", np.array(small.ZERO_M))
    return apply(invert(world_from_city), vertices) - np.array(small.ZERO_M)


def test_painted_borders_become_dividers_once_and_in_one_piece(tmp_path: Path) -> None:
    dividers = read(small.write(tmp_path)).of("divider")
    lines = {e.style: in_log_metres(e.vertices) for e in dividers}
    assert len(dividers) == 3  # NONE is implied, the border between the lanes is one line
    assert {style: float(line[:, 1].mean()) for style, line in lines.items()} == pytest.approx(
        {"solid": 4.0, "dashed": 0.0, "double": -4.0}, abs=1e-6
    )
    assert {style: float(np.ptp(line[:, 0])) for style, line in lines.items()} == pytest.approx(
        {"solid": 40.0, "dashed": 40.0, "double": 20.0}, abs=1e-6
    )
    assert all(line[:, 2] == pytest.approx(small.GROUND_Z_M) for line in lines.values())


def test_a_border_drawn_twice_with_other_vertices_is_one_divider(tmp_path: Path) -> None:
    root = small.write(tmp_path)
    body = small.archive()
    body["lane_segments"]["2"]["left_lane_boundary"].insert(1, small.point(7.0, 0.03))
    next(root.glob("map/log_map*")).write_text(json.dumps(body))
    assert Counter(e.style for e in read(root).of("divider")) == {"solid": 1, "dashed": 1, "double": 1}


def test_touching_areas_have_no_boundary_between_them(tmp_path: Path) -> None:
    (ring,) = read(small.write(tmp_path)).of("boundary")
    assert ring.closed
    outline = shapely.Polygon(in_log_metres(ring.vertices)[:, :2])
    assert outline.symmetric_difference(shapely.box(-5, -6, 45, 6)).area < 0.01


@pytest.mark.parametrize("turned", [False, True])
def test_a_crossing_is_the_polygon_between_its_edges(tmp_path: Path, turned: bool) -> None:
    root = small.write(tmp_path)
    body = small.archive()
    if turned:
        body["pedestrian_crossings"]["7"]["edge2"].reverse()
    next(root.glob("map/log_map*")).write_text(json.dumps(body))
    (crossing,) = read(root).of("ped_crossing")
    area = shapely.Polygon(in_log_metres(crossing.vertices)[:, :2])
    assert area.symmetric_difference(shapely.box(30, -6, 33, 6)).area < 0.01


def test_a_drive_without_a_map_has_no_truth(tmp_path: Path) -> None:
    root = small.write(tmp_path)
    next(root.glob("map/log_map*")).unlink()
    assert truth_of(read_drive(root)) is None


def cross(body: dict[str, Any]) -> None:
    ring = body["drivable_areas"]["1"]["area_boundary"]
    ring[0], ring[1] = ring[1], ring[0]


BROKEN = {
    "no json": (None, ""),
    "no lanes": (lambda b: b.pop("lane_segments"), ""),
    "mark of no known type": (lambda b: b["lane_segments"]["1"].update(left_lane_mark_type="WAVY"), "lane_segments 1"),
    "no boundary": (lambda b: b["lane_segments"]["0"].pop("left_lane_boundary"), "lane_segments 0"),
    "not finite": (lambda b: b["lane_segments"]["0"]["left_lane_boundary"][0].update(x=float("nan")), "lane_segments 0"),
    "a single point": (lambda b: b["lane_segments"]["3"]["right_lane_boundary"].pop(), "lane_segments 3"),
    "a coordinate in words": (lambda b: b["drivable_areas"]["2"]["area_boundary"][1].update(y="north"), "drivable_areas 2"),
    "an area that crosses itself": (cross, "drivable_areas 1"),
    "a crossing without area": (lambda b: b["pedestrian_crossings"]["7"].update(edge2=b["pedestrian_crossings"]["7"]["edge1"]), "pedestrian_crossings 7"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_maps_are_named(tmp_path: Path, case: str) -> None:
    change, where = BROKEN[case]
    root = small.write(tmp_path)
    body = small.archive()
    if change:
        change(body)
    path = next(root.glob("map/log_map*"))
    path.write_text(json.dumps(body) if change else "{")
    with pytest.raises(InputInvalid) as caught:
        read(root)
    assert path.name in caught.value.where
    assert where in caught.value.where


EXPECTED = {
    "7fab2350-7eaf-3b7e-a39d-6937a4c1bede": {"divider": 24, "ped_crossing": 11, "boundary": 11},
    "adcf7d18-0510-35b0-a2fa-b4cea13a6d76": {"divider": 41, "ped_crossing": 11, "boundary": 8},
}


@pytest.mark.data
@pytest.mark.parametrize("log", EXPECTED)
def test_real_maps_fit_their_own_lidar(log: str) -> None:
    root = real_data("argoverse2", "val", log)
    drive = read_drive(root, images_required=False)
    road_map = read(root)
    assert Counter(e.element_class for e in road_map.elements) == EXPECTED[log]
    assert road_map.origin == drive.origin
    # The path lies on the road: within the drivable area, which is what the boundaries enclose.
    rings = [shapely.Polygon(e.vertices[:, :2]) for e in road_map.of("boundary") if e.closed]
    inside = sum(np.array([shapely.contains_xy(ring, *drive.path_xy_m().T) for ring in rings]).astype(int))
    assert (inside % 2 == 1).all()
    # Map heights and LiDAR returns near dividers agree: the world is one.
    points = world_points(drive, max_range_m=30)
    tree, gaps = cKDTree(points[:, :2]), []
    for element in road_map.of("divider"):
        length = np.linalg.norm(np.diff(element.vertices[:, :2], axis=0), axis=1)
        at = np.r_[0, np.cumsum(length)]
        line = np.stack([np.interp(np.arange(0, at[-1], 0.5), at, element.vertices[:, i]) for i in range(3)], axis=-1)
        for x, y, z in line:
            near = points[tree.query_ball_point((x, y), 0.3)]
            gaps += (near[np.abs(near[:, 2] - z) < 0.5][:, 2] - z).tolist()
    assert len(gaps) > 500
    assert abs(float(np.median(gaps))) < 0.08


@pytest.mark.parametrize(
    ("side", "mark", "left_is_solid"),
    [("right", "SOLID_DASH_WHITE", True), ("right", "DASH_SOLID_YELLOW", False), ("left", "SOLID_DASH_YELLOW", False),
     ("left", "DASH_SOLID_WHITE", True)],
)  # fmt: skip
def test_the_first_word_of_a_mixed_mark_is_the_line_beside_the_lane(tmp_path, side, mark, left_is_solid):
    root = small.write(tmp_path)
    body = small.archive()
    lane = body["lane_segments"]["1"]
    for one in body["lane_segments"].values():
        one.update(left_lane_mark_type="NONE", right_lane_mark_type="NONE")
    lane[f"{side}_lane_mark_type"] = mark
    next(root.glob("map/log_map*")).write_text(json.dumps(body))
    (divider,) = read(root).of("divider")
    assert divider.style == "solid_dashed"
    border = lane[f"{side}_lane_boundary"]
    way = np.array([border[-1][k] - border[0][k] for k in "xy"])
    found = in_log_metres(divider.vertices)
    assert ((found[-1] - found[0])[:2] @ way > 0) == left_is_solid
