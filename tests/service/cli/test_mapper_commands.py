"""`roadscribe train`, `predict` and `evaluate --model` on tiny data; wrong settings are refused before torch loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_drive
import small_mapper
import small_shards
from typer.testing import CliRunner

from recon.errors import ConfigInvalid, ModelInvalid, PathRefused
from service.cli.app import app


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(small_mapper.TOML)
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_train_predict_and_evaluate(config: Path, tmp_path: Path) -> None:
    near = small_shards.write(tmp_path / "near")
    far = small_shards.write(tmp_path / "far", name="b")
    out = tmp_path / "run"
    said = run("train", config, out, "--data", near, "--validation", far, "--json", "--set", "draw_samples=1")
    model = Path(json.loads(said)["model"])
    assert model == out / "model"
    record = json.loads(run("evaluate", far, "--model", model, "--json"))
    assert record["patches"]["patches"] == 4
    assert record["about"]["model"]
    page = tmp_path / "page.html"
    assert "patches, observed area" in run("evaluate", far, "--model", model, "--html", page)
    assert "data:image/png" in page.read_text()
    drive = small_drive.write(tmp_path / "drive")
    report = json.loads(run("predict", model, drive, tmp_path / "predicted", "--json", "--least-score", "0"))
    assert report["job"]["kind"] == "predict"
    assert report["keyframes"] == 2
    assert "keyframes" in run("show", tmp_path / "predicted", "--json")
    tuned = run("train", config, tmp_path / "tuned", "--data", near, "--init", model, "--set", "steps=1", "--json")
    assert json.loads(tuned)["model"] == str(tmp_path / "tuned/model")


@pytest.mark.parametrize("change", ["colour=red", "model.layrs=2", "steps=0", "batch"])
def test_a_wrong_setting_is_named(config: Path, tmp_path: Path, change: str) -> None:
    with pytest.raises(ConfigInvalid):
        run("train", config, tmp_path / "o", "--data", tmp_path, "--set", change)


def test_what_is_no_model_is_refused(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="no model"):
        run("train", config, tmp_path / "o", "--data", tmp_path, "--init", tmp_path)


def test_a_folder_with_other_files_gets_no_prediction(config: Path, tmp_path: Path) -> None:
    with pytest.raises(PathRefused):
        run("predict", tmp_path, tmp_path, config.parent)
