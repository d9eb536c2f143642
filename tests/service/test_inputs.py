"""Jobs that wait for jobs, over the real service with probes: what users see, and what survives."""

from __future__ import annotations

import time

import httpx
import pytest

from service.client import Client


def after(body, *ids, **fields):
    return body(**fields) | {"after": list(ids)}


def test_a_blocked_job_says_for_what_it_waits_and_then_runs(client, http, body):
    source = client.submit(body(seconds=0.3))["id"]
    job = client.submit(after(body, source))
    assert (job["state"], job["progress"]["waits_for"]) == ("blocked", [source])
    assert 'roadscribe_jobs{state="blocked"} 1.0' in http.get("/metrics").text
    assert job["id"] in [entry["id"] for entry in client.jobs(state="blocked")["jobs"]]
    live = list(client.events(job["id"]))
    assert [kind for kind, _ in live if kind != "job"][:3] == ["job.blocked", "job.queued", "job.running"]
    assert live[0] == ("job.blocked", job["progress"])
    assert live[1][1]["state"] == "blocked"
    assert live[-1][1]["state"] == "succeeded"
    assert client.job(source)["updated_at"] <= client.job(job["id"])["updated_at"]


def test_a_lost_input_is_named_with_its_reason(client, http, body):
    source = client.submit(body("invalid"))["id"]
    spec = after(body, source)
    answer = http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": source})
    done = client.job(answer.json()["id"], wait_s=20)
    assert (done["state"], done["failure"]["code"], done["failure"]["where"]) == ("failed", "INPUT_LOST", "/after/0")
    assert f"{source}, an input of this one, failed: DRIVE_INVALID" in done["failure"]["message"]
    refused = http.post("/v1/jobs", json=after(body, source))
    assert (refused.status_code, refused.json()["code"]) == (422, "INPUT_LOST")
    assert refused.json()["errors"][0]["pointer"] == "/after/0"
    again = http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": source})
    assert (again.status_code, again.json()["id"]) == (200, done["id"])


def test_a_blocked_job_is_cancelled_at_once(client, body):
    source = client.submit(body(seconds=0.3))["id"]
    job = client.submit(after(body, source))
    assert client.cancel(job["id"])["state"] == "cancelled"
    assert client.job(source, wait_s=20)["state"] == "succeeded"
    assert client.job(job["id"])["state"] == "cancelled"


@pytest.mark.parametrize(
    ("text", "pointer", "detail"),
    [
        ('{"kind": "aggregate", "drives": [{"job": "none"}, {"drive": "/x"}]}', "/drives/0/job", "no such job"),
        ('{"kind": "aggregate", "drives": [{"job": "PROBE"}, {"drive": "/x"}]}', "/drives/0/job", "kind probe"),
        ('{"kind": "aggregate", "drives": [{"drive": "/x"}, {"format": "auto"}]}', "/drives/1", "give a drive"),
        ('{"kind": "aggregate", "drives": [{"drive": "/x"}, {"job": "../x"}]}', "/drives/1/job", "pattern"),
        (
            '{"kind": "aggregate", "drives": [{"drive": "/x"}, {"drive": "/x"}]}',
            "/drives/1",
            "the same drive as /drives/0",
        ),
        ('{"kind": "export", "job": "none", "format": "ply"}', "/job", "no such job"),
        ('{"kind": "export", "job": "PROBE", "format": "ply"}', "/job", "expected label or aggregate"),
        ('{"kind": "export", "job": "PROBE", "format": "dwg"}', "/format", "'geopackage'"),
        ('{"kind": "export", "job": "PROBE", "format": "ply", "name": "../x"}', "/name", "pattern"),
        ('{"kind": "export", "format": "ply"}', "/job", "required"),
    ],
)
def test_an_input_that_is_none_is_refused_with_its_place(http, client, body, text, pointer, detail):
    if "PROBE" in text:
        text = text.replace("PROBE", client.submit(body())["id"])
    answer = http.post("/v1/jobs", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    faults = {fault["pointer"]: fault["detail"] for fault in answer.json()["errors"]}
    assert detail in faults[pointer]


@pytest.mark.slow
def test_blocked_jobs_outlive_api_and_executor(tmp_path, start_service, body):
    service = start_service(tmp_path)
    with Client(service.url) as client:
        source = client.submit(body(seconds=3.0))["id"]
        job = client.submit(after(body, source))["id"]
        behind = client.submit(after(body, job, source))["id"]
        while client.job(source)["state"] != "running":
            time.sleep(0.05)
    service.executor().kill()
    service.process.kill()
    service.process.wait()
    service.process.stdout.close()
    service.start()
    with Client(service.url) as client:
        assert client.job(job)["state"] == "blocked"
        assert [client.job(one, wait_s=60)["state"] for one in (source, job, behind)] == ["succeeded"] * 3
        ends = [client.job(one)["updated_at"] for one in (source, job, behind)]
        assert ends == sorted(ends)
        with httpx.Client(base_url=service.url, trust_env=False) as http:
            page = http.get(f"/v1/jobs/{behind}/events").json()["events"]
        assert [e["data"]["done"] for e in page if e["type"] == "job.blocked"] == [0, 1]
    assert service.stop() == 0
