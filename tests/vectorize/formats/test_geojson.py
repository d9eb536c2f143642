from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import LinearRing

from recon.errors import InputInvalid
from recon.geo_origin import GeoOrigin
from vectorize.formats.geojson import to_geojson, write_geojson
from vectorize.road_map import Element, RoadMap
from vectorize.truth.true_map_reader import read_true_map

ORIGIN = GeoOrigin(latitude_deg=49.01, longitude_deg=8.4, altitude_m=110.0)


def element(vertices, name="divider", *, closed=False):
    vertices = np.asarray(vertices, dtype=float)
    return Element(
        element_class=name,
        vertices=vertices,
        seen=np.arange(len(vertices)) != 1,
        confidence=np.linspace(0, 1, len(vertices)).astype(np.float32),
        score=0.25,
        style="solid",
        closed=closed,
    )


CLOCKWISE = [[0, 0, 1], [0, 5, 1], [5, 5, 1], [5, 0, 1]]


def test_with_an_origin_coordinates_are_degrees():
    line = element([[0, 0, 2], [3, 4, 2]])
    (feature,) = to_geojson(RoadMap(elements=(line,), origin=ORIGIN))["features"]
    points = np.array(feature["geometry"]["coordinates"])
    assert points[0].tolist() == [8.4, 49.01, 112.0]
    assert np.allclose(ORIGIN.to_metres(points[:, :2]), line.vertices[:, :2], atol=1e-3)
    assert feature["properties"]["length_m"] == 5.0
    assert feature["properties"]["seen_share"] == 0.5
    assert feature["properties"]["seen"] == [True, False]


def test_a_feature_names_its_trips_and_counts_the_views_of_its_vertices():
    line = element([[0, 0, 2], [3, 4, 2], [6, 4, 2]])
    line = replace(line, views=np.array([9, 0, 2], np.uint16), trips=np.array([5, 0, 4], np.uint64))
    body = to_geojson(RoadMap(elements=(line, element([[0, 0], [1, 1]])), trips=("a", "b", "c")))
    assert body["trips"] == ["a", "b", "c"]
    known, unknown = (feature["properties"] for feature in body["features"])
    assert known["trips"] == ["a", "c"]
    assert known["views"] == [9, 0, 2]
    assert known["vertex_trips"] == [[0, 2], [], [2]]
    assert (unknown["trips"], unknown["views"]) == ([], [0, 0])


def test_without_an_origin_the_file_says_that_it_holds_metres():
    body = to_geojson(RoadMap(elements=(element([[1.5, 2, 0], [3, 4, 0]]),)))
    assert "local metres" in body["coordinates"]
    assert body["features"][0]["geometry"]["coordinates"][0] == [1.5, 2.0, 0.0]


def test_areas_are_polygons_that_close_and_run_counter_clockwise():
    road_map = RoadMap(elements=(element(CLOCKWISE, "ped_crossing", closed=True),))
    (feature,) = to_geojson(road_map)["features"]
    (ring,) = feature["geometry"]["coordinates"]
    assert feature["geometry"]["type"] == "Polygon"
    assert ring[0] == ring[-1]
    assert LinearRing([p[:2] for p in ring]).is_ccw
    assert len(feature["properties"]["confidence"]) == len(feature["properties"]["seen"]) == 5
    # Attributes turn round with the vertices: the unseen one is still at (0, 5).
    assert ring[feature["properties"]["seen"].index(False)][:2] == [0.0, 5.0]


def test_an_island_is_a_closed_line():
    (feature,) = to_geojson(RoadMap(elements=(element(CLOCKWISE, "boundary", closed=True),)))["features"]
    assert feature["geometry"]["type"] == "LineString"
    assert feature["geometry"]["coordinates"][0] == feature["geometry"]["coordinates"][-1]
    assert feature["properties"]["length_m"] == 20.0


def test_the_file_is_json_and_the_same_every_time(tmp_path):
    road_map = RoadMap(elements=(element([[0, 0, 2], [3, 4, 2]]), element(CLOCKWISE, "boundary", closed=True)))
    for name in ("a", "b"):
        write_geojson(road_map, tmp_path / name, name="drive")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text()) == to_geojson(road_map, name="drive")
    write_geojson(RoadMap(elements=()), tmp_path / "c")
    assert json.loads((tmp_path / "c").read_text())["features"] == []


def true_map(**changes):
    entry = {"class": "boundary", "style": "unknown", "closed": True, "vertices": CLOCKWISE, **changes}
    return {"format": "roadscribe-true-map", "version": 1, "elements": [entry]}


def test_a_true_map_is_read(tmp_path):
    path = tmp_path / "true_map.json"
    path.write_text(json.dumps(true_map()))
    (found,) = read_true_map(path).elements
    assert found.closed
    assert found.vertices.tolist() == CLOCKWISE
    assert found.score == 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"class": "kerb"},
        {"style": "wavy"},
        {"vertices": [[0, 0]]},
        {"vertices": "x"},
        {"vertices": [[0, 0, 1e999]] * 3},
    ],
)
def test_a_faulty_element_is_named(tmp_path, changes):
    path = tmp_path / "true_map.json"
    path.write_text(json.dumps(true_map(**changes)))
    with pytest.raises(InputInvalid, match="element 0"):
        read_true_map(path)


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda s: st.lists(s) | st.dictionaries(st.text(), s))
)
@settings(max_examples=40, deadline=None)
def test_foreign_json_is_refused_with_a_typed_error(tmp_path_factory, body):
    path = tmp_path_factory.mktemp("m") / "true_map.json"
    path.write_text(json.dumps({"format": "roadscribe-true-map", "version": 1, "elements": [body]}))
    with pytest.raises(InputInvalid):
        read_true_map(path)
    path.write_text(json.dumps(body))
    with pytest.raises(InputInvalid):
        read_true_map(path)


def test_a_hatched_area_is_a_polygon_of_its_class():
    ring = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [4.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    area = Element(
        element_class="hatched",
        vertices=ring,
        seen=np.ones(4, bool),
        confidence=np.full(4, 0.9, np.float32),
        score=0.9,
        closed=True,
    )
    (feature,) = to_geojson(RoadMap(elements=(area,)))["features"]
    assert feature["geometry"]["type"] == "Polygon"
    assert feature["properties"]["class"] == "hatched"
