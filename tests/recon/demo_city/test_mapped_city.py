"""The demo city over a real map: what the map draws is painted, true, and under the wheels."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
import small_argoverse2 as small
from real_data import real_data

from recon.classes import RoadClass
from recon.demo_city.config import CityConfig, LidarRig
from recon.demo_city.plan.plan_kernels import signed_kerb_distance
from recon.demo_city.plan.read_streets import frames_along, read_path
from recon.demo_city.plan.strokes import dashes
from recon.demo_city.scene.city_scene import CityScene
from recon.demo_city.scene.ground_kernels import ground_class
from recon.demo_city.true_map import true_map
from recon.errors import InputInvalid

SPACING_M = 5.0
SLOPE = 0.04  # of the small town, towards the east


def point(x, y):
    """Return a map point, city metres; the town lies far from the city's zero."""
    return {"x": 5000.0 + x, "y": 2400.0 + y, "z": 60.0 + SLOPE * x}


def lane(key, left, right, y, x0, x1, *, back=False):
    """Return a lane 3.5 m wide between `y` and `y - 3.5`."""
    edges = [[point(x0, y), point(x1, y)], [point(x0, y - 3.5), point(x1, y - 3.5)]]
    if back:
        edges = [edge[::-1] for edge in edges[::-1]]
    return key, {
        "left_lane_mark_type": left,
        "right_lane_mark_type": right,
        "left_lane_boundary": edges[0],
        "right_lane_boundary": edges[1],
        "successors": [],
        "lane_type": "VEHICLE",
    }


def town():
    """Return a street of four lanes along x, 200 m long, with a crossing at x = 60 and an island at x = 20."""
    lanes = [
        lane("1", "DASHED_WHITE", "SOLID_WHITE", 0.0, -60.0, 140.0),
        lane("2", "DOUBLE_SOLID_YELLOW", "DASHED_WHITE", 3.5, -60.0, 140.0),
        # Seen from this lane the nearer line is dashed: along -x it lies to the left of the solid one.
        lane("3", "DOUBLE_SOLID_YELLOW", "DASH_SOLID_WHITE", 7.0, -60.0, 140.0, back=True),
        lane("4", "NONE", "NONE", 10.5, -60.0, 140.0, back=True),
    ]
    low, high = -4.5, 11.5
    west = [point(-70, low), point(20, low), point(20, high), point(-70, high)]
    east = [point(20, low), point(150, low), point(150, high), point(20, high)]
    crossing = {"edge1": [point(60, low - 1), point(60, high + 1)], "edge2": [point(63, high + 1), point(63, low - 1)]}
    return {
        "lane_segments": dict(lanes),
        "pedestrian_crossings": {"9": crossing},
        "drivable_areas": {"5": {"area_boundary": west}, "6": {"area_boundary": east}},
    }


def write_log(folder, body=None, *, length_m=70.0, ground=True):
    """Write poses, map and ground height of a log that drives along y = -1.75."""
    root = folder / small.LOG
    x = np.r_[np.zeros(20), np.linspace(0.0, length_m, 300)]  # it stands first
    columns = {"timestamp_ns": np.arange(len(x)) * 10_000_000 + small.START_NS, "qw": np.ones(len(x))}
    columns |= {name: np.zeros(len(x)) for name in ("qx", "qy", "qz")}
    columns |= {"tx_m": 5000.0 + x, "ty_m": np.full(len(x), 2398.25), "tz_m": 60.3 + SLOPE * x}
    small.table(root / "city_SE3_egovehicle.feather", columns)
    (root / "map").mkdir()
    name = root / "map" / f"log_map_archive_{small.LOG}____PIT_city_1.json"
    name.write_text(json.dumps(town() if body is None else body))
    if ground:
        columns_m = np.arange(1000) / 2.0 - 200.0
        height = np.broadcast_to(60.0 + SLOPE * columns_m, (800, 1000)).astype(np.float16)
        np.save(root / "map" / f"{small.LOG}_ground_height_surface____PIT.npy", height)
        frame = {"R": [1.0, 0.0, 0.0, 1.0], "t": [-4800.0, -2200.0], "s": 2.0}
        (root / "map" / f"{small.LOG}___img_Sim2_city.json").write_text(json.dumps(frame))
    return root


def config_of(root, **changes):
    plain = {"frames": 8, "spacing_m": SPACING_M, "width_px": 96, "height_px": 54, "texel_m": 0.05, "traffic": 2.0}
    lidar = LidarRig(beams=4, columns=60)
    return CityConfig(map_log=str(root), dash_m=3.05, gap_m=9.14, lidar=lidar, **plain | changes)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return CityScene.build(config_of(write_log(tmp_path_factory.mktemp("town"))))


def painted(scene, x, y):
    """Return the class of the ground at world points; the world's zero is the first pose, at y = -1.75 of the town."""
    return [RoadClass(ground_class(scene.ground, a, b + 1.75)) for a, b in np.broadcast(x, y)]


@pytest.mark.slow
def test_the_ground_holds_what_the_map_draws(scene):
    along = np.arange(-40.0, 59.0, 0.5)
    assert set(painted(scene, along, -3.5)) == {RoadClass.LANE_MARKING}
    assert set(painted(scene, along, 3.5 + 0.12)) == {RoadClass.LANE_MARKING}
    assert set(painted(scene, along, 3.5)) == {RoadClass.ROAD}  # between the lines of a double one
    assert set(painted(scene, along, 10.5)) == {RoadClass.ROAD}
    assert set(painted(scene, along, -4.4)) == {RoadClass.ROAD}
    assert set(painted(scene, along, -4.55)) == {RoadClass.CURB}
    assert set(painted(scene, along, -6.0)) == {RoadClass.OFF_ROAD}


def test_dashes_have_the_length_and_the_gaps_that_were_asked_for(scene):
    along = np.arange(-40.0, 59.0, 0.05)
    on = np.array([c == RoadClass.LANE_MARKING for c in painted(scene, along, 0.0)])
    starts, ends = (np.flatnonzero(np.diff(on.astype(int)) == sign) for sign in (1, -1))
    ends = ends[ends > starts[0]]
    lengths = 0.05 * (ends - starts[: len(ends)])
    assert lengths == pytest.approx(3.05, abs=0.11)
    assert 0.05 * np.diff(starts) == pytest.approx(12.19, rel=0.05)


def test_of_a_mixed_line_the_first_word_lies_beside_its_lane(scene):
    along = np.arange(-40.0, 59.0, 0.25)
    inner, outer = (set(painted(scene, along, 7.0 + side)) for side in (-0.12, 0.12))
    assert inner == {RoadClass.LANE_MARKING, RoadClass.ROAD}  # dashed: lane 3 lies below
    assert outer == {RoadClass.LANE_MARKING}


def test_a_crossing_is_a_zebra_from_kerb_to_kerb(scene):
    across = painted(scene, 61.5, np.arange(-4.4, 11.4, 0.05))
    stripes = np.count_nonzero(np.diff([c == RoadClass.CROSSWALK for c in across]))
    assert 28 <= stripes <= 36
    assert set(across) == {RoadClass.CROSSWALK, RoadClass.ROAD}  # the lane lines end before it
    assert RoadClass.CROSSWALK not in painted(scene, 61.5, np.array([-5.0, 12.0]))


def test_the_true_map_is_what_was_painted_near_the_path(scene):
    elements = true_map(scene.plan, scene.ground)["elements"]
    styles = sorted(e["style"] for e in elements if e["class"] == "divider")
    # Each line in two pieces, before and behind the crossing.
    assert styles == ["dashed"] * 2 + ["dashed_solid"] * 2 + ["double"] * 2 + ["solid"] * 2
    (ring,) = [np.array(e["vertices"]) for e in elements if e["class"] == "ped_crossing"]
    wanted = shapely.box(60.0, -4.5 + 1.75, 63.0, 11.5 + 1.75)
    assert shapely.Polygon(ring[:, :2]).symmetric_difference(wanted).area < 0.1
    for element in elements:
        vertices = np.array(element["vertices"])
        assert np.hypot(np.clip(vertices[:, 0], 0, 70) - vertices[:, 0], vertices[:, 1]).max() < 62.0
        # Heights are those of the terrain, from the first pose on; half precision has steps of 3 cm at 60 m.
        assert vertices[:, 2] == pytest.approx(SLOPE * vertices[:, 0], abs=0.03)
        if element["class"] == "boundary":
            off = np.abs(signed_kerb_distance(scene.ground.plan, np.ascontiguousarray(vertices[:, :2])))
            assert off.max() < 0.02
            assert np.minimum(np.abs(vertices[:, 1] + 2.75), np.abs(vertices[:, 1] - 13.25)).max() < 0.02


def test_poses_follow_the_path_and_the_terrain(scene):
    poses = np.array([scene.ego_pose(s) for s in np.arange(8) * SPACING_M])
    assert poses[:, 0, 3] == pytest.approx(np.arange(8) * SPACING_M, abs=0.05)
    assert np.abs(poses[:, 1, 3]).max() < 0.31  # the lateral offset of a trip
    assert poses[:, 2, 3] == pytest.approx(SLOPE * poses[:, 0, 3], abs=0.03)
    assert poses[:, 2, 0] == pytest.approx(SLOPE / np.hypot(1.0, SLOPE), abs=0.01)  # pitched uphill


def test_an_odd_trip_drives_the_path_back(scene, tmp_path):
    back = dataclasses.replace(scene, forward=False, start_s_m=35.0)
    assert back.ego_pose(0.0)[0, 3] == pytest.approx(35.0, abs=0.05)
    assert back.ego_pose(0.0)[:2, 0] == pytest.approx([-1.0, 0.0], abs=0.01)


def test_nothing_stands_on_the_path_and_traffic_keeps_off_it(scene):
    from recon.demo_city.scene.solid_columns import CENTER, RADIUS

    assert len(scene.static) > 50
    assert len(scene.agents) > 3
    path = shapely.LineString(scene.plan.line.xy)
    low = scene.static[scene.static[:, CENTER + 2] - SLOPE * scene.static[:, CENTER] < 1.0]
    assert (shapely.distance(path, shapely.points(low[:, CENTER : CENTER + 2])) > 1.5).all()
    for index in range(8):
        ego = scene.ego_pose(index * SPACING_M)[:2, 3]
        moving = scene.solids_at(index * SPACING_M / 8.0)[len(scene.static) :]
        gaps = np.linalg.norm(moving[:, CENTER : CENTER + 2] - ego, axis=1) - moving[:, RADIUS]
        assert gaps.min(initial=9.0) > 0.5


@pytest.mark.parametrize("length_m", [0.4, 2.9, 3.1, 8.0, 12.0, 50.0, 123.4])
def test_a_dashed_line_begins_and_ends_with_a_dash(length_m):
    parts = dashes(shapely.LineString([(0.0, 0.0), (length_m, 0.0)]), 3.0, 9.0)
    assert parts[0].bounds[0] == 0.0
    assert all(part.length == pytest.approx(min(3.0, length_m)) for part in parts)
    assert all(a.bounds[2] < b.bounds[0] for a, b in itertools.pairwise(parts))
    if length_m > 12.0:
        assert parts[-1].bounds[2] == pytest.approx(length_m)
        assert parts[1].bounds[0] - parts[0].bounds[2] == pytest.approx(9.0, rel=0.5)


def test_the_path_holds_as_many_frames_as_its_length(tmp_path):
    root = write_log(tmp_path)
    assert float(read_path(root).s[-1]) == pytest.approx(70.0, abs=0.01)
    assert frames_along(root, 5.0) == 15


def without(layer, key=None):
    body = town()
    body[layer] = {} if key is None else {k: v for k, v in body[layer].items() if k != key}
    return body


def test_faults_of_a_log_are_named(tmp_path):
    def fault(root, **changes):
        with pytest.raises(InputInvalid) as caught:
            CityScene.build(config_of(root, **changes))
        return str(caught.value)

    (tmp_path / "none").mkdir()
    assert "not an Argoverse 2 log" in fault(tmp_path / "none")
    root = write_log(tmp_path / "short", length_m=20.0)
    assert "too short: 20.0 m for a drive of 35.0 m" in fault(root)
    assert "too short: the vehicle stands" in fault(write_log(tmp_path / "standing", length_m=0.0))
    assert "no ground height" in fault(write_log(tmp_path / "flat", ground=False))
    assert "no drivable area" in fault(write_log(tmp_path / "bare", without("drivable_areas")))
    unmapped = write_log(tmp_path / "unmapped")
    next(unmapped.glob("map/log_map*")).unlink()
    assert "no map" in fault(unmapped)


def test_a_map_without_paint_gives_bare_roads(tmp_path):
    body = without("lane_segments") | {"pedestrian_crossings": {}}
    scene = CityScene.build(config_of(write_log(tmp_path, body), texel_m=0.2))
    assert {e["class"] for e in true_map(scene.plan, scene.ground)["elements"]} == {"boundary"}


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("log", ["7fab2350-7eaf-3b7e-a39d-6937a4c1bede", "adcf7d18-0510-35b0-a2fa-b4cea13a6d76"])
def test_real_maps_are_laid_out_under_their_path(log):
    root: Path = real_data("argoverse2", "val", log)
    frames = frames_along(root, 4.0)
    scene = CityScene.build(config_of(root, frames=frames, spacing_m=4.0, texel_m=0.2))
    poses = np.array([scene.ego_pose(s) for s in np.arange(frames) * 4.0])
    assert signed_kerb_distance(scene.ground.plan, np.ascontiguousarray(poses[:, :2, 3])).max() < -0.5
    elements = true_map(scene.plan, scene.ground)["elements"]
    assert {e["class"] for e in elements} == {"divider", "boundary", "ped_crossing"}
