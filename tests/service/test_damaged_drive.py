"""A drive's stored results, one bit of each changed in turn: every later job of the drive succeeds with sound files."""

from __future__ import annotations

import hashlib
import random
import shutil

import pytest
import straight_road

FAST = {"fit": {"cell_m": 0.3, "corridor_m": 6.0, "epochs": 1}}
READERS = {"ingest": "trace", "segment": "fit", "fit": "bake", "bake": "trace", "trace": "crop", "crop": "pack"}

pytestmark = pytest.mark.slow


def finished(client, body):
    """Submit a job and return it as it ended; kernels may have to be compiled on the way."""
    job = client.submit(body)
    for _ in range(8):
        job = client.job(job["id"], wait_s=60)
        if job["state"] in ("succeeded", "failed"):
            break
    assert job["state"] == "succeeded", job["failure"]
    return job


@pytest.fixture(scope="module")
def labelled(service):
    """Return the body and the finished job of a drive."""
    from service.client import Client

    body = {"kind": "label", "drive": str(straight_road.write(service.home / "roots" / "damaged")), **FAST}
    with Client(service.url) as client:
        return body, finished(client, body)


def folder_of(service, job, stage):
    key = next(one["key"] for one in job["report"]["stages"] if one["name"] == stage)
    return service.home / "store" / "objects" / stage / key


def flip(folder, rng, manifest=False):
    """Change one bit of one file, or of the manifest."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and (p.name == "manifest.json") == manifest)
    path = rng.choices(files, [p.stat().st_size for p in files])[0]
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def run_again(client, body):
    job = finished(client, body)
    assert job["attempt"] == 1
    for entry in client.artifacts(job["id"]):
        data = client._http.get(entry["url"]).content
        assert hashlib.sha256(data).hexdigest() == entry["sha256"], entry["path"]
    return {one["name"] for one in job["report"]["stages"] if one["state"] == "run"}


@pytest.mark.parametrize("manifest", [False, True])
@pytest.mark.parametrize("stage", ["pack", "draw"])
def test_damage_of_a_published_stage_is_made_again(service, client, labelled, stage, manifest):
    body, job = labelled
    flip(folder_of(service, job, stage), random.Random(stage), manifest)
    assert stage in run_again(client, body)


@pytest.mark.parametrize("manifest", [False, True])
@pytest.mark.parametrize("stage", READERS)
def test_damage_that_the_next_stage_reads_is_made_again(service, client, labelled, stage, manifest):
    body, job = labelled
    flip(folder_of(service, job, stage), random.Random(stage), manifest)
    shutil.rmtree(folder_of(service, job, READERS[stage]))
    assert {stage, READERS[stage]} <= run_again(client, body)


@pytest.mark.parametrize("stage", ["trace", "fit"])
def test_an_export_of_a_damaged_result_makes_it_again(service, client, labelled, stage):
    _, job = labelled
    format_ = {"trace": "streammapnet", "fit": "ply"}[stage]
    flip(folder_of(service, job, stage), random.Random(stage))
    body = {"kind": "export", "job": job["id"], "format": format_, "name": f"after_{stage}"}
    assert run_again(client, body) == {"export"}
