"""Data sets on the command line: recognised by their names, a scene named by an option, problems told in full."""

import json
from pathlib import Path

import pytest
import small_argoverse2
import small_nuscenes
from typer.testing import CliRunner

from recon.errors import ConfigInvalid
from service.cli.app import app
from service.cli.job_options import aggregate_spec, is_job_id, label_spec
from vectorize.trace_config import StyleConfig


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


def test_settings_of_the_parts_of_a_stage_nest(tmp_path):
    plain = {"drive_format": "auto", "scene": "", "sweeps": False, "segmenter": "id_images", "weights": None}
    plain |= {"class_map": "", "holdout": 0}
    changes = ["trace.divider.max_width_m=0.5", "trace.bridge_gap_m=12", "trace.divider.smooth_m=1", "bake.cell_m=0.2"]
    spec = label_spec(tmp_path, changes=changes, **plain)
    assert (spec.trace.divider.max_width_m, spec.trace.divider.smooth_m, spec.trace.bridge_gap_m) == (0.5, 1.0, 12.0)
    assert spec.trace.style == StyleConfig()
    for wrong, match in [
        (
            "trace.divider.width=1",
            r"/trace/divider/width: Unexpected keyword .*Did you mean trace\.divider\.max_width_m",
        ),
        ("trace.nonsense=1", r"/trace/nonsense: Unexpected keyword argument Settings"),
        ("trace.divider.max_width=1", r"Did you mean trace\.divider\.max_width_m"),
        ("trace.dividers.max_width_m=1", r"/trace/dividers: Unexpected keyword .*Did you mean trace\.divider"),
        ("trace.solid_run_m=9", r"Did you mean trace\.style\.solid_run_m\? Settings"),
        ("Trace.bridge_gap_m=3", r"/Trace: Extra inputs .*Did you mean trace"),
        ("trace.divider.max_width_m=99", r"trace\.divider\.max_width_m must lie in 0\.05\.\.10 m"),
        ("trace.divider=1", "/trace/divider: Input should be"),
        ("trace.bridge_gap_m.x=1", "/trace/bridge_gap_m: Input should be"),
        ("drive.x=1", "drive has no settings"),
        ("divider", "expected STAGE.FIELD=VALUE"),
    ]:
        with pytest.raises(ConfigInvalid, match=match):
            label_spec(tmp_path, changes=[wrong], **plain)


NET = {"weights": None, "class_map": "", "changes": None, "segmenter": "id_images"}
JOB = "0198f3c2-5d1e-7c40-9b7a-3f0e6c1d2a54"


def test_scenes_of_one_data_root_are_trips(tmp_path):
    scenes = ["scene-0001", "v1.0-mini/scene-0002"]
    spec = aggregate_spec([tmp_path], drive_format="auto", scenes=scenes, sweeps=True, **NET)
    assert [(one.drive, one.scene, one.sweeps) for one in spec.drives] == [
        (str(tmp_path.resolve()), scene, True) for scene in scenes
    ]
    with pytest.raises(ConfigInvalid, match="--scene with 2 drives"):
        aggregate_spec([tmp_path, tmp_path / "b"], drive_format="auto", scenes=scenes, sweeps=False, **NET)
    with pytest.raises(ConfigInvalid, match="/drives: "):  # one trip is no site
        aggregate_spec([tmp_path], drive_format="auto", scenes=None, sweeps=False, **NET)


def test_a_job_is_told_from_a_folder_by_its_form(tmp_path, monkeypatch):
    spec = aggregate_spec([JOB, "monday"], drive_format="kitti_raw", scenes=None, sweeps=False, **NET)
    assert [(one.job, one.drive) for one in spec.drives] == [(JOB, ""), ("", str(Path("monday").resolve()))]
    assert spec.input_jobs() == {"/drives/0/job": JOB}
    assert not is_job_id("0198f3c2")
    monkeypatch.chdir(tmp_path)
    (tmp_path / JOB).mkdir()
    assert not is_job_id(JOB)  # a folder of that name is meant
