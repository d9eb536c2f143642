"""A kind of job is one module and an entry in the tuple: nothing else knows it, from the API to the result."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api import create_app
from service.cli.job_options import sources_of
from service.executor import Executor
from service.settings import Settings
from workers.jobs import kinds
from workers.jobs.job_spec import kind_name
from workers.local_pool import LocalPool

ROOT = Path(__file__).parents[2]
TOY = '''
from typing import Literal

from workers.jobs.job_spec import JobSpec, Spec
from workers.stage import Stage, same


class Greeting(Spec):
    word: str = "hello"


class ToyJob(JobSpec):
    """Greet somebody who is named in a file."""

    kind: Literal["toy"] = "toy"
    names: str
    greeting: Greeting = Greeting()
    after: str = ""

    def input_paths(self):
        return {"/names": self.names}

    def with_paths(self, paths):
        return self.model_copy(update={"names": paths["/names"]})

    def input_jobs(self):
        return {"/after": self.after} if self.after else {}

    def config_of(self, stage):
        return self.model_dump() if stage.name == "read" else super().config_of(stage)

    def config_identity(self, stage):
        return self.model_dump() if stage.name == "read" else super().config_identity(stage)

    def plan(self):
        read = Stage(name="read", function="toy_kind:read", kind="Names", cached=False)
        greet = Stage(name="greet", function="toy_kind:greet", parents=same("read"), config="greeting", kind="Text")
        return read, greet

    def publishes(self):
        return {"greet": ""}

    @classmethod
    def sources(cls, record):
        return record["names"]


def read(given):
    from pathlib import Path

    leave(given, "Names", Path(given.config["names"]).read_text())


def greet(given):
    names = (given.parents["read"] / "text.txt").read_text().split()
    leave(given, "Text", "".join(f"{given.config.word} {name}\\n" for name in names), {"greeted": len(names)})


def leave(given, kind, text, summary=None):
    from recon.artifact import atomic_folder, seal

    given.tick(1, 1, "texts")
    with atomic_folder(given.folder) as scratch:
        (scratch / "text.txt").write_text(text)
        seal(scratch, kind=kind, schema=1, meta={"summary": summary or {}}, parents=given.parent_digests)
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Add the kind `toy` by its module and the tuple alone."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "toy_kind.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(folder))
    ours = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ours}" if ours else str(folder))
    toy_kind = importlib.import_module("toy_kind")
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, toy_kind.ToyJob))
    yield toy_kind
    del sys.modules["toy_kind"]


def test_a_new_kind_runs_from_the_api_to_its_result(
    toy: ModuleType, tmp_path: Path, engine: Any, leases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("Ann Bob")
    settings = Settings(home=tmp_path, roots=str(tmp_path), min_free_mb=0)
    monkeypatch.setattr("service.api.open_database", lambda url: engine)
    client = TestClient(create_app(settings), base_url="http://localhost")
    body = {"kind": "toy", "names": str(names), "greeting": {"word": "good day"}}
    job = client.post("/v1/jobs", json=body).json()
    assert (job["state"], job["kind"]) == ("queued", "toy")
    behind = client.post("/v1/jobs", json={**body, "after": job["id"]}).json()
    assert behind["state"] == "blocked"

    executor = Executor(settings, [LocalPool()], leases)
    executor.slots[0].run(leases.claim())
    done = client.get(f"/v1/jobs/{job['id']}").json()
    assert (done["state"], done["failure"], done["report"]["greeted"]) == ("succeeded", None, 2)
    entries = {one["path"]: one["url"] for one in client.get(f"/v1/jobs/{job['id']}/artifacts").json()["artifacts"]}
    assert set(entries) == {"text.txt", "report.json"}
    assert client.get(entries["text.txt"]).text == "good day Ann\ngood day Bob\n"

    leases.sweep()
    executor.slots[0].run(leases.claim())
    again = client.get(f"/v1/jobs/{behind['id']}").json()
    assert [stage["state"] for stage in again["report"]["stages"]] == ["run", "skipped"]
    assert sources_of(done["spec"]) == str(names)


def test_faults_of_a_new_kind_are_named_as_those_of_every_other(toy: ModuleType, tmp_path: Path) -> None:
    client = TestClient(create_app(Settings(home=tmp_path)), base_url="http://localhost")
    wrong = client.post("/v1/jobs", json={"kind": "toy", "names": 1, "greeting": {"words": ""}}).json()
    assert {fault["pointer"] for fault in wrong["errors"]} == {"/names", "/greeting/words"}
    outside = client.post("/v1/jobs", json={"kind": "toy", "names": "/etc/passwd"})
    assert (outside.status_code, outside.json()["errors"][0]["pointer"]) == (403, "/names")
    probe = client.post("/v1/jobs", json={"kind": "probe"}).json()
    assert "'train' or 'toy'" in probe["errors"][0]["detail"]


def asked_kinds(code: str) -> set[str]:
    """Return the kinds of jobs that code asks a spec for, by class or by name."""
    classes = {kind.__name__ for kind in kinds.KINDS}
    names = {kind_name(kind) for kind in kinds.KINDS}
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            found |= {one.id for one in ast.walk(node.args[1]) if isinstance(one, ast.Name)} & classes
        elif isinstance(node, ast.MatchClass):
            found |= {ast.unparse(node.cls)} & classes
        elif isinstance(node, ast.Compare) and "kind" in ast.unparse(node.left):
            texts = [one.value for side in node.comparators for one in ast.walk(side) if isinstance(one, ast.Constant)]
            found |= {text for text in texts if isinstance(text, str)} & names
    return found


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(spec, LabelJob)",
        "isinstance(spec, (int, ExportJob | str))",
        "spec.kind == 'label'",
        "spec['kind'] in ('export', 'x')",
        "match spec:\n    case AggregateJob(): pass",
    ],
)
def test_a_question_for_the_kind_is_found(code: str) -> None:
    assert asked_kinds(code)


def test_nobody_asks_a_spec_for_its_kind() -> None:
    paths = [path for package in ("workers", "service") for path in (ROOT / package).rglob("*.py")]
    assert len(paths) > 50
    asked = {path.relative_to(ROOT).as_posix(): asked_kinds(path.read_text()) for path in paths}
    assert not {path: names for path, names in asked.items() if names}
