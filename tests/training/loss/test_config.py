import pytest

from recon.errors import ConfigInvalid
from training.loss.config import LossConfig
from training.match.config import MatchConfig


@pytest.mark.parametrize(
    "given",
    [
        {"class_weight": 0.0},
        {"points_weight": -1.0},
        {"bev_weight": float("nan")},
        {"raster_px": (4, 128)},
        {"area_classes": ("lake",)},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(ConfigInvalid, match=next(iter(given))):
        LossConfig(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"class_cost": -1.0},
        {"class_cost": 0.0, "points_cost": 0.0},
        {"touch_cells": 0},
        {"least_piece_cells": 0.0},
        {"most_pieces": 9},
        {"most_steps": -1},
    ],
    ids=str,
)
def test_settings_of_matching_out_of_range_are_refused(given):
    with pytest.raises(ConfigInvalid, match=r"loss\.match"):
        MatchConfig(**given)


def test_areas_are_the_classes_whose_rings_are_polygons():
    assert LossConfig().area_classes == ("ped_crossing",)
