"""The arrow in one process: a drive whose truth is known, through every stage, to the consumer's hands."""

from pathlib import Path

import numpy as np
import pytest
import slope_world as world

from recon.bev.bake import bake
from recon.config import BakeConfig, FitConfig
from recon.fit.fit import fit
from recon.views.views import Trip
from vectorize.config import CropConfig, PackConfig
from vectorize.labels.crop import crop
from vectorize.labels.shard import pack, read_shard
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


def test_a_datum_moves_from_the_drive_to_the_consumer(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path / "drive", frames=14)
    surface = fit([Trip(drive=drive, labels=labels)], FitConfig(corridor_m=10.0, max_distance_m=16.0))
    bev = bake(surface, BakeConfig())
    road_map = trace(bev, TraceConfig())
    label_set = crop(drive, bev, road_map, CropConfig(length_m=20.0, width_m=12.0))
    pack(label_set, drive, PackConfig(), tmp_path / "shards")
    samples = list(read_shard(tmp_path / "shards"))

    (divider,) = road_map.of("divider")
    assert np.abs(divider.vertices[:, 1] - world.LINE_Y_M).max() < 0.1
    assert np.abs(divider.vertices[:, 2] - world.SLOPE * divider.vertices[:, 0]).max() < 0.1
    edges = sorted(float(np.median(e.vertices[:, 1])) for e in road_map.of("boundary"))
    assert edges == pytest.approx([-world.ROAD_HALF_M, world.ROAD_HALF_M], abs=0.15)

    assert len(samples) == len(drive.frames)
    middle = samples[len(samples) // 2]
    (line,) = [v for v in middle.record["vectors"] if v["cls_name"] == "divider"]
    # In the ego frame of a vehicle that climbs, the line is still one metre to the left.
    assert np.abs(np.array(line["pts"])[:, 1] - world.LINE_Y_M).max() < 0.1
    assert middle.known.any()
    assert not middle.known.all()
