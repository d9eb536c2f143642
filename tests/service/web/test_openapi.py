import ast
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service import problem_codes
from service.api import create_app
from service.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    app = create_app(Settings(home=tmp_path_factory.mktemp("home")))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def test_every_operation_documents_its_refusals_as_problems(client):
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            assert {"400", "422", "500", "503"} <= set(responses), (method, path)
            if path.startswith("/v1/"):
                assert {"401", "403", "429"} <= set(responses), (method, path)
                assert operation["security"], (method, path)
            for status, response in responses.items():
                if int(status) >= 400 and path != "/readyz":
                    assert list(response["content"]) == ["application/problem+json"], (method, path, status)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/jobs", {"GET", "POST"}),
        ("POST", "/v1/artifacts/" + "0" * 64, {"GET", "HEAD"}),
        ("TRACE", "/healthz", {"GET"}),
    ],
)
def test_a_refused_method_names_all_that_are_allowed(client, method, path, allowed):
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_the_reference_page_needs_no_other_host(client):
    page = client.get("/docs")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert not re.findall(r"https?://", page.text)
    for place in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        asset = client.get(place)
        assert asset.status_code == 200
        assert len(asset.content) > 100
        assert client.get(place, headers={"Accept-Encoding": "identity"}).content == asset.content
    assert "Apache License" in client.get("/docs/LICENSE.txt").text
    assert client.get("/docs/..%2Findex.html").status_code == 404


def codes_in_the_source():
    """Return every code that a class of errors, a problem or a failure record states."""
    found = set()
    for package in ("recon", "vectorize", "training", "workers", "service"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Assign(targets=[ast.Name("code")], value=ast.Constant(str(code))):
                        found.add(code)
                    case ast.AnnAssign(target=ast.Name("code"), value=ast.Constant(str(code))):
                        found.add(code)
                    case ast.Call(func=ast.Name("Problem" | "problem_response" | "problem_body")):
                        found |= {a.value for a in node.args[1:2] if isinstance(a, ast.Constant)}
                    case ast.Dict():
                        pairs = zip(node.keys, node.values, strict=True)
                        found |= {
                            v.value
                            for k, v in pairs
                            if isinstance(k, ast.Constant) and k.value == "code" and isinstance(v, ast.Constant)
                        }
    return {code for code in found if re.fullmatch(r"[A-Z_]+", code)}


def test_every_code_has_its_section(client):
    assert codes_in_the_source() - set(problem_codes.CODES) == set()  # add it there, then `make problems`
    assert (ROOT / "docs" / "problems.md").read_text() == problem_codes.markdown()
    page = client.get("/problems").text
    unknown = client.get("/v1/jobs/x").json()
    place, _, anchor = unknown["type"].partition("#")
    assert client.get(place).status_code == 200
    assert f'id="{anchor}"' in page
