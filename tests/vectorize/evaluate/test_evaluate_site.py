from __future__ import annotations

import numpy as np
import pytest
from lines import box, element, patch

from recon.errors import InputInvalid
from recon.geometry import rotation_from_euler, transform
from vectorize.config import CropConfig
from vectorize.evaluate.evaluate_site import area_of, evaluate_site
from vectorize.evaluate.patch import TruthIndex, check_frame
from vectorize.road_map import RoadMap

ROAD = RoadMap(elements=(element([[-100, 0], [200, 0]]), box(40, -4, 44, 4)))


def pose(x, y=0.0, yaw=0.0, *, pitch=0.0, z=0.0):
    return transform(rotation_from_euler(yaw_rad=yaw, pitch_rad=pitch), (x, y, z))


def test_the_area_is_the_union_of_turned_patches():
    known = np.zeros((400, 200), bool)
    known[:, :100] = True  # the left half: world x < 0 for a vehicle that looks north
    area = area_of([patch([], [], known=known, pose=pose(0, 0, np.pi / 2)), patch([], [], known=known, pose=pose(60))])
    points = np.array([[-7.0, 20], [7, 20], [-16, 20], [60, 7], [60, -7], [200, 0]])
    assert area.observed.at_px(area.observed.to_px(points)).tolist() == [True, False, False, True, False, False]
    assert area.labelled.at_px(area.labelled.to_px(points)).tolist() == [True, True, False, True, True, False]
    cell = area.grid.cell_m**2
    assert area.observed.known.sum() * cell == pytest.approx(2 * 900, rel=0.01)


def test_the_map_is_measured_within_the_labelled_area_only():
    area = area_of([patch([], [], pose=pose(x)) for x in (0, 40)])  # x from -30 to 70
    predicted = RoadMap(elements=(element([[-30, 0.3], [70, 0.3]]),))
    record = evaluate_site(predicted, ROAD, area)
    divider = record["full_range"]["classes"]["divider"]
    assert divider["extent"]["true"] == pytest.approx(100.0, abs=0.5)
    assert divider["chamfer"]["ap"] == 1.0
    assert divider["chamfer"]["median_m"] == pytest.approx(0.3, abs=0.1)
    assert record["full_range"]["classes"]["ped_crossing"]["chamfer"]["recall_at"] == [0.0] * 3
    assert record["coverage"]["area"] == 1.0


def test_a_site_of_which_nothing_was_seen_says_so():
    area = area_of([patch([], [], known=np.zeros((400, 200), bool))])
    record = evaluate_site(RoadMap(elements=()), ROAD, area)
    assert record["notes"] == ["the observed area is empty: nothing of the site was seen"]
    assert record["observed"]["mean"]["chamfer"]["map"] is None
    assert record["coverage"]["classes"]["divider"]["observed"] == 0.0


def test_without_an_area_maps_are_compared_as_they_are():
    record = evaluate_site(ROAD, ROAD, None)
    assert record["observed"] is None
    assert record["full_range"]["mean"]["chamfer"]["map"] == 1.0


def test_a_true_map_of_another_frame_is_refused():
    poses = [pose(0), pose(40)]
    check_frame(TruthIndex(ROAD), poses, (60.0, 30.0), "map.json")
    elsewhere = RoadMap(elements=(element([[5000, 0], [5100, 0]]),))
    with pytest.raises(InputInvalid, match="do not overlap") as caught:
        check_frame(TruthIndex(elsewhere), poses, (60.0, 30.0), "map.json")
    assert caught.value.where == "map.json"
    assert "world frame" in caught.value.hint
    with pytest.raises(InputInvalid, match="nothing"):
        check_frame(TruthIndex(RoadMap(elements=())), poses, (60.0, 30.0), "map.json")


def test_truth_is_cropped_as_labels_are():
    pieces = TruthIndex(ROAD).crop(pose(30, 0, np.pi / 2), 0.0, CropConfig())
    divider, crossing = pieces
    # Looking north at x = 30 the road crosses the patch from left to right, 15 m either way.
    assert divider.vertices[:, :2] == pytest.approx(np.array([[0, 15], [0, -15]]))
    assert crossing.closed
    assert TruthIndex(ROAD).crop(pose(30, 500), 0.0, CropConfig()) == ()


def test_a_true_map_without_heights_lies_on_the_road_of_a_tilted_vehicle():
    # 50 m up and pitched by 5 degrees: taken as z = 0 the line would shift by 4 m.
    tilted = pose(0, 0, 0.0, pitch=np.radians(5), z=50.0)
    (stop,) = TruthIndex(RoadMap(elements=(element([[10, -3], [10, 3]], name="stop_line"),))).crop(
        tilted, -0.5, CropConfig()
    )
    assert stop.vertices[:, 2] == pytest.approx(-0.5)
    # 10 m ahead on the map; the ground lies 0.5 m below the ego along its tilted z.
    assert stop.vertices[:, 0] == pytest.approx((10 + 0.5 * np.sin(np.radians(5))) / np.cos(np.radians(5)))
