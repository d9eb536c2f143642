from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
import small_site
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.errors import ArtifactInvalid, ConfigInvalid
from vectorize.formats.geopackage import write_geopackage
from vectorize.formats.geoparquet import write_geoparquet
from vectorize.road_map import RoadMap

geopandas = pytest.importorskip("geopandas", reason="geopandas comes with roadscribe[geo]")
pytest.importorskip("pyogrio", reason="pyogrio comes with roadscribe[geo]")
TMERC = "+proj=tmerc +lat_0=49 +lon_0=8.4 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m"


def layer_of(written, folder, layer):
    (name,) = written.files
    path = folder / name
    path.write_bytes(written.files[name])
    return geopandas.read_file(path, layer=layer)


def table_of(written, folder):
    (name,) = written.files
    (folder / name).write_bytes(written.files[name])
    return geopandas.read_parquet(folder / name)


def test_a_geopackage_has_every_line_in_its_place_with_what_is_known_of_it(tmp_path):
    road_map = small_site.road_map()
    dividers = layer_of(write_geopackage("a", road_map), tmp_path, "divider")
    assert dividers.crs.to_epsg() == 4326
    assert dividers["style"].tolist() == ["dashed", "solid", "double"]
    assert dividers["score"].tolist() == [0.75, 0.5, 0.5]
    assert json.loads(dividers["seen"][0]) == [True, False, True, True, True]
    assert json.loads(dividers["views"][0]) == [7, 0, 7, 7, 7]
    assert json.loads(dividers["trips"][0]) == ["monday", "tuesday"]
    assert json.loads(dividers["vertex_trips"][1]) == [["monday"], []]
    # The library's own projection finds the metres we started from.
    local = shapely.get_coordinates(dividers.to_crs(TMERC).geometry[0], include_z=True)
    assert np.abs(local[:, :2] - road_map.elements[1].vertices[:, :2]).max() < 1e-3
    assert np.all(local[:, 2] == 111.0)
    (crossing,) = layer_of(write_geopackage("a", road_map), tmp_path, "ped_crossing").to_crs(TMERC).geometry
    assert crossing.is_valid
    assert crossing.area == pytest.approx(28.0, abs=0.01)


def test_geoparquet_holds_lists_and_says_what_its_geometry_is(tmp_path):
    road_map = small_site.road_map()
    table = table_of(write_geoparquet("a", road_map), tmp_path)
    assert table.crs.to_string() == "OGC:CRS84"
    assert table["class"].tolist() == [e.element_class for e in road_map.elements]
    assert table["element"].tolist() == list(range(9))
    assert table["confidence"][1].tolist() == [0.25, 0.375, 0.5, 0.625, 0.75]
    assert table["seen"][4].tolist() == [True, False, True, True, True]  # the closing vertex is counted
    assert table["views"][4].tolist() == [7, 0, 7, 7, 7]
    assert [trips.tolist() for trips in table["trips"][4:6]] == [["monday", "tuesday"], ["monday"]]
    assert [one.tolist() for one in table["vertex_trips"][1][:3]] == [["monday"], [], ["monday", "tuesday"]]
    assert table.geometry.has_z.all()
    for shape, found in zip(road_map.elements, table.to_crs(TMERC).geometry, strict=True):
        expected = shapely.LineString(shape.vertices[:, :2])
        assert shapely.hausdorff_distance(expected, shapely.LineString(shapely.get_coordinates(found))) < 8
        assert shapely.distance(shapely.points(shape.vertices[:, :2]), found.boundary if shape.closed and
                                found.geom_type == "Polygon" else found).max() < 1e-3  # fmt: skip
    assert table.geometry[4].exterior.is_ccw


@pytest.mark.parametrize("write", [write_geopackage, write_geoparquet])
def test_equal_maps_give_equal_bytes(write):
    assert write("a", small_site.road_map()).files == write("a", small_site.road_map()).files


def test_an_empty_map_is_a_valid_empty_file(tmp_path):
    empty = RoadMap(elements=(), origin=small_site.ORIGIN)
    assert len(layer_of(write_geopackage("a", empty), tmp_path, "divider")) == 0
    assert len(table_of(write_geoparquet("a", empty), tmp_path)) == 0


@pytest.mark.parametrize("write", [write_geopackage, write_geoparquet])
def test_without_an_origin_the_error_names_the_way_out(write):
    with pytest.raises(ConfigInvalid) as caught:
        write("a", small_site.road_map(origin=None))
    assert "--origin" in caught.value.hint


def test_a_self_crossing_area_becomes_its_loops_and_is_named(tmp_path):
    bow_tie = small_site.element("ped_crossing", small_site.BOW_TIE, closed=True)
    line = small_site.element("ped_crossing", [[0, 0], [1, 1], [2, 2]], closed=True)
    written = write_geoparquet("a", small_site.road_map(bow_tie, line))
    assert written.notes == (
        "element 9 (ped_crossing) is written as 2 areas: its outline crosses itself",
        "element 10 (ped_crossing) is left out: its outline encloses no area",
    )
    table = table_of(written, tmp_path)
    loops = table[table["element"] == 9]
    assert loops.geometry.is_valid.all()
    assert loops.to_crs(TMERC).geometry.area.sum() == pytest.approx(12.0, abs=0.01)
    # The crossing point lies between an unseen vertex and a seen one, or on the other pass: never more sure than both.
    assert all(len(seen) == 4 for seen in loops["seen"])
    package = layer_of(write_geopackage("a", small_site.road_map(bow_tie)), tmp_path, "ped_crossing")
    assert package["element"].tolist() == [4, 9, 9]


def test_an_element_without_heights_is_flat_and_is_counted(tmp_path):
    flat = small_site.element("divider", [[0, 0], [5, 5]], height_m=None)
    road_map = small_site.road_map(flat)
    for written in (write_geopackage("a", road_map), write_geoparquet("a", road_map)):
        assert written.notes == ("1 of 10 features are written without heights: they have none",)
    assert table_of(write_geoparquet("a", road_map), tmp_path).geometry.has_z.tolist() == [True] * 9 + [False]
    dividers = layer_of(write_geopackage("a", road_map), tmp_path, "divider")
    assert len(dividers) == 4
    assert not dividers.geometry[3].has_z


@pytest.mark.parametrize("write", [write_geopackage, write_geoparquet])
def test_a_place_that_is_not_finite_is_refused(write):
    broken = small_site.element("divider", [[0, 0], [np.nan, 5]])
    with pytest.raises(ArtifactInvalid) as caught:
        write("a", small_site.road_map(broken))
    assert caught.value.where == "element 9 (divider)"


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=3, max_size=7))
@settings(max_examples=60, deadline=None)
def test_whatever_the_outline_every_area_written_is_simple(points):
    crossing = small_site.element("ped_crossing", points, closed=True)
    written = write_geoparquet("a", RoadMap(elements=(crossing,), origin=small_site.ORIGIN, trips=small_site.TRIPS))
    import io

    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(written.files["a.parquet"]))
    shapes = shapely.from_wkb(table["geometry"].to_pylist())
    assert all(shape.geom_type == "Polygon" and shape.is_valid and shape.exterior.is_ccw for shape in shapes)
    inside = shapely.make_valid(shapely.Polygon(points)).area
    assert (len(shapes) > 0) == (inside > 1e-4)
