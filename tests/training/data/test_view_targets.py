"""What a feature cell shows, against a slow twin that looks at every pixel."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from recon.classes import CLASS_COUNT, RoadClass
from recon.errors import ArtifactInvalid, ImageInvalid
from training.data.view_targets import NOT_LABELLED, depth_target, view_target
from training.model.config import ModelConfig

MODEL = ModelConfig(image_px=(64, 48), stride=8, bev_px=(16, 16), backbone="swin")
RESNET = replace(MODEL, backbone="resnet18")  # its features look 3.5 pixels up and left of their cells' middles
PAINT = (RoadClass.LANE_MARKING, RoadClass.STOP_LINE, RoadClass.OTHER_MARKING)


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def target_of(ids, config=MODEL):
    return view_target(png(ids), recorded_px=ids.shape[::-1], config=config, where="x")


def test_a_cell_has_what_its_pixels_show():
    random = np.random.default_rng(3)
    blobs = random.integers(0, CLASS_COUNT, (6, 8), np.uint8)
    ids = cv2.resize(blobs, (64, 48), interpolation=cv2.INTER_NEAREST)
    ids = np.roll(ids, (3, 2), (0, 1))
    found = target_of(ids)
    for row in range(6):
        for column in range(8):
            cell = ids[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
            if found[0, row, column] == NOT_LABELLED:
                assert (cell == RoadClass.UNKNOWN).mean() > 0.5
                assert (found[:, row, column] == NOT_LABELLED).all()
                continue
            assert found[0, row, column] == (np.isin(cell, PAINT).mean() > 0.02)
            assert found[2, row, column] == ((cell == RoadClass.CROSSWALK).mean() > 0.02)
            if (cell == RoadClass.CURB).mean() > 0.02:
                assert found[1, row, column] == 1


def test_the_border_of_the_road_is_a_boundary_and_its_end_at_a_house_is_not():
    ids = np.full((48, 64), RoadClass.ROAD, np.uint8)
    ids[:, 44:] = RoadClass.OFF_ROAD
    ids[:20] = RoadClass.BACKGROUND
    found = target_of(ids)
    assert found[1, 3:, 5].all()
    assert not found[1, :2].any()
    assert not found[1, :, :5].any()


def test_padding_and_unknown_pixels_are_not_labelled():
    ids = np.full((24, 64), RoadClass.ROAD, np.uint8)  # a wide image: the upper half of the input is padding
    ids[:, :16] = RoadClass.UNKNOWN
    found = target_of(ids)
    assert (found[:, :3] == NOT_LABELLED).all()
    assert (found[:, 3:, :2] == NOT_LABELLED).all()
    assert (found[:, 3:, 2:] == 0).all()
    tall = target_of(np.full((48, 32), RoadClass.LANE_MARKING, np.uint8))
    assert (tall[:, :, [0, 1, 6, 7]] == NOT_LABELLED).all()
    assert (tall[0, :, 2:6] == 1).all()


def test_stored_ids_of_any_size_serve():
    ids = np.full((96, 128), RoadClass.ROAD, np.uint8)
    ids[:, 64:66] = RoadClass.STOP_LINE
    assert target_of(ids)[0].sum(axis=0).tolist() == [0, 0, 0, 0, 6, 0, 0, 0]


def test_depth_is_the_nearest_point_of_a_cell():
    depth = np.zeros((24, 64), np.uint16)
    depth[0, 0], depth[5, 7], depth[23, 63] = 1000, 900, 70
    found = depth_target(png(depth), 0.01, recorded_px=(64, 24), config=MODEL, where="x")
    expected = np.zeros((6, 8), np.float32)
    expected[3, 0], expected[5, 7] = 9.0, 0.7
    assert found == pytest.approx(expected)


def test_features_that_look_beside_their_cell_are_taught_what_they_see():
    ids = np.full((48, 64), RoadClass.ROAD, np.uint8)
    ids[:, 13:20] = RoadClass.STOP_LINE  # around 16.5, where the third feature of each row looks
    assert target_of(ids)[0, 3].tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    shifted = target_of(ids, RESNET)
    assert shifted[0, 3, 1:].tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert (shifted[:, 1:, 1:] != NOT_LABELLED).all()
    depth = np.zeros((48, 64), np.uint16)
    depth[15, 13], depth[47, 63] = 500, 700
    found = depth_target(png(depth), 0.01, recorded_px=(64, 48), config=RESNET, where="x")
    assert found[2, 2] == pytest.approx(5.0)
    assert np.count_nonzero(found) == 1  # no feature looks as far down as the last row


def test_damaged_planes_are_refused():
    ids = png(np.full((48, 64), 1, np.uint8))
    with pytest.raises(ImageInvalid):
        view_target(ids[:-20], recorded_px=(64, 48), config=MODEL, where="x")
    with pytest.raises(ImageInvalid):
        view_target(ids, recorded_px=(64, 40), config=MODEL, where="x")
    with pytest.raises(ArtifactInvalid):
        depth_target(ids, 0.01, recorded_px=(64, 48), config=MODEL, where="x")
