"""Which drives meet: worked examples with areas known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from recon.align.overlap import drive_area, meetings, perception_boxes, pose_pairs, sites
from recon.errors import ConfigInvalid
from recon.geometry import rotation_from_euler, transform


def poses(*places: tuple[float, float, float]) -> np.ndarray:
    """Return poses at (x, y, heading in degrees)."""
    return np.array([transform(rotation_from_euler(yaw_rad=float(np.radians(a))), [x, y, 0.0]) for x, y, a in places])


def test_a_box_turns_with_the_heading() -> None:
    (box,) = perception_boxes(poses((10.0, 5.0, 90.0)), ahead_m=30.0, beside_m=15.0)
    np.testing.assert_allclose(box.bounds, (-5.0, -25.0, 25.0, 35.0))
    assert box.area == pytest.approx(1800.0)


def test_an_area_is_the_union_of_its_boxes() -> None:
    assert drive_area(poses((0, 0, 0), (60, 0, 0))).area == pytest.approx(3600.0)
    assert drive_area(poses((0, 0, 0), (30, 0, 0))).area == pytest.approx(2700.0)
    assert drive_area(np.zeros((0, 4, 4))).is_empty


def test_drives_that_meet_form_sites() -> None:
    areas = [drive_area(p) for p in (poses((0, 0, 0)), poses((40, 0, 0)), poses((80, 0, 180)), poses((500, 0, 0)))]
    met = meetings(areas)
    assert [(m.first, m.second) for m in met] == [(0, 1), (1, 2)]
    assert met[0].shared_m2 == pytest.approx(600.0)
    assert met[0].iou == pytest.approx(600.0 / 3000.0)
    assert sites(4, met) == ((0, 1, 2), (3,))
    assert sites(2, ()) == ((0,), (1,))
    assert sites(0, ()) == ()


def test_drives_that_only_touch_do_not_meet() -> None:
    areas = [drive_area(poses((0, 0, 0))), drive_area(poses((58.0, 0, 0)))]
    assert meetings(areas) == ()
    assert len(meetings(areas, least_m2=50.0)) == 1


def test_narrow_roads_that_cross_share_too_little() -> None:
    along = drive_area(poses(*((x, 0, 0) for x in range(0, 100, 5))), beside_m=6.0)
    across = drive_area(poses(*((50, y, 90) for y in range(-50, 50, 5))), beside_m=6.0)
    assert shapely.intersection(along, across).area == pytest.approx(144.0)
    assert meetings([along, across]) == ()


def test_pairs_lie_within_the_bounds() -> None:
    drives = [poses((0, 0, 0), (30, 0, 0)), poses((15, 0, 180))]
    pairs = pose_pairs(drives, least_iou=0.5, most_iou=1.0)
    assert [(p.first, p.second) for p in pairs] == [((0, 0), (1, 0)), ((0, 1), (1, 0))]
    assert pairs[0].iou == pytest.approx(45.0 / 75.0)
    assert pairs[0].turn_rad == pytest.approx(np.pi)
    assert pose_pairs(drives, least_iou=0.7, most_iou=1.0) == ()
    assert len(pose_pairs(drives, least_iou=0.0, most_iou=1.0, same_drive=True)) == 3


@given(st.lists(st.tuples(*[st.floats(-80, 80)] * 2, st.floats(-180, 180)), min_size=2, max_size=6))
def test_pairs_are_what_comparing_all_finds(places: list[tuple[float, float, float]]) -> None:
    everything = poses(*places)
    boxes = perception_boxes(everything, ahead_m=30.0, beside_m=15.0)
    expected = {}
    for i in range(len(boxes)):
        for j in range(i + 1, len(boxes)):
            iou = shapely.intersection(boxes[i], boxes[j]).area / shapely.union(boxes[i], boxes[j]).area
            if 0.2 <= iou <= 0.8:
                expected[i, j] = iou
    found = pose_pairs([everything], least_iou=0.2, most_iou=0.8, same_drive=True)
    # At the very bounds the two ways of computing may differ in the last bit.
    given_pairs = {(p.first[1], p.second[1]): p.iou for p in found}
    assert all(given_pairs[k] == pytest.approx(expected[k]) for k in given_pairs.keys() & expected.keys())
    for k in given_pairs.keys() ^ expected.keys():
        assert min(abs(v - b) for b in (0.2, 0.8) for v in [given_pairs.get(k, expected.get(k, 0.5))]) < 1e-9


@pytest.mark.parametrize("bounds", [(-0.1, 0.5), (0.6, 0.5), (0.5, 1.1)])
def test_senseless_bounds_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ConfigInvalid):
        pose_pairs([poses((0, 0, 0))], least_iou=bounds[0], most_iou=bounds[1])
    with pytest.raises(ConfigInvalid):
        drive_area(poses((0, 0, 0)), ahead_m=0.0)
