"""Presets are named, and `r50` has the published shape."""

from __future__ import annotations

import pytest

from recon.errors import ConfigInvalid
from training.model.presets import PRESETS, preset


def test_r50_has_the_published_shape() -> None:
    config = preset("r50")
    assert (config.instances, config.instances_many, config.points, config.layers) == (50, 300, 20, 6)
    assert (config.bev_px, config.image_px, config.lift) == ((200, 100), (800, 480), "lss")
    assert config.depth_bins == 68


def test_an_unknown_preset_names_the_known() -> None:
    assert set(PRESETS) == {"tiny", "small", "r50"}
    with pytest.raises(ConfigInvalid, match="tiny, small, r50"):
        preset("huge")
