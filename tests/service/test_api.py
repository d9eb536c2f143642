import json
import re
import subprocess
import sys
import time

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from recon.errors import ConfigInvalid
from service import api
from service.api import create_app
from service.ledger.database import open_database, writing
from service.ledger.leases import Leases
from service.ledger.submissions import Submissions
from service.settings import Settings, load_settings
from workers.jobs.probe import ProbeJob


def test_the_api_process_imports_no_engine(tmp_path):
    code = (
        "import sys; from service.api import create_app; from service.settings import Settings;"
        f"from service import supervise; create_app(Settings(home={str(tmp_path)!r}));"
        "print([m for m in ('torch', 'ray', 'cv2', 'numba', 'scipy', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_other_addresses_need_a_key(tmp_path):
    for host in ("0.0.0.0", "::", "192.168.1.5", "some.host"):
        with pytest.raises(ConfigInvalid, match="API key"):
            create_app(Settings(home=tmp_path, host=host))
        with pytest.raises(ConfigInvalid):
            create_app(Settings(home=tmp_path, host=host, api_key="short"))
    create_app(Settings(home=tmp_path, host="0.0.0.0", api_key="k" * 16))
    create_app(Settings(home=tmp_path, host="::1"))


def test_a_key_guards_everything_but_health(tmp_path):
    app = create_app(Settings(home=tmp_path, api_key="k" * 16))
    client = TestClient(app)
    assert client.get("/healthz").status_code == 200
    for path in ("/v1/jobs", "/metrics", "/v1/artifacts/" + "0" * 64):
        refused = client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHENTICATED")
        assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/v1/jobs", headers={"Authorization": "Bearer " + "k" * 16}).status_code == 200


def test_probes_are_not_public(tmp_path):
    client = TestClient(create_app(Settings(home=tmp_path)), base_url="http://localhost")
    answer = client.post("/v1/jobs", json={"kind": "probe"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/kind")
    text = client.get("/openapi.json").text.lower()
    assert not {"probejob", "probeconfig", '"probe"'} & set(re.findall(r'"?\w+"?', text))  # a setting is probe_m


def test_a_retry_is_never_an_older_job_whose_drive_may_have_changed_since(tmp_path):
    settings = Settings(home=tmp_path, probe_jobs=True)
    client = TestClient(create_app(settings), base_url="http://localhost")
    engine = open_database(settings.url)
    leases = Leases(engine, "one")
    leases.beat()
    old = client.post("/v1/jobs", json={"kind": "probe"}, headers={"Idempotency-Key": "old files"}).json()["id"]
    claim = leases.claim()
    leases.committing(claim)
    leases.succeed(claim, {}, [])
    new = client.post("/v1/jobs", json={"kind": "probe"}, headers={"Idempotency-Key": "new files"}).json()["id"]
    assert client.post(f"/v1/jobs/{new}/cancel").json()["state"] == "cancelled"
    retries = [client.post(f"/v1/jobs/{new}/retry").json()["id"] for _ in range(2)]
    assert len({old, new, *retries}) == 3
    assert retries[0] == retries[1]
    assert client.get(f"/v1/jobs/{old}").json()["state"] == "succeeded"
    engine.dispose()


def test_every_reference_of_the_schema_leads_somewhere(tmp_path):
    client = TestClient(create_app(Settings(home=tmp_path)), base_url="http://localhost")
    document = client.get("/openapi.json").json()
    found = re.findall(r'"\$ref": "#/([^"]*)"', json.dumps(document))
    # A discriminator maps names to references too.
    found += re.findall(r'": "#/(paths/[^"]*)"', json.dumps(document))
    for kind in ("LabelJob", "AggregateJob", "ExportJob"):
        assert any(reference.endswith(kind) for reference in found)
    for reference in found:
        place = document
        for part in reference.split("/"):
            place = place[part.replace("~1", "/").replace("~0", "~")]


@pytest.mark.parametrize("there", [False, True])
def test_only_its_owner_can_look_into_the_folder_of_the_service(tmp_path, there):
    home = tmp_path / "home"
    if there:
        home.mkdir(mode=0o755)
    create_app(Settings(home=home))
    assert home.stat().st_mode & 0o777 == 0o700


def test_without_an_executor_the_service_is_not_ready(tmp_path):
    client = TestClient(create_app(Settings(home=tmp_path)), base_url="http://localhost")
    assert client.get("/readyz").status_code == 503


def test_settings_name_the_variable(monkeypatch):
    monkeypatch.setenv("ROADSCRIBE_PORT", "many")
    with pytest.raises(ConfigInvalid, match="ROADSCRIBE_PORT"):
        load_settings()


def test_the_executor_is_seen_and_counted(http):
    assert http.get("/readyz").json()["status"] == "ok"
    metrics = http.get("/metrics").text
    assert 'roadscribe_jobs{state="running"}' in metrics
    assert "roadscribe_leases_expired 0.0" in metrics


def test_a_round_of_the_sweep_that_fails_is_not_the_last(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(api, "SWEEP_EVERY_S", 0.02)
    app = create_app(Settings(home=tmp_path))
    engine = open_database(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    submissions = Submissions(engine)
    job_id = submissions.submit(ProbeJob()).job["id"]
    assert Leases(engine, "dead", lease_s=0.0).claim()
    with writing(engine) as connection:  # an error that is not one of storage
        connection.execute(text("CREATE TRIGGER bad BEFORE UPDATE ON job BEGIN SELECT RAISE(ABORT, 'no'); END"))
    log, deadline = "", time.monotonic() + 20
    with TestClient(app, base_url="http://localhost"):
        while "sweep.bug" not in log:
            assert time.monotonic() < deadline
            time.sleep(0.02)
            log += capfd.readouterr().err
        with writing(engine) as connection:
            connection.execute(text("DROP TRIGGER bad"))
        while submissions.get(job_id)["state"] != "queued":
            assert time.monotonic() < deadline
            time.sleep(0.02)
    engine.dispose()
