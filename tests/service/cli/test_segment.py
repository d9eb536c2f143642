"""`roadscribe segment`: trains and measures on a real, tiny drive; wrong settings are told before torch is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from recon.errors import ConfigInvalid, DriveInvalid
from service.cli.app import app
from service.cli.segment import STEPS

SMALL = ["--set", "preset=tiny", "--set", "size_px=[96,64]", "--set", "batch=1", "--set", "warmup_steps=1"]
SMALL += ["--set", "threads=1", "--set", "loader_threads=1", "--set", "device=cpu"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "street-wet"
    for name in ("images", "ids"):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / "images/0.png"), np.full((64, 96, 3), 90, np.uint8))
    cv2.imwrite(str(folder / "ids/0.png"), np.full((64, 96), 1, np.uint8))
    return folder


def test_train_and_evaluate(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["segment", "train", str(out), "--data", str(data), "--steps", "2", "--json", *SMALL]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(result.stdout) == {"net": str(out / "net")}
    measured = CliRunner().invoke(
        app, ["segment", "evaluate", str(out / "net"), "--data", str(data), "--json"], catch_exceptions=False
    )
    record = json.loads(measured.stdout)
    assert set(record) == {"all", "wet"}
    assert record["wet"]["images"] == 1
    table = CliRunner().invoke(app, ["segment", "evaluate", str(out / "net"), "--data", str(data)])
    assert "images/s" in table.stdout


@pytest.mark.parametrize("change", ["colour=red", "batch", "batch=0", "batch=many", "size_px=[100,64]"])
def test_a_wrong_setting_is_named(data: Path, tmp_path: Path, change: str) -> None:
    with pytest.raises(ConfigInvalid):
        CliRunner().invoke(
            app, ["segment", "train", str(tmp_path / "o"), "--data", str(data), "--set", change], catch_exceptions=False
        )


def test_data_without_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DriveInvalid, match="no images with ids"):
        CliRunner().invoke(
            app, ["segment", "train", str(tmp_path / "o"), "--data", str(tmp_path)], catch_exceptions=False
        )


def test_the_help_states_the_default_of_the_settings() -> None:
    from training.segmenter.config import TrainConfig

    assert TrainConfig().steps == STEPS
