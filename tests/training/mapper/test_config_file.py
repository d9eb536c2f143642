"""Settings from TOML: presets, sections, changes; everything unknown or out of range is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon.errors import ConfigInvalid, ModelInvalid
from training.mapper.config import MapperConfig
from training.mapper.config_file import read_config
from training.model.presets import preset

TEXT = """
steps = 300
best = "map/observed"
[model]
preset = "tiny"
layers = 2
patch.length_m = 50
[loss]
mask_aware = false
[data.augment]
mirror = 0.0
[[data.sources]]
folders = ["a", "b"]
share = 2.0
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(TEXT)
    return path


def test_a_file_changes_the_preset_and_changes_the_file(path: Path) -> None:
    config = read_config(path, ["model.points=12", "data.augment.color=0.5", "device=cpu", "model.bev_px=[60,30]"])
    assert (config.steps, config.device, config.best) == (300, "cpu", "map/observed")
    assert config.model.image_px == preset("tiny").image_px
    assert (config.model.layers, config.model.points, config.model.bev_px) == (2, 12, (60, 30))
    assert (config.model.patch.length_m, config.model.patch.width_m) == (50.0, 30.0)
    assert config.loss.mask_aware is False
    assert (config.data.augment.mirror, config.data.augment.color) == (0.0, 0.5)
    assert (config.data.sources[0].folders, config.data.sources[0].share) == (("a", "b"), 2.0)


def test_no_file_is_the_defaults() -> None:
    assert read_config(None) == MapperConfig()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("model.layrs=2", "model.layers"),
        ("colour=red", "colour"),
        ("model.layers=two", "model.layers"),
        ('model.layers="2"', "model.layers"),
        ("model.channels=63", "multiple of heads"),
        ("model.preset=huge", "huge"),
        ("model.preset=3", "preset"),
        ("steps", "NAME=VALUE"),
        ("steps.more=3", "steps has no settings"),
        ("model=3", "section"),
        ("loss.class_weight=-1", "class_weight"),
        ("learning_rate=NaN", "learning_rate"),
    ],
)
def test_what_is_wrong_is_named(path: Path, change: str, named: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read_config(path, [change])
    assert named in str(caught.value)


@pytest.mark.parametrize("text", ["steps = ", "steps = 2020-01-01", "[model]\nlayers = [1, {}]"])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigInvalid, match=r"bad\.toml|layers"):
        read_config(tmp_path / "bad.toml")
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        read_config(tmp_path / "absent.toml")


def test_a_model_to_go_on_from_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="no model"):
        read_config(None, init=tmp_path)


def test_what_is_watched_may_change_between_the_parts_of_a_run(path: Path) -> None:
    before = read_config(path).identity()
    assert (
        read_config(path, ["validate_samples=3", "draw_samples=1", 'validation=[{"folders":["c"]}]']).identity()
        == before
    )
    assert read_config(path, ["backbone_rate=0.5"]).identity() != before
