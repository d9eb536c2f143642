"""`roadscribe city`: a log that cannot be drawn over is refused before a drive is begun."""

import json

import pytest
import small_argoverse2
from typer.testing import CliRunner

from recon.errors import InputInvalid
from service.cli.app import app


def city(*arguments):
    result = CliRunner().invoke(app, ["city", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.slow
def test_a_mapped_drive_is_as_long_as_its_path(tmp_path):
    # The small log drives 4.8 m: three frames of 2 m.
    log = small_argoverse2.write(tmp_path, images=False)
    size = ("--width", 32, "--height", 24, "--spacing", 2, "--no-lidar")
    city(tmp_path / "drive", "--map", log, *size)
    drive = json.loads((tmp_path / "drive" / "drive.json").read_text())
    assert len(drive["frames"]) == 3
    assert drive["name"] == f"demo-city-{log.name[:8]}-7-day-trip0"
    styles = {e["style"] for e in json.loads((tmp_path / "drive" / "true_map.json").read_text())["elements"]}
    assert styles == {"solid", "dashed", "double", "unknown"}  # boundaries and crossings have none


@pytest.mark.parametrize("missing", ["map/log_map*", "map/*.npy", "city_SE3*"])
def test_a_log_without_what_is_needed_is_refused(tmp_path, missing):
    log = small_argoverse2.write(tmp_path, images=False)
    next(log.glob(missing)).unlink()
    with pytest.raises(InputInvalid):
        city(tmp_path / "drive", "--map", log, "--spacing", 2)
    assert not (tmp_path / "drive").exists()


def test_more_frames_than_the_path_holds_are_refused(tmp_path):
    log = small_argoverse2.write(tmp_path, images=False)
    with pytest.raises(InputInvalid, match=r"too short: 4.8 m for a drive of 8.0 m"):
        city(tmp_path / "drive", "--map", log, "--frames", 5, "--spacing", 2)
