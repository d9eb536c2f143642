"""The command line as people and scripts meet it: real processes, exit codes, no tracebacks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import straight_road

from recon.errors import PathRefused
from service.cli.submit import fetch_files
from service.results import claim_folder, write_result
from workers.run import ResultFile

COMMAND = [sys.executable, "-c", "from service.cli import main; main()"]


def start(*arguments, url="", **options):
    environment = {**os.environ, "ROADSCRIBE_URL": url or "http://127.0.0.1:9"}
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where a shell starts the tests in the background, they inherit an ignored Ctrl-C, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
        **options,
    )


def call(*arguments, url=""):
    process = start(*arguments, url=url)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out, err


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return straight_road.write(tmp_path_factory.mktemp("cli") / "straight", frames=6)


FAST = ("--set", "fit.cell_m=0.3", "--set", "fit.corridor_m=6", "--set", "fit.epochs=1")


@pytest.mark.slow
def test_label_leaves_what_the_readme_says_and_skips_the_second_time(drive, tmp_path):
    out = tmp_path / "out"
    status, stdout, _ = call("label", drive, out, "--holdout", "3", *FAST)
    assert status == 0
    assert "divider" in stdout
    assert {p.name for p in out.iterdir()} == {".roadscribe", "map.geojson", "shards", "pictures", "report.json"}
    report = json.loads((out / "report.json").read_text())
    assert report["reprojection"]["frames"] == 2
    assert report["peak_memory_mb"] > 50
    status, stdout, _ = call("label", drive, out, "--holdout", "3", *FAST, "--json")
    assert [s["name"] for s in json.loads(stdout)["stages"] if s["state"] == "run"] == ["ingest"]
    status, stdout, _ = call("show", out)
    assert (status, "bev_color.png" in stdout) == (0, True)
    artifact = next((out / ".roadscribe" / "store" / "objects" / "trace").iterdir())
    assert json.loads(call("show", artifact, "--json")[1])["kind"] == "RoadMap"


def test_label_overwrites_nothing_of_others(drive, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    status, _, err = call("label", drive, tmp_path)
    assert (status, [p.name for p in tmp_path.iterdir()]) == (1, ["thesis.txt"])
    assert "what to do" in err


@pytest.mark.slow
def test_label_names_what_is_wrong(drive, tmp_path):
    assert call("label", tmp_path / "none", tmp_path / "out")[0] == 1
    for options in (
        ("--set", "fit.cell_m=99"),
        ("--segmenter", "openvino"),
    ):
        status, _, err = call("label", drive, tmp_path / "out", *options)
        assert (status, "error:" in err) == (2, True), options
    assert call("label", drive)[0] == 2
    assert call("nonsense")[0] == 2


def test_validate_lists_every_problem(drive, tmp_path):
    assert call("validate", drive)[0] == 0
    broken = tmp_path / "broken"
    straight_road.write(broken, frames=4)
    (broken / "front" / "1.png").write_bytes(b"")
    (broken / "front" / "2.png").unlink()
    status, stdout, _ = call("validate", broken, "--json")
    places = [problem["where"] for problem in json.loads(stdout)["problems"]]
    assert status == 1
    assert len(places) == 2
    assert all(f"frame {i}" in place for i, place in zip((1, 2), places, strict=True))


@pytest.mark.slow
def test_interrupted_label_continues(drive, tmp_path):
    process = start("label", drive, tmp_path / "out", *FAST, start_new_session=True)
    while "segment: 0" not in (line := process.stderr.readline()) and line:
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, "continues" in err) == (130, True)
    assert not (tmp_path / "out" / "map.geojson").exists()


@pytest.mark.slow
def test_jobs_over_the_service(service, tmp_path):
    drive = straight_road.write(service.home / "roots" / f"drive{time.monotonic_ns()}", frames=6)
    status, stdout, err = call("submit", drive, *FAST, url=service.url)
    assert (status, "succeeded" in err) == (0, True), err
    job_id = stdout.strip()
    assert job_id in call("jobs", url=service.url)[1]
    assert json.loads(call("jobs", "--json", "--state", "succeeded", url=service.url)[1])["jobs"]
    out = tmp_path / "fetched"
    assert call("fetch", job_id, out, url=service.url)[0] == 0
    assert {p.name for p in out.iterdir()} == {"map.geojson", "shards", "pictures", "report.json"}
    assert call("fetch", job_id, out, url=service.url)[0] == 0
    (out / "mine.txt").touch()
    assert call("fetch", job_id, out, url=service.url)[0] == 1
    assert call("watch", job_id, "--json", url=service.url)[0] == 0
    assert "divider" in call("show", job_id, url=service.url)[1]
    assert call("watch", "none", url=service.url)[0] == 1
    assert "JOB_NOT_WAITING" in call("jobs", "priority", job_id, "5", url=service.url)[2]
    assert call("jobs", "delete", job_id, url=service.url)[:2] == (0, f"deleted {job_id}\n")
    assert "JOB_UNKNOWN" in call("jobs", "delete", job_id, "--json", url=service.url)[2]
    assert call("submit", "/etc", url=service.url)[0] == 1
    assert call("jobs")[0] == 3


@pytest.mark.slow
def test_ctrl_c_detaches_and_the_job_goes_on(service, client, body):
    job = client.submit(body(seconds=2.0))
    process = start("watch", job["id"], url=service.url)
    assert "queued" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, "detached" in err) == (130, True), err
    assert client.job(job["id"], wait_s=20)["state"] == "succeeded"
    failing = client.submit(body("invalid"))
    status, _, err = call("watch", failing["id"], url=service.url)
    assert (status, "frame 3" in err, "Tell it otherwise" in err) == (1, True, True)


def test_show_does_not_ask_the_service_for_a_mistyped_folder(tmp_path):
    status, _, err = call("show", tmp_path / "non")
    assert (status, "no such folder" in err, "service" in err) == (1, True, False), err
    (tmp_path / "report.json").write_text("[]")
    assert call("show", tmp_path)[0] == 1


def test_serve_refuses_a_root_that_does_not_exist(tmp_path):
    status, _, err = call("serve", "--root", tmp_path / "non", "--home", tmp_path / "home", "--port", "0")
    assert (status, "does not exist" in err) == (2, True), err


def test_an_interrupted_fetch_leaves_what_the_next_one_continues(tmp_path):
    (tmp_path / ".map.geojson.part").write_bytes(b"{")
    fetched = []
    client = SimpleNamespace(
        job=lambda _: {"state": "succeeded"},
        artifacts=lambda _: [{"path": "map.geojson"}],
        download=lambda entry, target: fetched.append(target),
    )
    fetch_files(client, "id", tmp_path)
    assert fetched == [tmp_path / "map.geojson"]
    (tmp_path / ".bashrc").touch()
    with pytest.raises(PathRefused):
        fetch_files(client, "id", tmp_path)


def test_a_result_without_a_report_is_not_complete(tmp_path, monkeypatch):
    out, source = tmp_path / "out", tmp_path / "map.geojson"
    source.write_text("new")
    (claim_folder(out).parent.parent / "report.json").write_text("old")
    (out / "map.geojson").write_text("old")
    report = SimpleNamespace(record=dict, files=lambda: [ResultFile(path="map.geojson", source=source, sha256="")])

    def killed(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_result(report, out)
    assert not (out / "report.json").exists()
    write_result(report, out)
    assert {p.name for p in out.iterdir()} == {".roadscribe", "map.geojson", "report.json"}


def test_a_new_result_replaces_folders_of_any_name(tmp_path):
    out, source = tmp_path / "out", tmp_path / "weights"
    source.write_text("new")
    claim_folder(out)
    for name in ("old", "weights"):
        report = SimpleNamespace(
            record=dict, files=lambda name=name: [ResultFile(path=f"net/{name}", source=source, sha256="")]
        )
        write_result(report, out)
    assert [path.name for path in (out / "net").iterdir()] == ["weights"]
