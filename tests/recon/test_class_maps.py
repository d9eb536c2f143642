"""Every name of every shipped class map is mapped on purpose; the defects of earlier mappings stay fixed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recon.classes import CLASS_COUNT, CLASS_MAP_FOLDER, DRIVABLE, GROUND, ClassMap, RoadClass
from recon.segment.frame_labels import Labels
from recon.segment.mask2former import decide, fold_matrix
from recon.segment.segment import _clean
from recon.segment.segmenter import Segmentation

ROOT = Path(__file__).parents[2]
COUNTS = {"cityscapes": 19, "mapillary_vistas_v1_2": 65, "mapillary_vistas_v2_0": 124, "roadscribe": 9}

# The projection of PseudoMapTrainer's six classes by id (0-based, the order of mmsegmentation), where ours agrees.
V2_DIVIDERS = (10, 35, 36, 37, 38, 55)
V2_CROSSWALKS = (14, 45, 56)
V2_OFF_ROAD = (8, 9, 16, 24, 25, 63)


def shipped(name: str) -> ClassMap:
    return ClassMap.load(CLASS_MAP_FOLDER / f"{name}.json")


def target(name: str, thing: str) -> RoadClass:
    class_map = shipped(name)
    return class_map.targets[class_map.names.index(thing)]


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_every_class_has_its_own_name(name: str, count: int) -> None:
    class_map = shipped(name)
    assert class_map.name == name
    assert len(class_map.names) == len(set(class_map.names)) == count
    for i in class_map.dynamic:
        assert class_map.targets[i] == RoadClass.UNKNOWN, class_map.names[i]


@pytest.mark.parametrize("name", COUNTS)
def test_the_documented_table_is_the_data(name: str) -> None:
    body = json.loads((CLASS_MAP_FOLDER / f"{name}.json").read_text())
    rows = [
        f"| {i} | {c['name']} | {c['road_class']} | {'yes' if c.get('dynamic') else ''} | {c.get('note', '')} |"
        for i, c in enumerate(body["classes"])
    ]
    text = (ROOT / "docs" / "class-maps.md").read_text()
    section = text.split(f"## {name}\n")[1].split("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| ")][2:] == rows


def test_order_of_vistas_v2() -> None:
    names = shipped("mapillary_vistas_v2_0").names
    known = {4: "Curb", 10: "Lane Separator", 21: "Road", 23: "Service Lane", 35: "Lane Marking - Dashed Line"}
    known |= {51: "Lane Marking - Stop Line", 63: "Terrain", 69: "Catch Basin", 74: "Manhole", 77: "Pothole"}
    known |= {105: "Bicycle", 117: "Water Valve", 121: "Ground", 123: "Unlabeled"}
    assert {i: names[i] for i in known} == known


def test_order_of_vistas_v1() -> None:
    names = shipped("mapillary_vistas_v1_2").names
    known = {2: "Curb", 7: "Bike Lane", 8: "Crosswalk - Plain", 13: "Road", 14: "Service Lane", 15: "Sidewalk"}
    known |= {23: "Lane Marking - Crosswalk", 24: "Lane Marking - General", 29: "Terrain", 41: "Manhole", 52: "Bicycle"}
    assert {i: names[i] for i in known} == known


def test_vistas_v2_projects_to_the_six_classes() -> None:
    targets = shipped("mapillary_vistas_v2_0").targets
    assert {targets[i] for i in V2_DIVIDERS} == {RoadClass.LANE_MARKING}
    assert {targets[i] for i in V2_CROSSWALKS} == {RoadClass.CROSSWALK}
    assert {targets[i] for i in V2_OFF_ROAD} == {RoadClass.OFF_ROAD}
    assert {targets[i] for i in (4, 15)} == {RoadClass.CURB}
    others = set(range(39, 59)) - set(V2_CROSSWALKS) - set(V2_DIVIDERS) - {51}
    assert {targets[i] for i in others} == {RoadClass.OTHER_MARKING}
    assert {i for i, t in enumerate(targets) if t == RoadClass.LANE_MARKING} == set(V2_DIVIDERS)
    assert targets[51] == RoadClass.STOP_LINE


def test_everything_that_drives_or_walks_is_dynamic() -> None:
    for name, first, last in (("mapillary_vistas_v2_0", 105, 116), ("mapillary_vistas_v1_2", 52, 62)):
        class_map = shipped(name)
        assert set(range(first, last + 1)) <= set(class_map.dynamic)
    assert set(range(11, 19)) == set(shipped("cityscapes").dynamic)


def test_no_two_maps_disagree_about_a_name() -> None:
    one, other = shipped("mapillary_vistas_v1_2"), shipped("mapillary_vistas_v2_0")
    for name in set(one.names) & set(other.names):
        assert one.targets[one.names.index(name)] == other.targets[other.names.index(name)], name


# The four upstream defects, each named after what was wrong.


@pytest.mark.parametrize("name", ["mapillary_vistas_v1_2", "mapillary_vistas_v2_0"])
def test_defect_service_lane_left_as_background(name: str) -> None:
    assert target(name, "Service Lane") == RoadClass.ROAD


@pytest.mark.parametrize("name", ["mapillary_vistas_v1_2", "mapillary_vistas_v2_0"])
def test_defect_catch_basin_mapped_to_road_but_masked_out(name: str) -> None:
    assert target(name, "Catch Basin") in DRIVABLE
    class_map = shipped(name)
    index = class_map.names.index("Catch Basin")
    assert index not in class_map.dynamic
    # It supervises: a certain catch basin comes out as road with full confidence, not as a masked pixel.
    plane = fold_matrix(class_map, len(class_map.names), where="")[index]
    labels = _clean(decide(plane.view(CLASS_COUNT + 1, 1, 1).clone()), None, 5)
    assert labels.ids.item() == RoadClass.ROAD
    assert labels.confidence.item() == 255


@pytest.mark.parametrize("dilate_px", [0, 3, 10, 20])
def test_defect_dilation_given_as_destination(dilate_px: int) -> None:
    """The third positional argument of cv2.dilate is the destination, not the number of iterations."""
    ids = np.full((101, 800), int(RoadClass.ROAD), np.uint8)
    dynamic = np.zeros(ids.shape, bool)
    dynamic[50, 400] = True
    cleaned = _clean(Segmentation(labels=Labels.certain(ids), dynamic=dynamic), None, dilate_px).ids
    masked = np.argwhere(cleaned == RoadClass.UNKNOWN)
    assert np.ptp(masked, axis=0).tolist() == [2 * dilate_px, 2 * dilate_px]


@pytest.mark.parametrize("thing", ["Pothole", "Water Valve"])
def test_defect_road_surface_masked_out(thing: str) -> None:
    assert target("mapillary_vistas_v2_0", thing) == RoadClass.ROAD
    ground = target("mapillary_vistas_v2_0", "Ground")
    assert ground in GROUND
    assert ground not in DRIVABLE  # it is ground, but nobody said that it is driven on


def test_a_map_with_an_unknown_class_names_file_and_fix(tmp_path: Path) -> None:
    from recon.errors import ModelInvalid

    path = tmp_path / "own.json"
    path.write_text(json.dumps({"name": "own", "version": 1, "classes": [{"name": "a", "road_class": "STREET"}]}))
    with pytest.raises(ModelInvalid, match="STREET") as caught:
        ClassMap.load(path)
    assert caught.value.where == str(path)
    assert "LANE_MARKING" in caught.value.hint


def test_folding_keeps_every_class_once() -> None:
    for name, count in COUNTS.items():
        fold = fold_matrix(shipped(name), count, where="")
        assert torch.equal(fold.sum(dim=1), torch.ones(count))
