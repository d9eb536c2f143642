"""A stage that cannot fit into memory is refused before it starts, with a setting that fits."""

import re
from dataclasses import replace

import pytest
import small_drive

from recon.config import FitConfig, SegmentConfig
from recon.errors import MemoryShort
from recon.formats.read_drive import read_drive
from workers.jobs.label import LabelJob
from workers.memory.fit_need import check_fit, largest_tile
from workers.memory.limit import kills_for_memory, memory_limit_mb
from workers.memory.need import check_segment
from workers.retry import stepped_down


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """Return a drive of 1 km with a pose every 4 m."""
    drive = read_drive(small_drive.write(tmp_path_factory.mktemp("need") / "drive"))
    first = drive.frames[0]
    frames = []
    for number in range(250):
        pose = first.world_from_ego.copy()
        pose[0, 3] = 4.0 * number
        frames.append(replace(first, world_from_ego=pose, time_ns=first.time_ns + number))
    return replace(drive, frames=tuple(frames))


def test_a_fit_that_fits_is_not_refused(drive):
    check_fit([drive], FitConfig(), 4000.0)
    check_fit([], FitConfig(), 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("config", [FitConfig(cell_m=0.02, tile_cells=100_000_000), FitConfig(tile_cells=10_000_000)])
def test_a_fit_is_refused_with_tiles_that_fit(drive, config):
    with pytest.raises(MemoryShort, match=r"needs about \d+ MB of memory, and there are 1000 MB") as caught:
        check_fit([drive], config, 1000.0)
    fewer = int(re.search(r"fit.tile_cells to (\d+)", caught.value.hint)[1])
    smaller = replace(config, tile_cells=fewer)
    assert largest_tile([drive], smaller) <= fewer
    check_fit([drive], smaller, 1000.0)


def test_images_that_do_not_fit_are_refused(drive):
    cameras = tuple(replace(camera, width_px=8000, height_px=8000) for camera in drive.cameras)
    large = replace(drive, cameras=cameras)
    check_segment(large, SegmentConfig(), 8000.0)
    with pytest.raises(MemoryShort) as caught:
        check_segment(large, SegmentConfig(), 2000.0)
    assert caught.value.hint == "Scale the images and the calibration down."
    with pytest.raises(MemoryShort) as caught:
        check_segment(large, SegmentConfig(backend="openvino", weights="x.xml"), 8000.0)
    assert "segment.batch to 1" in caught.value.hint
    with pytest.raises(MemoryShort) as caught:
        check_fit([large], FitConfig(), 2000.0)
    assert caught.value.hint == "Scale the images down."


def test_the_limit_is_that_of_the_control_group(tmp_path):
    machine = memory_limit_mb(tmp_path)
    assert machine > 100
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_limit_mb(tmp_path) == machine
    (tmp_path / "memory.max").write_text("50000000\n")
    assert memory_limit_mb(tmp_path) == 50.0


def test_kills_are_counted_where_the_kernel_counts_them(tmp_path):
    assert kills_for_memory(tmp_path / "none") == 0
    (tmp_path / "vmstat").write_text("pgfault 5\noom_kill 3\n")
    assert kills_for_memory(tmp_path / "vmstat") == 3


def test_a_job_steps_down_to_settings_that_take_less():
    job = LabelJob(drive="/d", fit=FitConfig(tile_cells=500_000), segment=SegmentConfig(batch=4))
    assert stepped_down(job, 0) == (job, {})
    lighter, changes = stepped_down(job, 1)
    assert changes == {"fit.tile_cells": 250_000, "segment.batch": 2}
    assert (lighter.fit.tile_cells, lighter.segment.batch) == (250_000, 2)
    assert stepped_down(job, 9)[1] == {"fit.tile_cells": 100_000, "segment.batch": 1}
    small = LabelJob(drive="/d", fit=FitConfig(tile_cells=20_000))
    assert stepped_down(small, 1)[0].fit.tile_cells == 20_000
