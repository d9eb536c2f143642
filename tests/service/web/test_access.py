import re
import time

import pytest
from fastapi.testclient import TestClient

from service.api import create_app
from service.ledger.api_keys import ApiKeys
from service.ledger.database import open_database, reading
from service.ledger.tables import api_key
from service.settings import Settings
from service.web.limits import TokenBuckets

OPERATOR = "the-operator-of-the-test"


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home", api_key=OPERATOR, probe_jobs=True)


@pytest.fixture
def app(settings):
    return create_app(settings)


@pytest.fixture
def keys(app, settings):
    engine = open_database(settings.url)
    yield ApiKeys(engine)
    engine.dispose()


@pytest.fixture
def client_of(app):
    def make(key):
        return TestClient(app, headers={"Authorization": f"Bearer {key}"})

    return make


PROBE = {"kind": "probe", "probe": {"salt": "tenants"}}


def test_everything_of_another_tenant_is_not_there(client_of, keys, settings):
    one, other = client_of(keys.create("one")), client_of(keys.create("other"))
    job = one.post("/v1/jobs", json=PROBE, headers={"Idempotency-Key": "k"}).json()
    assert job["tenant"] == "one"
    paths = [f"/v1/jobs/{job['id']}{rest}" for rest in ("", "/events", "/logs", "/attempts", "/stages", "/artifacts")]
    for path in [*paths, f"/v1/jobs/{job['id']}/files/report.json"]:
        theirs, unknown = other.get(path), other.get(path.replace(job["id"], "x"))
        assert theirs.status_code == 404, path
        assert theirs.json() == unknown.json(), path
    for path in ("cancel", "retry"):
        assert other.post(f"/v1/jobs/{job['id']}/{path}").status_code == 404
    assert other.delete(f"/v1/jobs/{job['id']}").status_code == 404
    assert other.patch(f"/v1/jobs/{job['id']}", json={"priority": 1}).status_code == 404
    assert other.get("/v1/jobs").json()["jobs"] == []
    refused = [other.post("/v1/jobs", json={"kind": "probe", "after": [i]}).json() for i in (job["id"], "x")]
    assert refused[0] == refused[1]
    assert refused[0]["code"] == "INPUT_LOST"
    same = other.post("/v1/jobs", json=PROBE, headers={"Idempotency-Key": "k"})
    assert same.json()["id"] != job["id"]
    assert other.post("/v1/jobs?dedupe=true", json=PROBE).json()["id"] == same.json()["id"]
    assert [j["id"] for j in one.get("/v1/jobs").json()["jobs"]] == [job["id"]]
    assert len(client_of(OPERATOR).get("/v1/jobs").json()["jobs"]) == 2


def test_a_scope_opens_what_it_names(client_of, keys):
    reads, submits = client_of(keys.create("a", scopes=["read"])), client_of(keys.create("a", scopes=["submit"]))
    assert reads.get("/v1/jobs").status_code == 200
    assert submits.post("/v1/jobs", json=PROBE).status_code == 202
    for refused in (reads.post("/v1/jobs", json=PROBE), submits.get("/v1/jobs"), reads.get("/metrics")):
        assert (refused.status_code, refused.json()["code"]) == (403, "SCOPE_MISSING")
    assert client_of(keys.create("a", scopes=["operate"])).get("/metrics").status_code == 200


def test_keys_end_and_are_stored_as_digests(client_of, keys, settings):
    lasting, expired = keys.create("a"), keys.create("a", days=0)
    assert client_of(lasting).get("/v1/jobs").status_code == 200
    assert client_of(expired).get("/v1/jobs").status_code == 401
    with reading(open_database(settings.url)) as connection:
        rows = str(connection.execute(api_key.select()).all())
    secret = lasting.split("_", 2)[2]
    assert secret not in rows
    assert keys.revoke(lasting.split("_")[1])
    assert not keys.revoke(lasting.split("_")[1])
    assert client_of(lasting).get("/v1/jobs").status_code == 401


def test_who_guesses_keys_is_slowed_down_and_others_are_not(client_of, keys):
    good = keys.create("a")
    assert client_of(good).get("/v1/jobs").status_code == 200
    answers = [client_of(f"rsk_{'0' * 16}_{n:043d}").get("/v1/jobs") for n in range(30)]
    assert {a.status_code for a in answers[:10]} == {401}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert client_of(OPERATOR).get("/v1/jobs").status_code == 429  # a right guess cannot be told
    assert client_of(good).get("/v1/jobs").status_code == 200  # was let in before


def test_rate_and_quota_of_a_key(client_of, keys):
    quick = client_of(keys.create("a", requests_per_s=2))
    answers = [quick.get("/v1/jobs") for _ in range(12)]
    assert answers[0].status_code == 200
    limited = next(a for a in answers if a.status_code == 429)
    assert (limited.json()["code"], limited.headers["Retry-After"]) == ("RATE_LIMITED", "1")
    small = client_of(keys.create("b", most_open_jobs=1))
    assert small.post("/v1/jobs", json=PROBE).status_code == 202
    full = small.post("/v1/jobs", json=PROBE)
    assert (full.status_code, full.json()["code"]) == (429, "QUOTA_EXCEEDED")
    assert full.headers["Retry-After"]


def test_a_bucket_refills_and_the_number_of_buckets_is_bounded(monkeypatch):
    buckets = TokenBuckets()
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert [buckets.wait_s("a", 2.0, 2.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    now += 0.5
    assert buckets.wait_s("a", 2.0, 2.0) == 0.0
    for n in range(20_000):
        buckets.wait_s(str(n), 1.0, 1.0)
    assert len(buckets._buckets) <= 10_000


def test_latencies_and_stage_times_are_histograms(client_of):
    operator = client_of(OPERATOR)
    operator.get("/v1/jobs/unknown-id")
    text = operator.get("/metrics").text
    path = 'method="GET",path="/v1/jobs/{job_id}",status="404"'
    assert re.search(rf'roadscribe_request_seconds_bucket{{le="0.1",{re.escape(path)}}}', text)
    assert "unknown-id" not in text
    assert "# TYPE roadscribe_stage_seconds histogram" in text
    assert "roadscribe_leases_lost_total 0.0" in text
