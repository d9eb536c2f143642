"""Which drives of a fleet become one site: compared with a slow twin, and for any order, place and frame."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from recon.align.groups import area_of, ground_of, groups
from recon.align.overlap import CROSSING_M2
from recon.drive import DriveLog, Frame
from recon.errors import ConfigInvalid
from recon.geo_origin import GeoOrigin
from recon.geometry import rotation_from_euler, transform

ORIGIN = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4)


def drive(xy, *, origin: GeoOrigin | None = ORIGIN, name: str = "a") -> DriveLog:
    """Return a drive along points, headed from each to the next."""
    xy = np.asarray(xy, float)
    ways = np.diff(xy, axis=0, append=2 * xy[-1:] - xy[-2:-1])
    poses = [
        transform(rotation_from_euler(yaw_rad=float(np.arctan2(dy, dx))), (x, y, 0.0))
        for (x, y), (dx, dy) in zip(xy, ways, strict=True)
    ]
    frames = tuple(Frame(time_ns=i, world_from_ego=pose, images=()) for i, pose in enumerate(poses))
    return DriveLog(name=name, root=Path(), cameras=(), frames=frames, origin=origin)


def straight(x_m: float, y_m: float = 0.0, *, length_m: float = 100.0, **where) -> DriveLog:
    return drive([(x_m + step, y_m) for step in np.arange(0.0, length_m + 1.0, 1.0)], **where)


def slow_groups(areas, most, least_m2=CROSSING_M2):
    """Compare all with all, and join one pair after the other, each time looking at every group."""
    shared = {(a, b): shapely.intersection(areas[a], areas[b]).area for a, b in combinations(sorted(areas), 2)}
    found = [{name} for name in sorted(areas)]
    for (a, b), m2 in sorted(shared.items(), key=lambda one: (-one[1], one[0])):
        first, second = (next(group for group in found if name in group) for name in (a, b))
        if m2 >= least_m2 and first is not second and len(first | second) <= most:
            found = [group for group in found if group not in (first, second)] + [first | second]
    return tuple(sorted(tuple(sorted(group)) for group in found))


boxes = st.lists(st.tuples(*[st.floats(0.0, 300.0)] * 2, *[st.floats(1.0, 120.0)] * 2), min_size=0, max_size=14)


@given(boxes, st.integers(1, 15), st.randoms())
def test_groups_are_what_comparing_all_finds_in_any_order(places, most, random) -> None:
    areas = {f"{i:02}": shapely.box(x, y, x + w, y + h) for i, (x, y, w, h) in enumerate(places)}
    found = groups(areas, most=most)
    assert found == slow_groups(areas, most)
    shuffled = list(areas)
    random.shuffle(shuffled)
    assert groups({name: areas[name] for name in shuffled}, most=most) == found
    assert sorted(name for group in found for name in group) == sorted(areas)
    assert all(len(group) <= most for group in found)


def test_a_chain_is_one_group_and_is_parted_where_least_is_shared() -> None:
    """Five boxes of 60 m in a row: b and c share 20 m of length, the others 10 m."""
    starts = {"a": 0, "b": 50, "c": 90, "d": 140, "e": 190}
    areas = {name: shapely.box(x, 0, x + 60, 30) for name, x in starts.items()}
    assert groups(areas, most=5) == (("a", "b", "c", "d", "e"),)
    assert groups(areas, most=2) == (("a",), ("b", "c"), ("d", "e"))
    assert groups({}, most=5) == ()
    with pytest.raises(ConfigInvalid):
        groups(areas, most=0)


@pytest.mark.parametrize("place", [(0.0, 0.0), (70.0, -150.0), (-45.0, 179.0)])
def test_shared_ground_is_measured_alike_all_over_the_earth(place) -> None:
    origin = GeoOrigin(latitude_deg=place[0], longitude_deg=place[1])
    areas = [area_of(ground_of(straight(x, origin=origin))) for x in (0.0, 120.0)]
    # 100 m and 30 m at either end, 12 m wide; an ellipsoid is no sphere, which is half a percent.
    assert [area.area for area in areas] == pytest.approx([160.0 * 12.0] * 2, rel=0.01)
    assert shapely.intersection(*areas).area == pytest.approx(40.0 * 12.0, rel=0.01)


def test_drives_meet_by_their_place_on_earth_whatever_their_origins() -> None:
    other = GeoOrigin(latitude_deg=49.001, longitude_deg=8.402, altitude_m=90.0)
    there = other.to_metres(ORIGIN.to_degrees(np.array([[x, 0.3] for x in np.arange(0.0, 100.0)])))
    drives = {
        "here": straight(0.0),
        "same road": drive(there, origin=other),
        "origin alone": straight(0.0, origin=other),
    }
    areas = {name: area_of(ground_of(one)) for name, one in drives.items()}
    assert groups(areas, most=8) == (("here", "same road"), ("origin alone",))


def test_a_road_that_crosses_is_another_site_and_one_that_turns_back_is_the_same() -> None:
    across = drive([(50.0, y) for y in np.arange(-60.0, 60.0)])
    back = drive([(x, 3.5) for x in np.arange(100.0, 0.0, -1.0)])
    areas = {name: area_of(ground_of(one)) for name, one in (("a", straight(0.0)), ("x", across), ("b", back))}
    assert groups(areas, most=8) == (("a", "b"), ("x",))


def test_the_ground_of_a_drive_is_small_json() -> None:
    ground = ground_of(straight(0.0, length_m=2000.0))
    assert (ground["frame"], ground["type"]) == ("wgs84", "MultiPolygon")
    assert len(str(ground)) < 1000
    assert area_of(ground).area == pytest.approx(2060.0 * 12.0, rel=0.01)
    local = ground_of(straight(5.0, origin=None))
    assert local["frame"] == "local"
    assert area_of(local).bounds == pytest.approx((-25.0, -6.0, 135.0, 6.0), abs=0.6)
    standing = ground_of(drive([(0.0, 0.0)] * 5, origin=None))
    assert area_of(standing).area == pytest.approx(60.0 * 12.0)


def test_a_thousand_drives_are_grouped_without_comparing_all_with_all(monkeypatch) -> None:
    pairs = []
    intersection = shapely.intersection
    monkeypatch.setattr(shapely, "intersection", lambda a, b: (pairs.append(len(a)), intersection(a, b))[1])
    areas = {f"{i}": shapely.box(*(np.array([x, 0, x + 50, 30]))) for i, x in enumerate(np.arange(1000) // 2 * 100.0)}
    found = groups(areas, most=64)
    assert (len(found), {len(group) for group in found}, sum(pairs)) == (500, {2}, 500)
