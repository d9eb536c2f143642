"""Datasets over REST: published by jobs, immutable, and complete behind one address."""

from __future__ import annotations

import hashlib
import json

import pytest
from labelled_jobs import add_job, write_town

from recon.artifact import digest_file
from service.client import Client, ServiceRefused
from service.ledger.database import open_database


@pytest.fixture(scope="module")
def jobs(service, tmp_path_factory):
    """Return a label job, and an aggregate job of two drives, that have ended."""
    folder = tmp_path_factory.mktemp("towns")
    engine = open_database(f"sqlite:///{service.home / 'ledger.sqlite3'}")
    towns = [write_town(folder, number) for number in range(3)]
    found = add_job(engine, service.home, towns[:1]), add_job(engine, service.home, towns[1:])
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def published(service, jobs):
    """Publish two snapshots of one dataset, and return their entries."""
    with Client(service.url) as client:
        body = {"kind": "snapshot", "dataset": "city", "splits": {"validation": 0.0, "test": 0.0}}
        first = client.job(client.submit({**body, "jobs": [jobs[0]]})["id"], wait_s=60)
        assert first["state"] == "succeeded", first["failure"]
        second = client.job(client.submit({**body, "jobs": [jobs[1]], "extends": first["id"]})["id"], wait_s=60)
        assert second["state"] == "succeeded", second["failure"]
        return client.snapshots("city")[::-1]


def end(client, job):
    return client.job(job["id"], wait_s=60)


@pytest.mark.slow
def test_snapshots_are_numbered_and_listed(client, http, published):
    assert [one["number"] for one in published] == [1, 2]
    assert [one["summary"]["totals"]["train"]["samples"] for one in published] == [8, 24]
    newest = next(one for one in http.get("/v1/datasets").json()["datasets"] if one["dataset"] == "city")
    assert newest == published[1] == client.snapshot("city") == client.snapshot("city", 2)
    answer = http.get(published[0]["url"])
    assert answer.json() == published[0]
    assert answer.headers["ETag"] == f'"{published[0]["sha256"]}"'


@pytest.mark.slow
def test_everything_of_a_snapshot_lies_behind_its_address(http, published):
    for entry in published:
        data = http.get(entry["record_url"]).content
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        record = json.loads(data)
        table = http.get(f"{entry['url']}/files/samples.parquet").content
        assert hashlib.sha256(table).hexdigest() == record["samples"]["sha256"]
        for shard in record["shards"]:
            url = f"{entry['url']}/files/shards/{shard['sha256']}.tar"
            answer = http.get(url, headers={"Range": "bytes=512-1023"})
            assert (answer.status_code, len(answer.content)) == (206, 512)
            whole = http.get(url)
            assert whole.headers["ETag"] == f'"{shard["sha256"]}"'
            assert hashlib.sha256(whole.content).hexdigest() == shard["sha256"]
            assert whole.content[512:1024] == answer.content
            assert http.get(f"/v1/artifacts/{shard['sha256']}").content == whole.content


def test_the_page_says_how_to_train(http, published):
    answer = http.get(published[1]["page_url"])
    assert answer.headers["Content-Type"].startswith("text/markdown")
    address = str(http.base_url).rstrip("/") + published[1]["url"]
    assert f'ShardDataset("{address}"' in answer.text
    assert "| train | 24 | 3 |" in answer.text


def test_what_does_not_exist_is_404(http, client, published):
    for path in ("town/snapshots", "city/snapshots/3", "city/snapshots/3/page", "city/snapshots/1/files/other"):
        assert http.get(f"/v1/datasets/{path}").status_code == 404
    for path in ("..%2F..%2Fledger.sqlite3", "shards/..%2f..%2fledger.sqlite3"):
        assert http.get(f"/v1/datasets/city/snapshots/1/files/{path}").status_code == 404
    assert http.get("/v1/datasets/city/snapshots/0").status_code == 422
    with pytest.raises(ServiceRefused):
        client.snapshots("town")


@pytest.mark.slow
def test_publishing_again_makes_the_same_bytes_and_a_new_number(client, http, jobs):
    body = {"kind": "snapshot", "dataset": "again", "jobs": list(jobs)}
    made = [end(client, client.submit(body)) for _ in range(2)]
    assert [job["state"] for job in made] == ["succeeded"] * 2
    one, two = client.snapshots("again")
    assert (one["number"], two["number"]) == (2, 1)
    assert one["sha256"] == two["sha256"]


@pytest.mark.slow
def test_nothing_is_lost_between_two_that_publish_at_once(client, published, jobs):
    body = {"kind": "snapshot", "dataset": "city", "splits": {"validation": 0.0, "test": 0.0}, "jobs": [jobs[0]]}
    late = end(client, client.submit({**body, "extends": published[0]["job"]}))  # of which there is a successor
    assert (late["state"], late["failure"]["code"]) == ("failed", "SNAPSHOT_SUPERSEDED")
    assert client.artifacts(late["id"]) == []
    assert client.snapshot("city")["number"] == 2


@pytest.mark.slow
def test_the_splits_of_a_dataset_are_those_of_its_first_snapshot(client, published, jobs):
    body = {"kind": "snapshot", "dataset": "city", "splits": {"validation": 1.0, "test": 0.0}, "jobs": [jobs[0]]}
    other = end(client, client.submit(body))
    assert (other["state"], other["failure"]["code"]) == ("failed", "SPLITS_FIXED")
    for change, pointer in (({}, "/splits"), ({"dataset": "town"}, "/dataset")):
        with pytest.raises(ServiceRefused, match=pointer):
            client.submit({**body, "extends": published[1]["job"], **change})


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"dataset": "City"}, "/dataset"),
        ({"dataset": "../x"}, "/dataset"),
        ({"jobs": []}, "/jobs"),
        ({"jobs": ["nobody"]}, "/jobs/0"),
        ({"extends": "nobody"}, "/extends"),
        ({"filters": {"classes": ["kerb"]}}, "/filters"),
        ({"splits": {"train": 0.8}}, "/splits/train"),
    ],
)
def test_a_faulty_snapshot_is_refused(http, jobs, change, pointer):
    body = {"kind": "snapshot", "dataset": "faulty", "jobs": [jobs[0]]} | change
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)


def test_a_job_that_is_no_label_job_or_named_twice_is_refused(http, client, body, jobs):
    probe = client.submit(body())["id"]
    for named, pointer in (([jobs[0], probe], "/jobs/1"), ([jobs[0], jobs[0]], "/jobs/1")):
        answer = http.post("/v1/jobs", json={"kind": "snapshot", "dataset": "city", "jobs": named})
        assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_fetched_snapshot_is_the_folder_itself(service, client, published, tmp_path):
    from service.cli.submit import fetch_files

    fetch_files(client, published[1]["job"], tmp_path / "copy")
    assert digest_file(tmp_path / "copy" / "snapshot.json") == published[1]["sha256"]
    record = json.loads((tmp_path / "copy" / "snapshot.json").read_bytes())
    assert {path.stem for path in (tmp_path / "copy" / "shards").iterdir()} == {
        one["sha256"] for one in record["shards"]
    }
