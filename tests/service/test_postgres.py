"""The whole service with its ledger on PostgreSQL: it starts, runs, is killed, and the server itself goes away."""

from __future__ import annotations

import time

import httpx
import pytest

from recon.errors import ConfigInvalid
from service.client import Client
from service.ledger.database import open_database


@pytest.mark.slow
def test_the_service_runs_on_postgres_and_loses_nothing(tmp_path, postgres, start_service, body):
    service = start_service(tmp_path, ROADSCRIBE_DATABASE_URL=postgres.new_database())
    with Client(service.url) as client:
        source = client.submit(body(seconds=1.0))["id"]
        behind = client.submit(body() | {"after": [source]})["id"]
        while client.job(source)["state"] != "running":
            time.sleep(0.05)
        service.executor().kill()
        assert [client.job(one, wait_s=60)["state"] for one in (source, behind)] == ["succeeded"] * 2
        assert client.job(source)["attempt"] == 1  # its machine died, which is no failure
        assert [entry["path"] for entry in client.artifacts(behind)] == ["report.json", "result.txt"]
        assert [kind for kind, _ in client.events(behind)][-1] == "job"
        with httpx.Client(base_url=service.url, trust_env=False) as http:
            answer = http.get("/v1/jobs/%00")
            assert (answer.status_code, answer.json()["code"]) == (422, "INPUT_INVALID")
            # The server restarts, as it does for an update: every connection is lost.
            postgres.restart()
            assert http.get(f"/v1/jobs/{source}").json()["state"] == "succeeded"
        assert client.job(client.submit(body())["id"], wait_s=60)["state"] == "succeeded"
    assert service.stop() == 0


@pytest.mark.parametrize("url", ["postgres at home", "postgresql://user@one:5432,two:5432/name"])
def test_a_url_that_does_not_parse_is_named(url):
    with pytest.raises(ConfigInvalid) as caught:
        open_database(url)
    assert caught.value.where == "ROADSCRIBE_DATABASE_URL"
