import dataclasses

import numpy as np
import pytest

from recon.demo_city.config import SIX_CAMERAS, CityConfig, LidarRig, RigCamera
from recon.errors import ConfigInvalid


def test_the_rig_sees_all_around():
    seen = np.zeros(3600, dtype=bool)
    directions = np.arange(3600) / 10.0
    for camera in SIX_CAMERAS:
        off = (directions - camera.yaw_deg + 180.0) % 360.0 - 180.0
        seen |= np.abs(off) <= camera.fov_deg / 2
    assert seen.all()
    assert len({camera.exposure for camera in SIX_CAMERAS}) == len(SIX_CAMERAS)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"frames": 0},
        {"frames": 1000, "spacing_m": 5.0},
        {"spacing_m": 0.0},
        {"spacing_m": float("nan")},
        {"speed_mps": 0.0},
        {"width_px": 8},
        {"cameras": ()},
        {"cameras": (SIX_CAMERAS[0], SIX_CAMERAS[0])},
        {"jpeg_quality": 10},
        {"texel_m": 0.0},
        {"noise": -1.0},
        {"traffic": -1.0},
        {"condition": "fog"},
        {"trip": -1},
        {"pose_noise_m": 9.0},
        {"camera_offset_ms": -1.0},
    ],
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ConfigInvalid):
        dataclasses.replace(CityConfig(), **change)


@pytest.mark.parametrize("change", [{"beams": 0}, {"columns": 1}, {"lowest_deg": 20.0}, {"max_range_m": 0.0}])
def test_lidar_settings_out_of_range_are_refused(change):
    with pytest.raises(ConfigInvalid):
        dataclasses.replace(LidarRig(), **change)


@pytest.mark.parametrize(
    "change",
    [{"name": "../up"}, {"fov_deg": 170.0}, {"position_m": (0.0, 0.0, 0.0)}, {"exposure": 2.0}, {"pitch_deg": 60.0}],
)
def test_a_camera_out_of_range_is_refused(change):
    camera = RigCamera(name="CAM", yaw_deg=0.0, position_m=(1.0, 0.0, 1.5))
    with pytest.raises(ConfigInvalid):
        dataclasses.replace(camera, **change)
