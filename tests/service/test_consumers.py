"""Training pulls from a service: the snapshot it began with, also while newer ones appear, and the service dies."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice

import pytest
import small_mapper
from labelled_jobs import add_job, write_town

from recon.errors import ArtifactForeign, ArtifactInvalid, InputLost
from roadscribe import Client, ShardDataset
from service.client import ServiceRefused
from service.ledger.database import open_database

BODY = {"kind": "snapshot", "dataset": "pulled", "splits": {"validation": 0.0, "test": 0.0}}


@pytest.fixture(scope="module")
def jobs(service, tmp_path_factory):
    """Return two label jobs that have ended."""
    folder = tmp_path_factory.mktemp("towns")
    engine = open_database(f"sqlite:///{service.home / 'ledger.sqlite3'}")
    found = [add_job(engine, service.home, [write_town(folder, number)]) for number in (11, 12)]
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def first(service, jobs):
    """Return the job that published the first snapshot."""
    with Client(service.url) as client:
        job = client.job(client.submit({**BODY, "jobs": [jobs[0]]})["id"], wait_s=60)
    assert job["state"] == "succeeded", job["failure"]
    return job["id"]


@pytest.mark.slow
def test_a_dataset_is_pulled_over_rest_and_continued_after_its_successor(service, client, jobs, first, tmp_path):
    address = f"{service.url}/v1/datasets/pulled"
    cache = {"cache": tmp_path, "buffer_bytes": 200_000}
    whole = [sample.key for sample in ShardDataset(f"{address}/snapshots/1", **cache)]
    assert len(set(whole)) == 8
    data = ShardDataset(address, **cache)
    begun = [sample.key for sample in islice(data, 3)]
    state = json.loads(json.dumps(data.state_dict()))
    job = client.job(client.submit({**BODY, "jobs": [jobs[1]], "extends": first})["id"], wait_s=60)
    assert job["state"] == "succeeded", job["failure"]
    newest = ShardDataset(address, **cache)
    assert len(newest) == 16
    newest.load_state_dict(state)
    assert begun + [sample.key for sample in newest] == whole
    with pytest.raises(ArtifactForeign):
        newest.load_state_dict({**state, "snapshot": "0" * 64})


def test_what_is_not_there_is_named(service, first, tmp_path):
    for address in ("v1/datasets/nothing", "v1/datasets/pulled/snapshots/99"):
        with pytest.raises(InputLost, match="404"):
            ShardDataset(f"{service.url}/{address}", cache=tmp_path)


def test_a_shard_that_rots_in_the_cache_is_fetched_again(service, first, tmp_path):
    address = f"{service.url}/v1/datasets/pulled/snapshots/1"
    whole = [sample.key for sample in ShardDataset(address, cache=tmp_path)]
    for path in tmp_path.glob("*.tar"):
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 8
        path.write_bytes(data)
    assert [sample.key for sample in ShardDataset(address, cache=tmp_path)] == whole


def test_a_record_that_is_not_the_snapshots_is_refused(service, first, tmp_path, monkeypatch):
    from vectorize.datasets.source import Service

    read = Service.read
    monkeypatch.setattr(Service, "read", lambda self, path: read(self, path).replace(b"train", b"trajn"))
    with pytest.raises(ArtifactInvalid):
        ShardDataset(f"{service.url}/v1/datasets/pulled/snapshots/1", cache=tmp_path)


@pytest.mark.slow
def test_a_train_job_turns_a_snapshot_into_a_model(client, first, jobs):
    shape = asdict(small_mapper.MODEL)
    config = {"model": shape, "steps": 2, "batch": 2, "threads": 1, "loader_threads": 1, "device": "cpu"}
    with pytest.raises(ServiceRefused, match="/snapshot"):
        client.submit({"kind": "train", "snapshot": jobs[0], "config": config})
    job = client.job(client.submit({"kind": "train", "snapshot": first, "config": config})["id"], wait_s=60)
    assert job["state"] == "succeeded", job["failure"]
    assert "model/model.safetensors" in {entry["path"] for entry in client.artifacts(job["id"])}
