import json
from pathlib import Path

import numpy as np
import pytest

from recon.classes import CLASS_COUNT, CLASS_MAP_FOLDER, COLORS_RGB, DRIVABLE, GROUND, ClassMap, RoadClass
from recon.errors import ModelInvalid


def test_every_class_has_a_colour_of_its_own() -> None:
    assert len({tuple(c) for c in COLORS_RGB.tolist()}) == CLASS_COUNT


def test_paint_is_drivable_and_the_drivable_is_ground() -> None:
    assert RoadClass.LANE_MARKING in DRIVABLE
    assert set(DRIVABLE) < set(GROUND)
    assert RoadClass.BACKGROUND not in GROUND


def test_the_shipped_map_of_the_adas_net() -> None:
    class_map = ClassMap.load(CLASS_MAP_FOLDER / "road_segmentation_adas_0001.json")
    assert dict(zip(class_map.names, class_map.targets, strict=True)) == {
        "background": RoadClass.BACKGROUND,
        "road": RoadClass.ROAD,
        "curb": RoadClass.CURB,
        "mark": RoadClass.LANE_MARKING,
    }


def test_folding_keeps_the_mass() -> None:
    class_map = ClassMap.load(CLASS_MAP_FOLDER / "road_segmentation_adas_0001.json")
    probability = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 5)).transpose(2, 0, 1).astype(np.float32)
    folded = class_map.fold(probability)
    assert folded.shape == (CLASS_COUNT, 3, 5)
    assert np.allclose(folded.sum(axis=0), 1)
    assert np.allclose(folded[RoadClass.LANE_MARKING], probability[3])


def test_a_model_with_another_class_count_is_refused() -> None:
    class_map = ClassMap.load(CLASS_MAP_FOLDER / "road_segmentation_adas_0001.json")
    with pytest.raises(ModelInvalid, match=r"5 classes.*has 4"):
        class_map.fold(np.zeros((5, 2, 2), np.float32))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": "x", "version": 1, "classes": [{"name": "a", "road_class": "LAVA"}]}, "LAVA"),
        ({"name": "x", "classes": []}, "version"),
        ([], "parse"),
    ],
)
def test_a_faulty_map_names_file_and_entry(tmp_path: Path, body: object, message: str) -> None:
    path = tmp_path / "map.json"
    path.write_text(json.dumps(body))
    with pytest.raises(ModelInvalid, match=message):
        ClassMap.load(path)
    with pytest.raises(ModelInvalid, match="does not exist"):
        ClassMap.load(tmp_path / "nowhere.json")
