"""Published files that are damaged in the store: never sent, and made again."""

import hashlib
import os
import re
import time

import httpx
import pytest
from sqlalchemy import select

from recon.artifact import atomic_folder, seal
from service.ledger import tables
from service.ledger.database import reading
from service.ledger.submissions import StoredFile
from service.problems import Problem
from service.stored_files import StoredFiles
from workers.jobs.probe import ProbeJob

pytestmark = pytest.mark.slow


@pytest.fixture
def published(service, client, body):
    """Return (job, entries by path) of a finished job that no other test has."""
    job = client.job(client.submit(body(size=50_000))["id"], wait_s=30)
    assert job["state"] == "succeeded"
    return job, {entry["path"]: entry for entry in client.artifacts(job["id"])}


def stored(service, job, path):
    """Return where a published file lies."""
    if path == "report.json":
        (found,) = (service.home / "reports").glob(f"{job['id']}-*.json")
        return found
    return service.home / "store" / "objects" / "second" / job["report"]["stages"][1]["key"] / path


def flip(path, bit=7):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def fetch_sound(http, entry, deadline_s=30.0):
    """Ask until the file comes, and return the answers before it."""
    before = []
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        answer = http.get(entry["url"])
        if answer.status_code == 200:
            assert hashlib.sha256(answer.content).hexdigest() == entry["sha256"]
            return before
        before.append(answer)
        time.sleep(0.2)
    raise AssertionError(before[-1].text)


def test_the_job_that_makes_files_again_names_the_job_that_they_belong_to(tmp_path, engine, submissions, leases):
    submissions.submit(ProbeJob())
    claim = leases.claim()
    folder = tmp_path / "store" / "objects" / "second" / "k"
    with atomic_folder(folder) as scratch:
        (scratch / "result.txt").write_bytes(b"result")
        seal(scratch, kind="Probe", schema=1, meta={})
    sha256, stored_at = hashlib.sha256(b"result").hexdigest(), "store/objects/second/k/result.txt"
    file = StoredFile(job_id=claim.job_id, path="result.txt", sha256=sha256, size_bytes=6, stored=stored_at)
    leases.committing(claim)
    leases.succeed(claim, {"stages": []}, [file])
    flip(folder / "result.txt")
    with pytest.raises(Problem, match="damaged"):
        StoredFiles(tmp_path, submissions).sound(file)
    with reading(engine) as connection:
        query = select(tables.job.c.restores).order_by(tables.job.c.seq)
        assert list(connection.execute(query).scalars()) == ["", claim.job_id]


@pytest.mark.parametrize("fetched_before", [False, True])
def test_a_damaged_file_is_not_sent_and_made_again(service, http, client, published, fetched_before):
    job, entries = published
    entry = entries["result.txt"]
    if fetched_before:
        assert http.get(entry["url"]).status_code == 200
    flip(stored(service, job, "result.txt"))
    first, *_ = fetch_sound(http, entry)
    assert (first.status_code, first.json()["code"]) == (503, "ARTIFACT_DAMAGED")
    assert first.headers["Retry-After"]
    again = first.json()["hint"].split(" ")[1]
    (told,) = (
        event for event in client._object(http.get(f"/v1/jobs/{again}/events"))["events"] if "artifact" in event["type"]
    )
    assert told["data"] == {"stage": "second", "reason": "a file of the artifact changed or is truncated: result.txt"}
    assert client.job(job["id"])["state"] == "succeeded"
    counted = re.search(r"roadscribe_artifacts_set_aside (\d+)", http.get("/metrics").text)
    assert int(counted[1]) >= 1


def test_a_part_of_a_damaged_file_is_not_sent(service, http, published):
    job, entries = published
    flip(stored(service, job, "result.txt"), bit=300_000)
    answer = http.get(entries["result.txt"]["url"], headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.json()["code"]) == (503, "ARTIFACT_DAMAGED")


@pytest.mark.parametrize("damage", [os.unlink, lambda path: os.truncate(path, 100)])
def test_a_file_that_is_gone_or_cut_off_is_made_again(service, http, published, damage):
    job, entries = published
    damage(stored(service, job, "result.txt"))
    assert fetch_sound(http, entries["result.txt"])[0].status_code == 503


def test_a_damaged_report_is_written_again_from_the_ledger(service, http, published):
    job, entries = published
    flip(stored(service, job, "report.json"))
    assert fetch_sound(http, entries["report.json"]) == []


def test_many_requests_for_a_damaged_file_make_one_job(service, client, http, published):
    from concurrent.futures import ThreadPoolExecutor

    job, entries = published
    flip(stored(service, job, "result.txt"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: httpx.get(service.url + entries["result.txt"]["url"]), range(8)))
    hints = {answer.json().get("hint") for answer in answers if answer.status_code == 503}
    assert len(hints) <= 2  # the one that moved it, and those that found it gone
    fetch_sound(http, entries["result.txt"])


def test_a_later_run_with_other_bytes_does_not_stand_in(service, http, published):
    job, entries = published
    path = stored(service, job, "result.txt")
    from recon.artifact import MANIFEST, seal

    (path.parent / MANIFEST).unlink()
    path.write_bytes(b"other bytes")
    seal(path.parent, kind="Probe", schema=1, meta={})
    answer = http.get(entries["result.txt"]["url"])
    assert (answer.status_code, answer.json()["code"]) == (410, "ARTIFACT_GONE")
    assert path.read_bytes() == b"other bytes"


def test_damage_that_a_later_job_would_publish_is_reported_by_that_job(service, client, published):
    job, _ = published
    flip(stored(service, job, "result.txt"))
    second = client.job(client.submit(job["spec"])["id"], wait_s=30)
    assert second["state"] == "succeeded"
    events = [
        event["type"] for event in client._object(client._request("GET", f"/v1/jobs/{second['id']}/events"))["events"]
    ]
    assert events.count("artifact.damaged") == 1


def test_a_damaged_file_comes_from_the_place_of_published_files(tmp_path, start_service, body):
    from service.client import Client

    running = start_service(tmp_path / "home", ROADSCRIBE_PUBLISH_URL=f"file://{tmp_path / 'published'}")
    try:
        with Client(running.url) as client, httpx.Client(base_url=running.url, trust_env=False) as http:
            while not client.ready():
                time.sleep(0.1)
            job = client.job(client.submit(body(size=50_000))["id"], wait_s=30)
            entry = next(entry for entry in client.artifacts(job["id"]) if entry["path"] == "result.txt")
            flip(stored(running, job, "result.txt"))
            assert fetch_sound(http, entry) == []
            assert http.get(entry["url"], headers={"Range": "bytes=0-5"}).content == b"second"
    finally:
        running.stop()
