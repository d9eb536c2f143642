import time

import httpx
import pytest
from other_python import run_with

KEY = "key-of-the-fuzzer-0123456789"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
CHECKS += "response_schema_conformance,unsupported_method,allow_header_conformance"

CODE = """
import json, pathlib, subprocess, sys
url, key, checks, *rest = sys.argv[1:]
command = [str(pathlib.Path(sys.executable).with_name("schemathesis")), "run", url + "/openapi.json", "--no-color"]
command += ["-H", "Authorization: Bearer " + key, "--checks", checks, "--seed", "1", "--max-examples", "10"]
command += ["--request-timeout", "20", "--warnings", "off", *rest]
done = subprocess.run(command, capture_output=True, text=True)
print(json.dumps({"status": done.returncode, "text": done.stdout + done.stderr}))
"""


@pytest.fixture(scope="module")
def guarded(start_service, tmp_path_factory):
    service = start_service(tmp_path_factory.mktemp("fuzz"), ROADSCRIBE_API_KEY=KEY, ROADSCRIBE_PROBE_JOBS="false")
    deadline = time.monotonic() + 30
    while httpx.get(service.url + "/readyz", trust_env=False).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield service
    service.stop()


# Of a body with hundreds of settings the systematic phase would send each wrong in each way: thousands of requests.
JOBS = ("submit", "validate")
SYSTEMATIC = ["--phases", "coverage,fuzzing", *(word for name in JOBS for word in ("--exclude-operation-id", name))]
RANDOM = ["--phases", "fuzzing", *(word for name in JOBS for word in ("--include-operation-id", name))]


@pytest.mark.slow
@pytest.mark.timeout(900)  # hundreds of requests for each operation
@pytest.mark.parametrize("selection", [SYSTEMATIC, RANDOM], ids=["all", "jobs"])
def test_every_answer_to_sound_and_unsound_requests_is_documented(guarded, tmp_path, monkeypatch, selection):
    monkeypatch.chdir(tmp_path)
    done = run_with("schemathesis", CODE, guarded.url, KEY, CHECKS, *selection, limit_s=800)
    assert done["status"] == 0, done["text"]


# Not by the fuzzer: it sends a wrong key for each operation at once, and is slowed down as anybody is who guesses.
@pytest.mark.slow
def test_every_operation_that_states_it_asks_for_a_key(guarded):
    schema = httpx.get(guarded.url + "/openapi.json", trust_env=False).json()
    asked = 0
    with httpx.Client(base_url=guarded.url, trust_env=False) as http:
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                if operation.get("security", schema.get("security")):
                    answer = http.request(method, path.replace("{", "").replace("}", ""))
                    assert answer.status_code == 401, (method, path)
                    asked += 1
    assert asked > 25
