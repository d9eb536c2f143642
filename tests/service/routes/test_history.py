import httpx
import pytest

pytestmark = pytest.mark.slow


def finish(client, job_id, limit_s=30):
    job = client.job(job_id, wait_s=limit_s)
    assert job["state"] in ("succeeded", "failed", "cancelled"), job
    return job


def test_a_finished_job_tells_its_stages_attempts_and_log(client, http, body):
    job = finish(client, client.submit(body(seconds=0.1))["id"])
    stages = http.get(f"/v1/jobs/{job['id']}/stages").json()["stages"]
    assert [(s["name"], s["state"]) for s in stages] == [("first", "finished"), ("second", "finished")]
    assert all(s["seconds"] > 0 and s["started_at"] >= job["created_at"] for s in stages)
    (attempt,) = http.get(f"/v1/jobs/{job['id']}/attempts").json()["attempts"]
    assert (attempt["attempt"], attempt["outcome"], attempt["failure"]) == (1, "succeeded", None)
    log = http.get(f"/v1/jobs/{job['id']}/logs").json()
    assert [line["message"] for line in log["lines"]][:2] == ["queued", "running (attempt 1)"]
    assert log["lines"][-1]["message"] == "succeeded"
    assert log["next"] is None
    more = http.get(f"/v1/jobs/{job['id']}/logs", params={"level": "debug", "stage": "second"}).json()["lines"]
    assert {line["stage"] for line in more} == {"second"}
    assert more[0]["message"] == "second: started"


def test_a_failed_job_names_the_stage_that_stopped(client, http, body):
    job = finish(client, client.submit(body("invalid"))["id"])
    stages = http.get(f"/v1/jobs/{job['id']}/stages").json()["stages"]
    assert [s["state"] for s in stages] == ["finished", "stopped"]
    (line,) = http.get(f"/v1/jobs/{job['id']}/logs", params={"level": "error"}).json()["lines"]
    assert "DRIVE_INVALID: the probe was told to fail [frame 3] Tell it otherwise." in line["message"]
    assert http.get(f"/v1/jobs/{job['id']}/attempts").json()["attempts"][0]["failure"]["code"] == "DRIVE_INVALID"


def test_a_failed_job_is_retried_once_and_keeps_its_stages(client, http, body):
    failed = finish(client, client.submit(body("invalid"))["id"])
    first, second = (http.post(f"/v1/jobs/{failed['id']}/retry") for _ in range(2))
    assert first.status_code == 202
    assert first.json()["id"] != failed["id"]
    assert second.json()["id"] == first.json()["id"]
    done = finish(client, first.json()["id"])
    assert [s["state"] for s in done["report"]["stages"]] == ["skipped", "run"]
    refused = http.post(f"/v1/jobs/{done['id']}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "JOB_NOT_ENDED")
    assert http.get(f"/v1/jobs/{failed['id']}").json()["state"] == "failed"


def test_a_job_is_validated_without_being_taken(http, service, body):
    before = http.get("/v1/jobs?limit=1").json()["jobs"]
    sound = http.post("/v1/jobs:validate", json=body()).json()
    assert sound["ok"]
    assert sound["stages"] == ["first", "second"]
    assert sound["spec"]["probe"]["seconds"] == 0.0
    wrong = http.post("/v1/jobs:validate", json={"kind": "label", "drive": "/x", "fit": {"cell": 1}})
    assert wrong.status_code == 200
    assert (wrong.json()["ok"], wrong.json()["code"]) == (False, "JOB_INVALID")
    assert wrong.json()["findings"][0]["pointer"] == "/fit/cell"
    outside = http.post("/v1/jobs:validate", json={"kind": "label", "drive": "/etc"}).json()
    assert (outside["code"], outside["findings"][0]["pointer"]) == ("PATH_REFUSED", "/drive")
    assert http.get("/v1/jobs?limit=1").json()["jobs"] == before


def test_a_waiting_job_gives_the_reason(client, http, body):
    busy = client.submit(body(seconds=1.0))["id"]
    waits = client.submit({"kind": "probe", "after": [busy]})["id"]
    assert http.get(f"/v1/jobs/{waits}").json()["waiting_for"]["jobs"] == [busy]
    assert finish(client, waits)["waiting_for"] is None


@pytest.mark.parametrize("what", ["stream", "wait"])
def test_more_clients_than_may_wait_are_told_to_come_back(start_service, tmp_path, body, what):
    service = start_service(tmp_path / "home", executor="none", ROADSCRIBE_MAX_STREAMS="1")
    try:
        with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as http:
            job = http.post("/v1/jobs", json=body()).json()["id"]
            events, headers = f"/v1/jobs/{job}/events", {"Accept": "text/event-stream"}
            with http.stream("GET", events, headers=headers) as stream:
                lines = stream.iter_lines()  # without a reference it would close the stream
                assert next(lines) == "id: 1"
                if what == "stream":
                    refused = http.get(events, headers=headers)
                else:
                    refused = http.get(f"/v1/jobs/{job}", params={"wait": 5})
                assert (refused.status_code, refused.json()["code"]) == (429, "STREAMS_EXHAUSTED")
                assert refused.headers["Retry-After"]
                assert http.get(f"/v1/jobs/{job}").json()["waiting_for"]["reason"] == "executor"
    finally:
        service.stop()


def test_a_job_has_the_priority_of_its_submission(start_service, tmp_path, body):
    service = start_service(tmp_path / "home", executor="none")
    try:
        with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as http:
            first = http.post("/v1/jobs", json=body()).json()["id"]
            urgent = http.post("/v1/jobs", params={"priority": 5}, json=body()).json()
            assert urgent["priority"] == 5
            assert http.post("/v1/jobs", params={"priority": 101}, json=body()).status_code == 422
            listed = http.get("/v1/jobs").json()["jobs"]
            assert [(job["id"], job["priority"]) for job in listed] == [(urgent["id"], 5), (first, 0)]
    finally:
        service.stop()
