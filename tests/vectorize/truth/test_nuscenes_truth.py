"""nuScenes' map expansion as truth: near the drive only, with styles, cut edges and islands, and broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import small_nuscenes as small

from recon.errors import InputInvalid
from recon.formats.read_drive import read_drive
from vectorize.road_map import RoadMap
from vectorize.truth.nuscenes_truth import read_nuscenes_truth, style_of
from vectorize.truth.read_truth import truth_of


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write(tmp_path_factory.mktemp("nuscenes") / "root")


def read(root: Path, body: dict[str, Any] | None = None) -> RoadMap:
    small.write_expansion(root, body)
    road_map = truth_of(read_drive(root, scene="scene-0001"))
    assert road_map is not None
    return road_map


def local(vertices: np.ndarray) -> np.ndarray:
    return vertices - np.array(small.ZERO_M)


def test_lines_are_dividers_by_the_style_of_their_segments(root: Path) -> None:
    found = {e.style: local(e.vertices) for e in read(root).of("divider")}
    assert set(found) == {"solid", "dashed", "unknown"}  # what is far away is left out
    assert sorted(found["solid"][:, 1].tolist()) == [-20, 0, 20]
    assert sorted(found["dashed"][:, 1].tolist()) == [20, 40]
    assert sorted(found["unknown"].tolist()) == [[0, -20], [0, 40]]  # a road divider has no type


def test_edges_are_cut_openly_where_the_map_goes_on(root: Path) -> None:
    boundaries = [(e.closed, local(e.vertices)) for e in read(root).of("boundary")]
    island = [xy for closed, xy in boundaries if closed]
    assert len(island) == 1
    assert shapely.Polygon(island[0]).symmetric_difference(shapely.box(-1, 60, 1, 64)).area < 0.01
    sides = [xy for closed, xy in boundaries if not closed]
    assert sorted(round(float(xy[:, 0].mean()), 3) for xy in sides) == [-6, 6]
    # 100 m before the first and beyond the last pose, and no edge across the road there.
    assert all(np.ptp(xy[:, 0]) < 0.01 and np.ptp(xy[:, 1]) == pytest.approx(208, abs=1.0) for xy in sides)


def test_crossings_are_areas_and_stop_areas_lines(root: Path) -> None:
    road_map = read(root)
    (crossing,) = road_map.of("ped_crossing")
    assert shapely.Polygon(local(crossing.vertices)).equals_exact(shapely.box(-6, 30, 6, 33), 1e-6, normalize=True)
    (stop,) = road_map.of("stop_line")  # where to wait in a junction nothing is painted
    assert np.allclose(sorted(local(stop.vertices).tolist()), [[0, 28.5], [6, 28.5]])


def test_without_drivable_areas_road_segments_give_the_edges(root: Path) -> None:
    body = small.expansion()
    tokens = body["drivable_area"][0]["polygon_tokens"]
    body["road_segment"] = [{"token": t, "polygon_token": t, "is_intersection": False} for t in tokens]
    body["drivable_area"] = []
    assert len(read(root, body).of("boundary")) == 3


def test_reach_is_how_far_from_the_path(root: Path) -> None:
    small.write_expansion(root)
    drive = read_drive(root, scene="scene-0001")
    assert not read_nuscenes_truth(drive, reach_m=3.5).of("boundary")
    assert len(read_nuscenes_truth(drive, reach_m=1000.0).of("divider")) == 4


@pytest.mark.parametrize(
    ("segment", "style"),
    [("SINGLE_SOLID_YELLOW", "solid"), ("SINGLE_ZIGZAG_WHITE", "solid"), ("DOUBLE_DASHED_WHITE", "dashed"),
     ("DOUBLE_SOLID_WHITE", "double"), ("NIL", "unknown"), (None, "unknown")],
)  # fmt: skip
def test_styles(segment: str | None, style: str) -> None:
    assert style_of(segment) == style


def cross(body: dict[str, Any]) -> None:
    ring = body["polygon"][0]["exterior_node_tokens"]
    ring[0], ring[1] = ring[1], ring[0]


BROKEN = {
    "no lines": (lambda b: b.pop("line"), ""),
    "a layer of words": (lambda b: b.update(lane_divider=["a"]), ""),
    "node not finite": (lambda b: b["node"][3].update(x=float("inf")), "node 3"),
    "node in words": (lambda b: b["node"][0].update(y="north"), "node 0"),
    "line token": (lambda b: b["lane_divider"][0].update(line_token="lost"), "lane_divider 0"),
    "node token": (lambda b: b["line"][2].update(node_tokens=["lost", "node0"]), "road_divider 0"),
    "one node": (lambda b: b["line"][0].update(node_tokens=["node0"]), "lane_divider 0"),
    "polygon token": (lambda b: b["ped_crossing"][0].update(polygon_token="lost"), "ped_crossing 0"),
    "an area that crosses itself": (cross, "drivable_area 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_expansions_are_named(root: Path, case: str) -> None:
    change, where = BROKEN[case]
    body = small.expansion()
    change(body)
    with pytest.raises(InputInvalid) as caught:
        read(root, body)
    assert f"maps/expansion/{small.LOCATION}.json" in caught.value.where
    assert where in caught.value.where


def test_an_area_that_only_touches_itself_is_taken(root: Path) -> None:
    body = small.expansion()
    ring = body["polygon"][0]["exterior_node_tokens"]
    ring.insert(1, ring[0])
    body["polygon"][0]["exterior_node_tokens"] = [*ring, ring[0]]
    assert len(read(root, body).of("boundary")) == 3
