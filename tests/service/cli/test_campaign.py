"""`roadscribe campaign` against a running service: killed in the middle, run again, and never a job twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import straight_road

from recon.errors import ConfigInvalid, PathRefused
from service.campaign.drives import find_drives
from service.campaign.report import earlier_jobs
from service.cli.job_options import changes_of
from workers.jobs.aggregate import AggregateJob
from workers.jobs.label import LabelJob
from workers.jobs.snapshot import SnapshotJob

COMMAND = [sys.executable, "-c", "from service.cli import main; main()", "campaign"]
SETTINGS = ("--set", "fit.cell_m=0.3", "--set", "fit.corridor_m=6", "--set", "fit.epochs=1")
SPLITS = ("--set", "splits.validation=0", "--set", "splits.test=0")


def write_drive(folder: Path, *, aside_m: float = 0.0, longitude_deg: float = 8.4) -> Path:
    """Write a trip through the straight road of a place, `aside_m` off."""
    straight_road.write(folder)
    body = json.loads((folder / "drive.json").read_text())
    body |= {"name": folder.name, "origin": {"latitude_deg": 49.0, "longitude_deg": longitude_deg, "altitude_m": 0.0}}
    for frame in body["frames"]:
        frame["world_from_ego"][1][3] += aside_m
    (folder / "drive.json").write_text(json.dumps(body))
    return folder


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, start_service):
    """A service of its own, and a folder with two drives that meet, a copy of one, and a broken one."""
    service = start_service(tmp_path_factory.mktemp("fleet"))
    folder = service.home / "roots" / "drives"
    for name, aside_m in {"a": 0.15, "b": -0.25}.items():
        write_drive(folder / name, aside_m=aside_m)
    shutil.copytree(folder / "b", folder / "copy of b")
    write_drive(folder / "broken")
    (folder / "broken" / "front" / "3.png").write_bytes(b"no image")
    (folder / "notes").mkdir()
    yield service, folder
    service.stop()


def start(service, *arguments):
    environment = {**os.environ, "ROADSCRIBE_URL": service.url}
    # As from a terminal: a shell that runs tests in the background lets its children ignore SIGINT.
    command = ["env", "--default-signal=INT", *COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def call(service, *arguments):
    process = start(service, *arguments)
    stdout, stderr = process.communicate(timeout=240)
    assert "Traceback" not in stderr, stderr
    return process.returncode, stdout, stderr


def jobs_of(service):
    """Return (kind, state) of all jobs that the service ever had."""
    with sqlite3.connect(service.home / "ledger.sqlite3") as ledger:
        return sorted(ledger.execute("SELECT kind, state FROM job").fetchall())


ONCE = [("aggregate", "succeeded"), ("label", "failed"), *[("label", "succeeded")] * 3, ("snapshot", "succeeded")]


@pytest.mark.slow
def test_a_campaign_that_is_killed_anywhere_goes_on_and_submits_nothing_twice(fleet, tmp_path):
    service, folder = fleet
    out = tmp_path / "out"
    arguments = (folder, out, "--dataset", "city", *SETTINGS, *SPLITS)
    for kind, stop in (("label", signal.SIGKILL), ("label", signal.SIGINT), ("aggregate", signal.SIGKILL)):
        process = start(service, *arguments)
        assert "4 drives" in process.stderr.readline()
        deadline = time.monotonic() + 200
        while process.poll() is None and not any(one == kind for one, _ in jobs_of(service)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode in ((130,) if stop == signal.SIGINT else (-9,)), stderr
        assert not list(out.glob("*"))
    status, stdout, stderr = call(service, *arguments, "--json")
    assert status == 0, stderr
    assert jobs_of(service) == ONCE
    record = json.loads(stdout)
    assert record == json.loads((out / "report.json").read_text())
    counts = {"drives": 4, "labelled": 3, "failed": 1, "copies": 1, "without_place": 0, "groups": 1}
    assert record["counts"] == counts | {"sites": 1, "sites_failed": 0, "drives_in_sites": 2}
    names = {Path(one["drive"]).name: one for one in record["drives"]}
    assert names["broken"]["failure"]["code"] == "IMAGES_CORRUPT"
    assert "3.png" in names["broken"]["failure"]["where"]
    assert names["broken"]["failure"]["hint"]
    assert Path(names["copy of b"]["copy_of"]).name == "b"
    assert [[Path(name).name for name in group] for group in record["groups"]] == [["a", "b"]]
    assert record["stages"]["segment"]["run"] == 2  # the copy and the site found the images labelled
    assert (record["snapshot"]["number"], record["snapshot"]["totals"]["train"]["samples"]) == (1, 20)
    page = (out / "report.md").read_text()
    assert "3 of 4 drives were labelled, 1 failed." in page
    assert "IMAGES_CORRUPT" in page
    assert record["snapshot"]["url"] in page

    status, stdout, stderr = call(service, *arguments, "--json")
    assert (status, jobs_of(service)) == (0, ONCE), stderr
    again = json.loads(stdout)
    assert again | {"seconds": 0} == record | {"seconds": 0}
    assert "failed: " in stderr
    assert "label: 4 of 4 ended, 1 of them failed" in stderr


@pytest.mark.slow
def test_a_drive_that_was_mended_is_labelled_anew_and_joins_the_dataset(fleet, tmp_path):
    service, _ = fleet
    drives = tmp_path / "drives.txt"
    paths = [service.home / "roots" / "mended", "/no/such/drive", "s3://bucket/drive"]
    drives.write_text("# a list\n\n" + "".join(f"{path}\n" for path in paths))
    write_drive(paths[0], longitude_deg=8.6)
    whole = (paths[0] / "front" / "3.png").read_bytes()
    (paths[0] / "front" / "3.png").write_bytes(b"no image")
    arguments = (drives, tmp_path / "out", "--dataset", "mended", *SETTINGS, *SPLITS)
    status, stdout, stderr = call(service, *arguments)
    assert status == 1, stderr
    assert "0 of 3 drives labelled, 3 failed" in stdout
    assert "PATH_REFUSED: 2" in stdout
    assert "2 of them not on this machine" in stderr
    (paths[0] / "front" / "3.png").write_bytes(whole)
    status, stdout, stderr = call(service, *arguments, "--json")
    assert status == 0, stderr
    record = json.loads(stdout)
    assert {one["state"] for one in record["drives"]} == {"refused", "succeeded"}
    assert record["counts"]["labelled"] == 1
    assert record["snapshot"]["totals"]["train"]["samples"] == 10


def test_a_folder_holds_drives_and_a_list_names_them(tmp_path):
    for name in ("b", "a"):
        straight_road.write(tmp_path / name, frames=1)
    (tmp_path / "c").mkdir()
    found = find_drives(tmp_path, "auto")
    assert [drive.path for drive in found] == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert len({drive.content for drive in found}) == 2  # the times of the files differ
    listed = tmp_path / "list.txt"
    listed.write_text(f"a\n{tmp_path}/a\n\n# c\n/data/nuscenes\tscene-0061\ns3://fleet/a b\n")
    drives = find_drives(listed, "auto")
    names = [f"{tmp_path}/a", "/data/nuscenes scene-0061", "s3://fleet/a b"]
    assert sorted(drive.name for drive in drives) == sorted(names)
    assert {drive.name: bool(drive.content) for drive in drives} == dict(zip(names, (True, False, False), strict=True))
    content = find_drives(tmp_path, "auto")[0].content
    assert content == found[0].content
    (tmp_path / "a" / "ids" / "0.png").write_bytes(b"another")
    find_drives.__globals__["_content"].cache_clear()
    assert find_drives(tmp_path, "auto")[0].content != content


@pytest.mark.parametrize(("name", "reason"), [("absent", "no such folder or list"), ("empty", "it holds no drive")])
def test_nothing_to_do_is_told_at_once(tmp_path, name, reason):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigInvalid, match=reason) as caught:
        find_drives(tmp_path / name, "auto")
    assert "one path a line" in caught.value.hint


def test_a_report_is_not_written_among_other_files(tmp_path):
    assert earlier_jobs(tmp_path / "new") == earlier_jobs(tmp_path) == {}
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PathRefused, match="holds other files"):
        earlier_jobs(tmp_path)
    (tmp_path / "report.json").write_text('{"job": {}, "stages": []}')  # of a single job
    with pytest.raises(PathRefused, match="holds other files"):
        earlier_jobs(tmp_path)


def test_settings_go_to_the_jobs_that_have_them():
    changes = ["fit.cell_m=0.3", "align.reach_m=20", "splits.test=0", "segment.batch=2", "wrong.name=1", "pack"]
    label = changes_of(LabelJob, changes, or_of_none_of=(AggregateJob, SnapshotJob))
    assert label == ["fit.cell_m=0.3", "segment.batch=2", "wrong.name=1", "pack"]
    assert changes_of(AggregateJob, changes) == ["fit.cell_m=0.3", "align.reach_m=20", "segment.batch=2", "pack"]
    assert changes_of(SnapshotJob, changes) == ["splits.test=0"]
