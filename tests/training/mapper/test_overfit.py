"""The smallest model learns eight samples by heart, five minutes of one core: it tells whether anything is learnt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recon.demo_city.city_drive import write_demo_drive
from recon.demo_city.config import CityConfig
from recon.formats.read_drive import read_drive
from training.data.config import AugmentConfig, DataConfig
from training.data.shard_pool import ShardPool
from training.mapper.checkpoint_folder import load_model
from training.mapper.config import MapperConfig
from training.mapper.predict import predict_samples
from training.mapper.score import patch_of, scalars_of, score_of
from training.mapper.train import train
from training.model.presets import preset
from vectorize.config import CropConfig, PackConfig
from vectorize.evaluate.true_labels import true_labels
from vectorize.labels.shard import pack
from vectorize.truth.read_truth import truth_of

SAMPLES = 8
CONFIG = MapperConfig(
    model=preset("tiny"),
    data=DataConfig(augment=AugmentConfig(mirror=0.0, color=0.0)),
    steps=300,
    batch=2,
    learning_rate=2e-3,
    backbone_rate=0.0,
    weight_decay=0.0,
    warmup_steps=20,
    ema=0.9,
    validate_every=10_000,
    save_every=10_000,
    device="cpu",
    threads=1,  # two threads that share a core wait for each other
    loader_threads=1,
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("city")
    width, height = CONFIG.model.image_px
    city = CityConfig(
        seed=7, frames=SAMPLES, spacing_m=6.0, width_px=width, height_px=height, with_lidar=False, texel_m=0.05
    )
    write_demo_drive(folder / "drive", city)
    drive = read_drive(folder / "drive")
    road_map = truth_of(drive)
    assert road_map is not None
    labels = true_labels(drive, road_map, CropConfig(), source="")
    pack(labels, drive, PackConfig(with_images=True), folder / "shards")
    return folder / "shards"


@pytest.mark.slow
@pytest.mark.timeout(1800)  # on a busy machine
def test_tiny_learns_eight_samples(shards: Path, tmp_path: Path) -> None:
    model = train(tmp_path / "out", CONFIG, [shards])
    net, shape, _ = load_model(model, torch.device("cpu"))
    pool = ShardPool.open([shards], shape)
    assert len(pool) == SAMPLES
    samples = (pool.read(number) for number in range(SAMPLES))
    found = predict_samples(net, shape, samples, device=torch.device("cpu"))
    scalars = scalars_of(score_of([patch_of(sample, elements) for sample, elements, _ in found]))
    assert scalars["map/observed"] >= 0.9, scalars
    assert scalars["map/full"] == scalars["map/observed"]  # a true map is known everywhere
