import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi.testclient import TestClient
from running_service import RunningService

from service.api import create_app
from service.settings import Settings

KEY = "a-key-of-the-test-0123456789"


def leave_in_a_body(port):
    with socket.create_connection(("127.0.0.1", port)) as left:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
        left.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode())
        time.sleep(0.02)


@pytest.fixture
def alone(tmp_path):
    """Start an API without executor whose stdout and stderr are pipes that the test may leave full."""
    command = [sys.executable, "-c", "from service.cli import main; main()", "serve", "--json", "--port", "0"]
    command += ["--home", str(tmp_path / "home"), "--executor", "none"]
    environment = {**os.environ, "ROADSCRIBE_API_KEY": KEY, "ROADSCRIBE_ACCESS_LOG": "true"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    yield process, json.loads(process.stdout.readline())["url"]
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


def test_clients_that_leave_in_a_body_freeze_nothing_and_are_no_defect(alone):
    process, url = alone
    for _ in range(10):
        leave_in_a_body(httpx.URL(url).port)
    assert httpx.get(url + "/healthz", trust_env=False, timeout=5).status_code == 200
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert out == b""
    assert b"Traceback" not in err
    assert b"request.bug" not in err
    assert KEY.encode() not in err
    assert err.count(b'"path": "/v1/jobs"') == 10


def test_nobody_reads_the_log_and_the_api_answers(alone):
    _, url = alone
    with httpx.Client(base_url=url, trust_env=False, timeout=5) as http:
        for _ in range(600):  # each leaves a line in a pipe of 64 KB that nobody reads
            assert http.get("/nothing").status_code == 404
        for _ in range(3):
            leave_in_a_body(httpx.URL(url).port)
        assert http.get("/healthz").status_code == 200


@pytest.mark.slow
def test_the_api_says_that_it_lives_while_every_thread_waits_for_the_ledger(tmp_path):
    service = RunningService(tmp_path, executor="none")
    ledger = sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)
    try:
        ledger.execute("BEGIN IMMEDIATE")  # every other writer waits

        def cancel(number):
            job = f"{service.url}/v1/jobs/{number}/cancel"
            return httpx.post(job, trust_env=False, timeout=60).status_code

        def submit(number):
            body = {"kind": "probe", "probe": {"salt": str(number)}}
            return httpx.post(f"{service.url}/v1/jobs", json=body, trust_env=False, timeout=60).status_code

        with ThreadPoolExecutor(120) as pool:
            answers = [pool.submit(submit, number) for number in range(60)]
            answers += [pool.submit(cancel, number) for number in range(60)]
            time.sleep(3.0)
            assert httpx.get(service.url + "/healthz", trust_env=False, timeout=5).status_code == 200
            ledger.execute("ROLLBACK")
            assert {answer.result(60) for answer in answers[:60]} <= {202, 503}
    finally:
        ledger.close()
        service.stop()


def test_a_defect_is_one_line_and_a_problem(tmp_path, capfd):
    app = create_app(Settings(home=tmp_path))

    @app.get("/defect")
    def defect(secret: str = "s3cret"):
        raise ZeroDivisionError("of the test")

    with TestClient(app, base_url="http://localhost") as client:
        answer = client.get("/defect")
    assert (answer.status_code, answer.json()["code"]) == (500, "BUG")
    log, deadline = "", time.monotonic() + 10
    while "request.bug" not in log:
        assert time.monotonic() < deadline
        log += capfd.readouterr().err
    assert log.count("ZeroDivisionError: of the test") == 1
    assert "s3cret" not in log
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost:1:2", "", "[::1]x"])
def test_another_host_name_is_refused_with_a_problem(tmp_path, host):
    with TestClient(create_app(Settings(home=tmp_path)), base_url="http://localhost") as client:
        answer = client.get("/healthz", headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (400, "HOST_UNKNOWN")
        assert answer.headers["Content-Type"] == "application/problem+json"
        for known in ("localhost", "127.0.0.1:8765", "[::1]", "[::1]:8765", "LOCALHOST:1"):
            assert client.get("/healthz", headers={"Host": known}).status_code == 200
