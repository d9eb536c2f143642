from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
import small_site
from other_python import run_with

from recon.errors import ArtifactInvalid
from vectorize.formats.nuscenes_expansion import write_nuscenes
from vectorize.road_map import RoadMap

READ = """
import json, sys
import matplotlib
matplotlib.use("Agg")
from nuscenes.map_expansion.map_api import NuScenesMap
found = NuScenesMap(dataroot=sys.argv[1], map_name="boston-seaport")
def line(token):
    return list(found.extract_line(token).coords)
def polygon(token):
    shape = found.extract_polygon(token)
    return [list(shape.exterior.coords), [list(hole.coords) for hole in shape.interiors]]
mask = found.get_map_mask((20.0, 0.0, 20.0, 60.0), 0.0, ["drivable_area", "ped_crossing", "lane_divider"], (80, 240))
print(json.dumps({
    "version": found.version, "canvas": found.canvas_edge,
    "dividers": [line(r["line_token"]) for r in found.lane_divider],
    "kinds": [sorted({s["segment_type"] for s in r["lane_divider_segments"]}) for r in found.lane_divider],
    "crossings": [polygon(r["polygon_token"]) for r in found.ped_crossing],
    "drivable": [polygon(t) for r in found.drivable_area for t in r["polygon_tokens"]],
    "mask": mask.sum(axis=(1, 2)).tolist(),
    "in_patch": found.get_records_in_patch((-1, -10, 11, 10), ["lane_divider"])["lane_divider"],
}))
"""


def read_back(written, folder):
    home = folder / "maps" / "expansion"
    home.mkdir(parents=True)
    (data,) = written.files.values()
    (home / "boston-seaport.json").write_bytes(data)
    return run_with("nuscenes", READ, folder)


def test_the_devkit_reads_layers_in_their_places(tmp_path):
    road_map = small_site.road_map()
    found = read_back(write_nuscenes("a", road_map, small_site.bev()), tmp_path)
    assert found["version"] == "1.3"
    dividers = [e for e in road_map.elements if e.element_class == "divider"]
    for line, element in zip(found["dividers"], dividers, strict=True):
        assert np.allclose(line, element.vertices[:, :2])
    assert found["kinds"] == [["NIL"], ["NIL", "SINGLE_SOLID_WHITE"], ["DOUBLE_SOLID_WHITE", "NIL"]]
    ((exterior, holes),) = found["crossings"]
    assert shapely.Polygon(exterior, holes).equals(shapely.Polygon(small_site.CROSSING))
    ((exterior, holes),) = found["drivable"]
    assert shapely.Polygon(exterior, holes).area == pytest.approx(7 * 50 - 4, rel=0.02)
    assert len(holes) == 1
    # Rendered by the devkit at 4 pixels a metre: the road and the crossing have their areas.
    assert found["mask"][0] / 16 == pytest.approx(7 * 50 - 4, rel=0.05)
    assert found["mask"][1] == (4 * 4 + 1) * (7 * 4 + 1)  # its painter counts the pixels of both rims
    assert found["mask"][2] > 0
    assert len(found["in_patch"]) == 3


def test_an_empty_map_is_a_valid_file(tmp_path):
    found = read_back(write_nuscenes("a", RoadMap(elements=()), small_site.bev()), tmp_path)
    assert found["dividers"] == []


def test_what_the_layers_cannot_hold_travels_beside_them():
    written = write_nuscenes("a", small_site.road_map(), small_site.bev())
    assert written.notes == (
        "5 boundaries, stop lines, centre lines and hatched areas are in the member `roadscribe` only",
    )
    body = json.loads(next(iter(written.files.values())))
    facts = body["roadscribe"]["elements"]
    assert [fact["class"] for fact in facts] == [e.element_class for e in small_site.road_map().elements]
    assert facts[1]["seen"] == [True, False, True, True, True]
    assert facts[1]["views"] == [7, 0, 7, 7, 7]
    assert facts[1]["trips"] == [[0], [], [0, 1], [0], [0]]
    lines = {row["token"]: row for row in body["line"]}
    nodes = {row["token"]: row for row in body["node"]}
    island = [nodes[t] for t in lines[facts[3]["token"]]["node_tokens"]]
    assert [(n["x"], n["y"]) for n in island] == [(10, 5), (12, 5), (12, 6), (10, 6), (10, 5)]
    tokens = [row["token"] for layer in body.values() if isinstance(layer, list) for row in layer if type(row) is dict]
    assert len(tokens) == len(set(tokens))


def test_a_self_crossing_outline_is_two_crossings_and_nonsense_is_refused():
    bow_tie = small_site.element("ped_crossing", small_site.BOW_TIE, closed=True)
    written = write_nuscenes("a", RoadMap(elements=(bow_tie,), trips=small_site.TRIPS), small_site.bev())
    assert len(json.loads(next(iter(written.files.values())))["ped_crossing"]) == 2
    with pytest.raises(ArtifactInvalid):
        write_nuscenes(
            "a",
            RoadMap(elements=(small_site.element("divider", [[0, 0], [np.nan, 1]]),), trips=small_site.TRIPS),
            small_site.bev(),
        )
