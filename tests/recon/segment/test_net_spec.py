"""Class map files say what a net wants; a wrong one is refused with the entry that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recon.errors import ModelInvalid
from recon.segment.net_spec import NetSpec, class_map_path

CLASSES = [{"name": "background", "road_class": "BACKGROUND"}, {"name": "road", "road_class": "ROAD"}]


def written(folder: Path, **more: Any) -> Path:
    path = folder / "map.json"
    path.write_text(json.dumps({"name": "net", "version": 1, "classes": CLASSES, **more}))
    return path


def test_the_shipped_map_fits_the_open_model_zoo_net() -> None:
    spec = NetSpec.load(class_map_path("road_segmentation_adas_0001"))
    assert (spec.color, spec.mean, spec.scale, spec.activation) == ("bgr", (0, 0, 0), (1, 1, 1), "softmax")
    assert spec.class_map.names == ("background", "road", "curb", "mark")


def test_conventions_are_read(tmp_path: Path) -> None:
    given = {"color": "rgb", "mean": [1, 2, 3], "scale": [4, 5, 6.5], "size_px": [64, 32]}
    spec = NetSpec.load(written(tmp_path, input=given, output={"activation": "logits"}))
    assert (spec.color, spec.mean, spec.scale) == ("rgb", (1, 2, 3), (4, 5, 6.5))
    assert (spec.size_px, spec.activation) == ((64, 32), "logits")


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("input", {"colour": "rgb"}, "unknown entry 'colour'"),
        ("input", {"color": "hsv"}, "hsv"),
        ("input", {"mean": 3}, "three numbers"),
        ("input", {"scale": [1, 0, 1]}, "positive"),
        ("input", {"scale": [1, "a", 1]}, "three numbers"),
        ("input", {"size_px": [64]}, "width and height"),
        ("input", {"size_px": [64.5, 3]}, "width and height"),
        ("output", {"activation": "sigmoid"}, "sigmoid"),
        ("output", [], "output"),
        ("classes", [{"name": "road", "road_class": "STREET"}], "STREET"),
    ],
)
def test_wrong_entries_are_named(tmp_path: Path, part: str, value: Any, message: str) -> None:
    with pytest.raises(ModelInvalid, match=message):
        NetSpec.load(written(tmp_path, **{part: value}))


@pytest.mark.parametrize("name", ["nonsense", "../class_maps/road_segmentation_adas_0001", "", "missing.json"])
def test_unknown_maps_are_refused(name: str) -> None:
    with pytest.raises(ModelInvalid):
        NetSpec.load(class_map_path(name))
