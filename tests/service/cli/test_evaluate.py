from __future__ import annotations

import json

import painted_result
import pytest
from typer.testing import CliRunner

from recon.errors import ArtifactForeign, InputInvalid
from service.cli.app import app
from vectorize.road_map import RoadMap


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return painted_result.write(tmp_path_factory.mktemp("job"))


def evaluate(*arguments):
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "160"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_it_prints_tables_and_writes_a_page(folders, tmp_path):
    drive, out = folders
    text = evaluate(out, "--truth", drive, "--html", tmp_path / "new" / "page.html")
    for line in (
        "patches, observed area",
        "patches, full range",
        "site, coverage",
        "95.0 % of the ground was observed",
    ):
        assert line in text
    mean = [line.split() for line in text.splitlines() if line.strip().startswith("mean")]
    # COCO reads 51 of its 101 recalls at half the dividers: (51 / 101 + 1) / 2.
    assert mean[0] == ["mean", "75.0", "75.0", "75.2"]
    assert (tmp_path / "new" / "page.html").read_text().startswith("<!doctype html>")


def test_json_is_the_whole_record(folders):
    drive, out = folders
    record = json.loads(evaluate(out, "--truth", drive / "true_map.json", "--json"))
    assert record["patches"]["observed"]["mean"]["chamfer"] == {"map": 0.75, "over": ["divider", "boundary"]}
    assert record["about"]["truth"]["name"] == "true_map.json"


def test_without_a_truth_it_prints_the_reprojection_error_of_each_class(folders):
    text = evaluate(folders[1])
    assert "median px" in text
    assert [line.split() for line in text.splitlines() if line.strip().startswith("divider")] == [
        ["divider", "4", "9", "0.50", "2.00"]
    ]
    assert "no true map was given" in text
    words = " ".join(text.split())
    assert "this map 0.25 0.25 0.25 100.0 100.0 100.0" in words
    assert "flat ground 1.25 1.25 1.25 0.0 100.0 100.0" in words


def test_a_job_without_held_out_frames_says_how_to_get_some(folders, tmp_path):
    _, out = folders
    report = json.loads((out / "report.json").read_text())
    del report["reprojection"]
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "shards").symlink_to(out / "shards")
    assert "label with --holdout 5" in evaluate(tmp_path)


def test_wrong_input_is_an_error_of_the_family(folders, tmp_path):
    _, out = folders
    elsewhere = RoadMap(elements=(painted_result.line(0, shift_m=9000.0),))
    path = painted_result.write_true_map(tmp_path / "map.json", elsewhere)
    with pytest.raises(InputInvalid, match="do not overlap"):
        evaluate(out, "--truth", path)
    with pytest.raises(ArtifactForeign):
        evaluate(tmp_path)


def test_the_convention_of_styles_is_an_option_that_the_record_names(folders):
    drive, out = folders
    record = json.loads(evaluate(out, "--truth", drive / "true_map.json", "--json", "--join-styles"))
    assert record["about"]["config"]["join_styles"] is True
