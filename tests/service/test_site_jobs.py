"""Label jobs, the site made of them and its exports: submitted at once, each waits for the one before it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import straight_road

COMMAND = [sys.executable, "-c", "from service.cli import main; main()"]
FAST = {"fit": {"cell_m": 0.3, "corridor_m": 6.0, "epochs": 1}}
SETTINGS = ("--set", "fit.cell_m=0.3", "--set", "fit.corridor_m=6", "--set", "fit.epochs=1")

pytestmark = pytest.mark.slow


def call(service, *arguments, **options):
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env={**os.environ, "ROADSCRIBE_URL": service.url},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        **options,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def write_trip(service, name, aside_m):
    """Write a trip through the straight road that is `aside_m` off."""
    folder = straight_road.write(service.home / "roots" / name)
    body = json.loads((folder / "drive.json").read_text())
    body["name"] = name
    for frame in body["frames"]:
        frame["world_from_ego"][1][3] += aside_m
    (folder / "drive.json").write_text(json.dumps(body))
    return folder


@pytest.fixture(scope="module")
def labelled(service):
    """Submit two label jobs and return (job, drive) of each, without waiting for them."""
    from service.client import Client

    drives = [write_trip(service, "one", 0.15), write_trip(service, "two", -0.25)]
    with Client(service.url) as client:
        return [(client.submit({"kind": "label", "drive": str(drive), **FAST})["id"], drive) for drive in drives]


@pytest.fixture(scope="module")
def site(service, labelled):
    """Submit the site of both label jobs through the command line and return its finished job."""
    from service.client import Client

    ids = [job for job, _ in labelled]
    status, stdout, stderr = call(service, "submit", *ids, *SETTINGS)
    assert (status, "blocked: waits for" in stderr) == (0, True), stderr
    with Client(service.url) as client:
        return client.job(stdout.strip())


def test_a_site_of_label_jobs_uses_what_they_labelled(site, labelled):
    states = {stage["name"]: stage["state"] for stage in site["report"]["stages"]}
    assert [states[name] for name in ("segment 1", "segment 2", "align", "fit")] == ["skipped", "skipped", "run", "run"]
    assert [trip["used"] for trip in site["report"]["trips"]] == [True, True]
    assert [(one["job"], one["drive"]) for one in site["spec"]["drives"]] == [(j, str(d)) for j, d in labelled]


def test_a_job_and_a_drive_make_the_same_site(client, site, labelled):
    (first, _), (_, drive) = labelled
    mixed = client.submit({"kind": "aggregate", "drives": [{"job": first}, {"drive": str(drive)}], **FAST})
    done = client.job(mixed["id"], wait_s=60)
    assert done["state"] == "succeeded", done["failure"]
    digests = [{s["name"]: s["digest"] for s in job["report"]["stages"]} for job in (site, done)]
    assert digests[0] == digests[1]
    assert {s["name"] for s in done["report"]["stages"] if s["state"] == "run"} == {"ingest 1", "ingest 2"}
    # What the service answered can be sent again, and is the same job.
    assert client.submit(done["spec"], dedupe=True)["id"] == done["id"]


def test_settings_beside_a_job_are_not_quietly_overruled(http, labelled):
    drives = [
        {"job": labelled[0][0], "segment": {"backend": "openvino", "weights": "/net.xml"}},
        {"drive": str(labelled[1][1])},
    ]
    answer = http.post("/v1/jobs", json={"kind": "aggregate", "drives": drives})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/drives/0/segment")


def test_a_trip_may_have_its_own_net(client, http, labelled):
    own = {"backend": "openvino", "weights": "/no/net.xml"}
    drives = [{"drive": str(labelled[0][1])}, {"drive": str(labelled[1][1]), "segment": own}]
    answer = http.post("/v1/jobs", json={"kind": "aggregate", "drives": drives})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (403, "/drives/1/segment/weights")


def test_an_export_of_a_job_is_fetched_by_one_command(service, site, tmp_path):
    target = tmp_path / "labels.json"
    options = ("--format", "maptr", "--trip", "2", "--to", target)
    status, stdout, stderr = call(service, "export", site["id"], *options)
    assert (status, stdout.strip()) == (0, str(target)), stderr
    assert "stop lines: MapTR has no such class" in stderr
    assert json.loads(target.read_text())
    first = tmp_path / "first.json"
    assert call(service, "export", site["id"], "--format", "maptr", "--to", first)[0] == 0
    assert first.read_bytes() != target.read_bytes()
    status, _, stderr = call(service, "export", site["id"], *options)
    assert (status, "in the way" in stderr, "queued" in stderr) == (1, True, False), stderr  # and no job was made


def test_an_export_is_a_job_with_artifacts(client, http, site):
    job = client.submit({"kind": "export", "job": site["id"], "format": "ply", "name": "street"})
    done = client.job(job["id"], wait_s=60)
    assert done["state"] == "succeeded", done["failure"]
    assert done["report"]["export"]["title"] == "PLY of Gaussian surfels"
    assert done["report"]["export"]["loses"]
    entries = {entry["path"]: entry for entry in client.artifacts(job["id"])}
    assert set(entries) == {"street.ply", "report.json"}
    part = http.get(entries["street.ply"]["url"], headers={"Range": "bytes=0-2"})
    assert (part.status_code, part.content) == (206, b"ply")
    assert part.headers["ETag"] == f'"{entries["street.ply"]["sha256"]}"'
    kinds = [event["type"] for event in http.get(f"/v1/jobs/{job['id']}/events").json()["events"]]
    assert "stage.started" in kinds
    again = client.job(client.submit({**job["spec"]})["id"], wait_s=60)
    assert [stage["state"] for stage in again["report"]["stages"]] == ["skipped"]


def test_an_export_names_the_images_of_its_own_job(client, service, labelled):
    copy = shutil.copytree(labelled[0][1], service.home / "roots" / "copy" / labelled[0][1].name)
    named = []
    for label in (labelled[0][0], client.submit({"kind": "label", "drive": str(copy), **FAST})["id"]):
        done = client.job(client.submit({"kind": "export", "job": label, "format": "maptrv2"})["id"], wait_s=60)
        (entry,) = [e for e in client.artifacts(done["id"]) if e["path"] != "report.json"]
        target = service.home / "infos.json"
        client.download(entry, target)
        cameras = json.loads(target.read_text())["infos"][0]["cams"]
        named.append({str(Path(camera["data_path"]).parents[1]) for camera in cameras.values()})
    assert named == [{str(labelled[0][1])}, {str(copy)}]


def test_an_export_may_be_submitted_before_its_job_has_ended(client, labelled, service):
    drive = write_trip(service, "three drives", 0.0)
    label = client.submit({"kind": "label", "drive": str(drive), **FAST})
    export = client.submit({"kind": "export", "job": label["id"], "format": "ply"})
    assert (export["state"], export["spec"]["name"]) == ("blocked", "three_drives")
    done = client.job(export["id"], wait_s=60)
    assert done["state"] == "succeeded", done["failure"]
    assert "three_drives.ply" in [entry["path"] for entry in client.artifacts(export["id"])]


def test_what_a_format_needs_is_said_by_the_failed_job(client, labelled, http):
    label = labelled[0][0]
    assert client.job(label, wait_s=60)["state"] == "succeeded"
    done = client.job(client.submit({"kind": "export", "job": label, "format": "lanelet2"})["id"], wait_s=60)
    assert (done["state"], done["failure"]["code"]) == ("failed", "CONFIG_INVALID")
    assert "LAT,LON" in done["failure"]["hint"]
    place = {"latitude_deg": 49.0, "longitude_deg": 8.4}
    body = {"kind": "export", "job": label, "format": "lanelet2", "origin": place}
    assert client.job(client.submit(body)["id"], wait_s=60)["state"] == "succeeded"
    trip = http.post("/v1/jobs", json={**body, "trip": 2})
    assert (trip.status_code, trip.json()["errors"][0]["pointer"]) == (422, "/trip")


def test_one_label_job_alone_is_no_site(service, labelled):
    status, _, stderr = call(service, "submit", labelled[0][0])
    assert (status, "roadscribe export" in stderr) == (2, True), stderr
    net = ("--segmenter", "openvino", "--weights", "net.xml")
    status, _, stderr = call(service, "submit", labelled[0][0], labelled[1][0], *net)
    assert (status, "only jobs are named" in stderr) == (2, True), stderr
    status, _, stderr = call(service, "aggregate", "out", labelled[0][0], labelled[1][0])
    assert (status, "roadscribe submit" in stderr) == (2, True), stderr


def test_ctrl_c_at_an_export_detaches(service, client, labelled, body, tmp_path):
    busy = client.submit(body(seconds=5.0))["id"]
    process = subprocess.Popen(
        [*COMMAND, "export", labelled[0][0], "--format", "ply", "--to", str(tmp_path / "x.ply")],
        env={**os.environ, "ROADSCRIBE_URL": service.url},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    assert "queued" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, "detached" in stderr) == (130, True), stderr
    assert not list(Path(tmp_path).iterdir())
    assert client.job(busy, wait_s=20)["state"] == "succeeded"
