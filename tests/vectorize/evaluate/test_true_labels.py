from __future__ import annotations

import json

import numpy as np
import pytest

from recon.errors import InputInvalid, PathRefused
from recon.formats.read_drive import read_drive
from service.cli.truth import truth
from tests.worlds import straight_road
from vectorize.config import CropConfig
from vectorize.evaluate.true_labels import true_labels
from vectorize.labels.shard import read_shard
from vectorize.road_map import RoadMap
from vectorize.truth.truth_elements import fully_seen


def road_map(y_m=0.0):
    line = np.array([[-100.0, y_m, 0.0], [100.0, y_m, 0.0]])
    centre = fully_seen("centerline", line + [0, 1, 0], style="unknown", closed=False)
    hatched = fully_seen("hatched", np.array([[0, 0, 0], [1.0, 0, 0], [1, 1, 0]]), style="unknown", closed=True)
    return RoadMap(elements=(fully_seen("divider", line, style="solid", closed=False), centre, hatched))


def test_a_true_map_becomes_labels_of_which_all_is_known(tmp_path):
    drive = read_drive(straight_road.write(tmp_path / "d", frames=3))
    labels = true_labels(drive, road_map(), CropConfig(length_m=20, width_m=10), source="abc")
    assert [one.frame for one in labels.labels] == [0, 1, 2]
    assert labels.provenance == {"true_map": "abc"}
    for one in labels.labels:
        assert one.known.all()
        assert one.known.shape == labels.mask_shape
        divider, centre = one.elements  # hatched areas are no class of samples
        assert (divider.element_class, centre.element_class) == ("divider", "centerline")
        assert np.sort(divider.vertices[:, 0]) == pytest.approx([-10, 10])
        assert divider.vertices[:, 1] == pytest.approx(1.75)


def test_a_map_of_another_place_is_refused(tmp_path):
    drive = read_drive(straight_road.write(tmp_path / "d", frames=2))
    with pytest.raises(InputInvalid, match="do not overlap"):
        true_labels(drive, road_map(y_m=500.0), CropConfig())


def test_the_command_packs_the_map_with_images_and_ids(tmp_path, capsys):
    folder = straight_road.write(tmp_path / "d", frames=2)
    with pytest.raises(InputInvalid, match="no true map"):
        truth(folder, tmp_path / "x")
    element = {"class": "divider", "vertices": [[-50, 0, 0], [50, 0, 0]], "style": "solid"}
    body = {"format": "roadscribe-true-map", "version": 1, "elements": [element]}
    (tmp_path / "map.json").write_text(json.dumps(body))
    wanted = ["pack.with_images=true", "pack.with_ids=true", "pack.image_px=[120,60]"]
    truth(folder, tmp_path / "x", map_=tmp_path / "map.json", changes=wanted, as_json=True)
    assert json.loads(capsys.readouterr().out)["samples"] == 2
    samples = list(read_shard(tmp_path / "x"))
    assert [list(s.images) + list(s.ids) for s in samples] == [["front", "front"]] * 2
    assert all(s.known.all() and len(s.record["vectors"]) == 1 for s in samples)
    with pytest.raises(PathRefused):
        truth(folder, tmp_path / "x", map_=tmp_path / "map.json")
