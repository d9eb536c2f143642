"""Data sets on the command line: recognised by their names, a scene named by an option, problems told in full."""

import json

import pytest
import small_argoverse2
import small_nuscenes
from typer.testing import CliRunner

from recon.errors import ConfigInvalid
from service.cli.app import app
from service.cli.spec import label_spec


def validate(*arguments):
    result = CliRunner().invoke(app, ["validate", *map(str, arguments), "--json"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, json.loads(result.stdout)["problems"]


def test_a_log_of_argoverse_2_is_recognised(tmp_path):
    assert validate(small_argoverse2.write(tmp_path)) == (0, [])


def test_a_log_without_images_is_told_what_it_lacks(tmp_path):
    code, (problem,) = validate(small_argoverse2.write(tmp_path, images=False))
    assert (code, problem["code"]) == (1, "DRIVE_EMPTY")
    assert "sensors/cameras" in problem["hint"]


def test_a_scene_of_nuscenes_is_named_by_an_option(tmp_path):
    root = small_nuscenes.write(tmp_path / "root")
    assert validate(root, "--scene", "scene-0001", "--sweeps") == (0, [])
    with pytest.raises(ConfigInvalid, match="holds 2 scenes"):
        validate(root)
    min((root / "samples" / "CAM_BACK").iterdir()).unlink()
    code, (problem,) = validate(root, "--scene", "scene-0001")
    assert (code, problem["code"]) == (1, "IMAGES_CORRUPT")
    assert "sample scene-0001-0" in problem["where"]
    assert validate(root, "--scene", "scene-0002") == (0, [])  # another scene's files are not its business


def test_a_job_says_which_scene_it_reads(tmp_path):
    plain = {"weights": None, "class_map": "", "holdout": 0, "changes": None, "segmenter": "id_images"}
    spec = label_spec(tmp_path, drive_format="nuscenes", scene="scene-0001", sweeps=True, **plain)
    assert (spec.format, spec.scene, spec.sweeps) == ("nuscenes", "scene-0001", True)
    assert spec.input_paths() == {"/drive": str(tmp_path.resolve())}  # the gate sees the folder alone
