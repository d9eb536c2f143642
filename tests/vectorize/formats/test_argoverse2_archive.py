from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
import small_site
from other_python import run_with

from recon.errors import ArtifactInvalid
from vectorize.formats.argoverse2_archive import write_argoverse2
from vectorize.road_map import RoadMap

READ = """
import json, sys
from pathlib import Path
from av2.map.map_api import ArgoverseStaticMap
found = ArgoverseStaticMap.from_json(Path(sys.argv[1]))
print(json.dumps({
    "log": found.log_id,
    "lanes": {k: {
        "polygon": s.polygon_boundary.tolist(), "left": s.left_lane_boundary.xyz.tolist(),
        "right": s.right_lane_boundary.xyz.tolist(), "marks": [s.left_mark_type.value, s.right_mark_type.value],
        "beside": [s.left_neighbor_id, s.right_neighbor_id], "type": s.lane_type.value,
    } for k, s in found.vector_lane_segments.items()},
    "areas": [d.xyz.tolist() for d in found.vector_drivable_areas.values()],
    "crossings": [p.polygon.tolist() for p in found.vector_pedestrian_crossings.values()],
    "edges": [[p.edge1.xyz.tolist(), p.edge2.xyz.tolist()] for p in found.vector_pedestrian_crossings.values()],
}))
"""


def read_back(written, folder):
    (name,) = written.files
    (folder / name).write_bytes(written.files[name])
    return run_with("av2", READ, folder / name)


def body_of(written):
    return json.loads(next(iter(written.files.values())))


def test_av2_reads_lanes_areas_and_crossings_in_their_places(tmp_path):
    written = write_argoverse2("drive_1", small_site.road_map(), small_site.bev())
    found = read_back(written, tmp_path)
    assert found["log"] == "drive_1"
    (crossing,) = found["crossings"]
    outline = shapely.Polygon(np.array(crossing)[:, :2])
    assert outline.is_valid
    assert outline.equals(shapely.Polygon(small_site.CROSSING))
    assert {point[2] for point in crossing} == {1.5}
    # The long sides of the outline are the edges, and both run the same way.
    one, two = (np.array(edge) for edge in found["edges"][0])
    assert np.allclose(one[-1] - one[0], two[-1] - two[0])
    assert np.hypot(*(one[-1] - one[0])[:2]) == pytest.approx(7.0)
    lanes = list(found["lanes"].values())
    assert len(lanes) == 2
    for lane in lanes:
        ring = shapely.Polygon(np.array(lane["polygon"])[:, :2])
        assert ring.is_valid
        assert ring.area == pytest.approx(3.5 * 40, rel=0.01)
        left, right = np.array(lane["left"]), np.array(lane["right"])
        # Left is left: from the right side's start the left side lies counter-clockwise of the way it runs.
        way, across = right[-1] - right[0], left[0] - right[0]
        assert way[0] * across[1] - way[1] * across[0] > 0
        assert sorted(lane["marks"]) == ["DASHED_WHITE", "NONE"]
    beside = [lane["beside"] for lane in lanes]
    ids = [int(i) for i in found["lanes"]]
    assert sorted(beside, key=str) == sorted([[None, ids[1]], [ids[0], None]], key=str) or sorted(
        beside, key=str
    ) == sorted([[ids[1], None], [None, ids[0]]], key=str)


def test_the_drivable_area_is_cut_open_at_its_hole(tmp_path):
    found = read_back(write_argoverse2("a", small_site.road_map(), small_site.bev()), tmp_path)
    pieces = [shapely.Polygon(np.array(area)[:, :2]) for area in found["areas"]]
    assert len(pieces) == 2
    whole = shapely.unary_union(pieces)
    assert whole.area == pytest.approx(7 * 50 - 4, rel=0.02)
    assert not whole.contains(shapely.Point(5.0, 0.0))
    heights = np.concatenate([np.array(area) for area in found["areas"]])
    assert np.abs(heights[:, 2] - (1 + heights[:, 0] / 100)).max() < 0.01


def test_what_has_no_neighbour_is_counted():
    notes = write_argoverse2("a", small_site.road_map(), small_site.bev()).notes
    assert "2 of 3 divider elements have no neighbour to form a lane segment with" in notes
    assert "1 of 3 boundary elements have no neighbour to form a lane segment with" in notes


def test_an_empty_map_is_a_valid_file(tmp_path):
    found = read_back(write_argoverse2("a", RoadMap(elements=()), small_site.bev()), tmp_path)
    assert found["lanes"] == {}
    assert found["crossings"] == []


def test_a_map_without_heights_is_refused_and_no_height_is_made_up():
    flat = small_site.element("divider", [[0, 0], [9, 0]], height_m=None)
    with pytest.raises(ArtifactInvalid) as caught:
        write_argoverse2("a", small_site.road_map(flat), small_site.bev())
    assert caught.value.where == "element 9 (divider)"
    assert "geoparquet" in caught.value.hint


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "outline",
    [
        [[0, 0], [4, 0], [4, 8], [0, 8]],
        [[0, 0], [4, 0], [4, 4], [4.2, 6], [4, 8], [0, 8], [-0.2, 4]],
        [[0, 0], [6, 0], [3, 3]],
        [[0, 0], [3, 0], [3, 3], [0, 3]],
    ],
)
def test_the_edges_of_a_crossing_keep_every_vertex(outline, turned):
    crossing = small_site.element("ped_crossing", outline[::-1] if turned else outline, closed=True)
    road_map = RoadMap(elements=(crossing,), trips=small_site.TRIPS)
    (entry,) = body_of(write_argoverse2("a", road_map, small_site.bev()))["pedestrian_crossings"].values()
    ring = [(p["x"], p["y"]) for p in (*entry["edge1"], *entry["edge2"][::-1])]
    assert min(len(entry["edge1"]), len(entry["edge2"])) >= 2
    assert shapely.Polygon(ring).equals(shapely.Polygon(outline))
    assert {tuple(map(float, point)) for point in outline} <= set(ring)


def test_a_self_crossing_outline_is_two_crossings():
    bow_tie = small_site.element("ped_crossing", small_site.BOW_TIE, closed=True)
    written = write_argoverse2("a", RoadMap(elements=(bow_tie,), trips=small_site.TRIPS), small_site.bev())
    assert len(body_of(written)["pedestrian_crossings"]) == 2
    assert "2 areas" in written.notes[0]
