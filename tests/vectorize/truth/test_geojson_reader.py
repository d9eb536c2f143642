from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.errors import InputInvalid
from recon.geo_origin import GeoOrigin
from vectorize.formats.geojson import write_geojson
from vectorize.road_map import Element, RoadMap
from vectorize.truth.geojson_reader import read_geojson

ORIGIN = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4, altitude_m=110.0)
RING = [[0, 0, 1], [4, 0, 1], [4, 4, 2], [0, 4, 2]]


def element(vertices, **fields):
    vertices = np.asarray(vertices, dtype=float)
    count = len(vertices)
    body = {"element_class": "divider", "style": "dashed", "score": 0.25, **fields}
    return Element(
        **body,
        vertices=vertices,
        seen=np.arange(count) % 2 == 0,
        confidence=np.full(count, 0.5, np.float32),
        views=np.arange(count, dtype=np.uint16),
        trips=np.array([1, 0, 1 << 2, 7], np.uint64)[:count],
    )


MAP = (
    element([[0, 0, 3], [10, 2, 4], [20, 2, 4]]),
    element(RING, element_class="ped_crossing", closed=True),
    element(RING, element_class="boundary", closed=True),
)


@pytest.mark.parametrize("origin", [None, ORIGIN])
def test_what_was_written_is_read(tmp_path, origin):
    write_geojson(RoadMap(elements=MAP, origin=origin, trips=("a", "b", "c")), tmp_path / "map.geojson")
    read = read_geojson(tmp_path / "map.geojson", origin)
    assert read.origin == origin
    assert read.trips == ("a", "b", "c")
    for old, new in zip(MAP, read.elements, strict=True):
        assert new.vertices == pytest.approx(old.vertices, abs=2e-3)
        for name in ("element_class", "style", "closed", "score"):
            assert getattr(new, name) == getattr(old, name)
        for name in ("seen", "views", "trips"):
            assert getattr(new, name).tolist() == getattr(old, name).tolist()


def test_degrees_need_an_origin(tmp_path):
    write_geojson(RoadMap(elements=MAP, origin=ORIGIN, trips=("a", "b", "c")), tmp_path / "map.geojson")
    with pytest.raises(InputInvalid, match="origin of the drive is unknown"):
        read_geojson(tmp_path / "map.geojson", None)


FEATURE = {
    "type": "Feature",
    "geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
    "properties": {"class": "divider"},
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"properties": {"class": "road"}}, "unknown"),
        ({"properties": None}, "faulty"),
        ({"geometry": {"type": "LineString", "coordinates": [[0, 0]]}}, "no polyline"),
        ({"geometry": {"type": "LineString", "coordinates": [[0, float("nan")], [1, 1]]}}, "finite"),
        ({"geometry": {"type": "LineString", "coordinates": "x"}}, "faulty"),
        ({"geometry": None}, "faulty"),
        ({"properties": {"class": "divider", "vertex_trips": [[0], [1]]}}, "does not have; it has 0"),
        ({"properties": {"class": "divider", "vertex_trips": [0, 0]}}, "faulty"),
        ({"properties": {"class": "divider", "views": [-1, 70000]}}, "faulty"),
    ],
)
def test_a_faulty_feature_is_named(tmp_path, change, says):
    path = tmp_path / "map.geojson"
    path.write_text(json.dumps({"coordinates": "local metres", "features": [FEATURE, {**FEATURE, **change}]}))
    with pytest.raises(InputInvalid, match=says) as caught:
        read_geojson(path, None)
    assert caught.value.where.endswith("feature 1")


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=4), lambda c: st.lists(c, max_size=3)))
def test_anything_else_is_refused_by_the_family(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("any") / "map.geojson"
    path.write_text(json.dumps({"coordinates": "local metres", "features": [{**FEATURE, "geometry": value}]}))
    with pytest.raises(InputInvalid):
        read_geojson(path, None)
    path.write_text(json.dumps(value))
    with pytest.raises(InputInvalid):
        read_geojson(path, None)
