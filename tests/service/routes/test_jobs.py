import json
import time

import httpx
import pytest

from service.client import Client, ServiceRefused


def finish(client, job_id, limit_s=30):
    job = client.job(job_id, wait_s=limit_s)
    assert job["state"] in ("succeeded", "failed", "cancelled"), job
    return job


def wait_state(client, job_id, state, limit_s=20):
    deadline = time.monotonic() + limit_s
    while (job := client.job(job_id))["state"] != state:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


def test_a_job_is_taken_run_and_published(client, body):
    job = client.submit(body(size=1000))
    assert job["state"] == "queued"
    done = finish(client, job["id"])
    assert done["state"] == "succeeded"
    assert [s["state"] for s in done["report"]["stages"]] == ["run", "run"]
    assert [a["path"] for a in client.artifacts(job["id"])] == ["report.json", "result.txt"]


def test_a_submission_can_be_repeated(http, body):
    one, other = body(), body()
    answers = [http.post("/v1/jobs", json=one, headers={"Idempotency-Key": "same"}) for _ in range(3)]
    assert {a.status_code for a in answers} <= {200, 202}
    assert len({a.json()["id"] for a in answers}) == 1
    assert answers[0].headers["Location"] == f"/v1/jobs/{answers[0].json()['id']}"
    refused = http.post("/v1/jobs", json=other, headers={"Idempotency-Key": "same"})
    assert (refused.status_code, refused.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_dedupe_returns_the_finished_job(client, http, body):
    spec = body()
    first = finish(client, client.submit(spec)["id"])
    again = http.post("/v1/jobs", json=spec, params={"dedupe": "true"})
    assert (again.status_code, again.json()["id"], again.json()["deduplicated"]) == (200, first["id"], True)
    run_again = finish(client, client.submit(spec)["id"])
    assert [s["state"] for s in run_again["report"]["stages"]] == ["skipped", "skipped"]


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('{"kind": "probe", "probe": {"seconds": 0, "nonsense": 1}}', "/probe/nonsense"),
        ('{"kind": "probe", "extra": 1}', "/extra"),
        ('{"kind": "other"}', "/"),
        ('{"kind": "label"}', "/drive"),
        ('{"kind": "label", "drive": "/x", "fit": {"cell": 1}}', "/fit/cell"),
        ('{"kind": "label", "drive": "/x", "fit": {"cell_m": "0.1"}}', "/fit/cell_m"),
        ('{"kind": "label", "drive": "/x", "fit": {"cell_m": 9}}', "/fit/cell_m"),
        ('{"kind": "label", "drive": "/x", "fit": {"cell_m": NaN}}', "/fit/cell_m"),
        ('{"kind": "label", "drive": "/x", "fit": {"rgb_weight": Infinity}}', "/fit/rgb_weight"),
        ("{", "/"),
        ("[1]", "/"),
        ("", "/"),
    ],
)
def test_a_wrong_job_is_refused_with_the_place(http, text, pointer):
    answer = http.post("/v1/jobs", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]


def test_only_json_of_a_sane_size_is_read(http):
    assert http.post("/v1/jobs", content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
    large = http.post("/v1/jobs", content=b" " * (2 << 20), headers={"Content-Type": "application/json"})
    assert (large.status_code, large.headers["Content-Type"]) == (413, "application/problem+json")


def test_another_host_name_is_refused(service):
    answer = httpx.get(service.url + "/healthz", headers={"Host": "evil.example"}, trust_env=False)
    assert answer.status_code == 400


def test_unknown_things_are_not_found(http):
    for path in ("/v1/jobs/x", "/v1/jobs/x/events", "/v1/jobs/x/artifacts", "/v1/jobs/x/files/y", "/nothing"):
        answer = http.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json"), path
    assert http.post("/v1/jobs/x/cancel").status_code == 404
    assert http.delete("/v1/jobs").status_code == 405


def test_pages_follow_links(http, client, body):
    ids = [client.submit(body())["id"] for _ in range(5)]
    seen, path = [], "/v1/jobs?limit=2"
    while path and len(seen) < 5:
        answer = http.get(path)
        seen += [job["id"] for job in answer.json()["jobs"]]
        path = answer.links.get("next", {}).get("url")
    assert seen[:5] == ids[::-1]
    assert http.get("/v1/jobs?state=nonsense").status_code == 422
    some = [job["id"] for job in client.jobs(limit=3)["jobs"]][1:]
    assert [job["id"] for job in client.jobs(ids=some)["jobs"]] == some
    assert http.get("/v1/jobs", params={"id": ["0"] * 101}).status_code == 422


def test_a_known_version_is_not_sent_again(http, client, body):
    job = finish(client, client.submit(body())["id"])
    first = http.get(f"/v1/jobs/{job['id']}")
    again = http.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_running_job_is_cancelled_with_its_worker(client, service, body):
    job = client.submit(body("hang"))
    wait_state(client, job["id"], "running")
    deadline = time.monotonic() + 10
    while client.job(job["id"])["stage"] != "second":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = service.workers()
    assert workers
    assert client.cancel(job["id"])["state"] == "cancelling"
    assert finish(client, job["id"], 10)["state"] == "cancelled"
    assert not all(worker.is_running() for worker in workers)  # others may wait for the next job
    assert client.artifacts(job["id"]) == []


@pytest.mark.slow
def test_a_queued_job_is_cancelled_at_once(client, body):
    busy = client.submit(body(seconds=1.0))
    waiting = client.submit(body())
    assert client.cancel(waiting["id"])["state"] == "cancelled"
    assert finish(client, busy["id"])["state"] == "succeeded"
    assert client.cancel(busy["id"])["state"] == "succeeded"


@pytest.mark.slow
def test_a_dead_worker_costs_an_attempt_and_the_next_job_runs(client, body):
    crashes = client.submit(body("crash"))
    after = client.submit(body())
    assert finish(client, after["id"])["state"] == "succeeded"
    job = finish(client, crashes["id"])
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert [s["state"] for s in job["report"]["stages"]] == ["skipped", "run"]


@pytest.mark.slow
def test_attempts_end(client, body):
    job = finish(client, client.submit(body("crash", "crash", "crash", "crash"))["id"])
    assert (job["state"], job["attempt"], job["failure"]["code"]) == ("failed", 3, "WORKER_LOST")
    assert finish(client, client.submit(body())["id"])["state"] == "succeeded"


@pytest.mark.parametrize(("script", "code"), [("invalid", "DRIVE_INVALID"), ("bug", "BUG"), ("disk_full", "DISK_FULL")])
def test_a_failure_says_what_and_where(client, body, script, code):
    job = finish(client, client.submit(body(script))["id"])
    assert (job["state"], job["failure"]["code"], job["attempt"]) == ("failed", code, 1)
    assert job["failure"]["where"]
    assert job["failure"]["hint"]
    assert client.artifacts(job["id"]) == []


def test_events_replay_without_gaps(client, http, body):
    job_id = client.submit(body(seconds=0.5))["id"]
    live = list(client.events(job_id))
    numbered = [kind for kind, _ in live if kind != "job"]
    assert numbered[:2] == ["job.queued", "job.running"]
    assert numbered[-1] == "job.succeeded"
    assert [data["progress"] for kind, data in live if kind == "job" and data["progress"]]
    page = http.get(f"/v1/jobs/{job_id}/events").json()["events"]
    assert [e["type"] for e in page] == numbered
    assert [e["seq"] for e in page] == list(range(1, len(page) + 1))
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "2"}
    rest = http.get(f"/v1/jobs/{job_id}/events", headers=headers)
    assert rest.headers["Content-Type"].startswith("text/event-stream")
    ids = [int(line[4:]) for line in rest.text.splitlines() if line.startswith("id: ")]
    assert ids == list(range(3, len(page) + 1))


@pytest.mark.slow
def test_a_dropped_stream_continues_where_it_was(service, client, body):
    job_id = client.submit(body(seconds=1.0))["id"]
    seen = []
    while "job.succeeded" not in seen:
        with Client(service.url) as fresh:  # every few events a new connection
            for count, (kind, _) in enumerate(fresh.events(job_id, after=len(seen))):
                seen += [kind] if kind != "job" else []
                if count == 2:
                    break
    assert seen == [e["type"] for e in json.loads(client._http.get(f"/v1/jobs/{job_id}/events").text)["events"]]


def test_the_client_names_the_fault(client):
    with pytest.raises(ServiceRefused, match="/fit/cell: Unexpected"):
        client.submit({"kind": "label", "drive": "/x", "fit": {"cell": 1}})


@pytest.mark.parametrize("query", ["/v1/jobs?cursor={n}", "/v1/jobs/{id}/events?after={n}"])
def test_a_number_too_large_for_the_ledger_is_the_callers_mistake(http, client, body, query):
    answer = http.get(query.format(n=2**63, id=client.submit(body())["id"]))
    assert (answer.status_code, answer.json()["code"]) == (422, "REQUEST_INVALID")


def test_the_priority_of_a_job_that_waits_is_changed(http, client, body):
    first = client.submit(body())
    blocker = client.submit(body("hang"))
    behind = client.submit(body() | {"after": [blocker["id"]]})
    finish(client, first["id"])
    refused = http.patch(f"/v1/jobs/{first['id']}", json={"priority": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "JOB_NOT_WAITING")
    changed = http.patch(f"/v1/jobs/{behind['id']}", json={"priority": 7})
    assert (changed.status_code, changed.json()["priority"]) == (200, 7)
    assert changed.headers["ETag"] == f'"{changed.json()["version"]}"'
    events = http.get(f"/v1/jobs/{behind['id']}/events").json()["events"]
    assert (events[-1]["type"], events[-1]["data"]) == ("job.priority", {"priority": 7, "before": 0})
    assert client.set_priority(behind["id"], 7)["version"] == changed.json()["version"]  # nothing to change
    for wrong in ({}, {"priority": 101}, {"priority": "5"}, {"priority": True}, {"priority": 1, "state": "failed"}):
        assert http.patch(f"/v1/jobs/{behind['id']}", json=wrong).status_code == 422, wrong
    assert http.patch("/v1/jobs/x", json={"priority": 1}).status_code == 404
    for job in (behind, blocker):
        client.cancel(job["id"])
        finish(client, job["id"])


def test_a_job_that_ended_is_deleted(http, client, body):
    job = finish(client, client.submit(body(size=100))["id"])
    hanging = client.submit(body("hang"))
    refused = http.delete(f"/v1/jobs/{hanging['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "JOB_OPEN")
    client.cancel(hanging["id"])
    finish(client, hanging["id"])
    client.delete(hanging["id"])
    deleted = http.delete(f"/v1/jobs/{job['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for path in ("", "/events", "/artifacts", "/files/result.txt"):
        assert http.get(f"/v1/jobs/{job['id']}{path}").status_code == 404
    assert http.delete(f"/v1/jobs/{job['id']}").json()["code"] == "JOB_UNKNOWN"
    lines = http.get("/v1/audit?limit=2").json()["lines"]
    assert [(line["subject"], line["actor"]) for line in lines] == [
        (job["id"], "operator"),
        (hanging["id"], "operator"),
    ]
