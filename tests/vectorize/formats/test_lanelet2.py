from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
import small_site

from recon.errors import ArtifactInvalid, ConfigInvalid
from vectorize.formats.lanelet2 import write_lanelet2
from vectorize.road_map import RoadMap

lanelet2 = pytest.importorskip("lanelet2", reason="lanelet2 comes with roadscribe[geo]")


def loaded(written, folder):
    (name,) = written.files
    (folder / name).write_bytes(written.files[name])
    origin = small_site.ORIGIN
    place = lanelet2.io.Origin(origin.latitude_deg, origin.longitude_deg, origin.altitude_m)
    found, errors = lanelet2.io.loadRobust(str(folder / name), lanelet2.projection.LocalCartesianProjector(place))
    assert list(errors) == []
    return found


def test_lanelet2_reads_lines_with_type_subtype_and_place(tmp_path):
    road_map = small_site.road_map()
    found = loaded(write_lanelet2("a", road_map), tmp_path)
    lines = {int(line.attributes["roadscribe:element"]): line for line in found.lineStringLayer}
    kinds = {i: (line.attributes["type"], dict(line.attributes).get("subtype")) for i, line in lines.items()}
    assert kinds[0] == ("road_border", None)
    assert kinds[1] == ("line_thin", "dashed")
    assert kinds[5] == ("stop_line", None)
    assert (kinds[6][1], kinds[7][1]) == ("solid", "solid_solid")
    for i, line in lines.items():
        element = road_map.elements[i]
        xyz = np.array([[p.x, p.y, p.z] for p in line])
        expected = element.vertices[np.r_[0 : len(element.vertices), 0]] if element.closed else element.vertices
        # The library's tangent plane falls away from the ellipsoid, by 0.1 mm in 40 m.
        assert np.abs(xyz - expected).max() < 2e-3
    assert [p.attributes["roadscribe:seen"] for p in lines[1]] == ["yes", "no", "yes", "yes", "yes"]
    assert [p.attributes["roadscribe:views"] for p in lines[1]] == ["7", "0", "7", "7", "7"]
    assert lines[1].attributes["roadscribe:score"] == "0.7500"
    assert lines[1].attributes["roadscribe:trips"] == "monday;tuesday"


def test_a_crossing_is_an_area_and_nothing_is_a_lanelet(tmp_path):
    bow_tie = small_site.element("ped_crossing", small_site.BOW_TIE, closed=True)
    found = loaded(write_lanelet2("a", small_site.road_map(bow_tie)), tmp_path)
    assert len(found.laneletLayer) == 0
    areas = list(found.polygonLayer)
    assert sorted(len(area) for area in areas) == [3, 3, 4]
    assert {area.attributes["type"] for area in areas} == {"crosswalk"}


def test_an_empty_map_is_a_valid_empty_file(tmp_path):
    found = loaded(write_lanelet2("a", RoadMap(elements=(), origin=small_site.ORIGIN)), tmp_path)
    assert len(found.lineStringLayer) == len(found.pointLayer) == 0


def test_what_cannot_be_said_is_refused_or_noted():
    with pytest.raises(ConfigInvalid) as caught:
        write_lanelet2("a", small_site.road_map(origin=None))
    assert "--origin" in caught.value.hint
    with pytest.raises(ArtifactInvalid):
        write_lanelet2("a", small_site.road_map(small_site.element("divider", [[0, np.inf], [1, 1]])))
    flat = write_lanelet2("a", small_site.road_map(small_site.element("divider", [[0, 0], [1, 1]], height_m=None)))
    assert "no `ele`" in flat.notes[0]
    nodes = ElementTree.fromstring(flat.files["a.osm"]).findall("node")
    assert sum(not any(tag.get("k") == "ele" for tag in node) for node in nodes) == 2
