"""The key of a stage on the real code: what changes it, and what does not."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from recon.config import FitConfig, SegmentConfig
from recon.segment import segment as chooser
from workers import stage_key as stage_key_module
from workers.closure import PACKAGES, ROOT, SourceTree
from workers.jobs.aggregate import AggregateJob
from workers.jobs.drives import TripRef
from workers.jobs.export import ExportJob
from workers.jobs.label import LabelJob
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.jobs.road_stages import BACKENDS, CHOOSER
from workers.machine import ABSENT, Machine, this_machine, versions_of
from workers.pool import CodeChanged, StageTask
from workers.run import run
from workers.stage import Stage
from workers.stage_key import environment, stage_key
from workers.stage_process import execute

CPU = Machine(cuda=False, gsplat=False)
GPU = Machine(cuda=True, gsplat=True)
SITE = AggregateJob(drives=(TripRef(drive="a"), TripRef(drive="b")))
STAGES = {s.role: s for s in (*SITE.plan(), *LabelJob(drive="a").plan(), *ExportJob(job="a", format="ply").plan())}
TREE = SourceTree()


def key(stage: Stage, machine: Machine = CPU, tree: SourceTree = TREE) -> str:
    return stage_key(stage, {}, {}, environment(stage, machine, tree))


def files_of(*roles: str) -> list[str]:
    return sorted({name for role in roles for name in TREE.closure(STAGES[role].function, STAGES[role].unused).files})


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the code that a test may change."""
    root = tmp_path_factory.mktemp("copy")
    for package in (*PACKAGES, "service"):
        if (ROOT / package).is_dir():
            shutil.copytree(
                ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
            )
    return root


def keys_with(copy: Path, changed: str, *stages: Stage) -> list[str]:
    """Return the keys when one file of the copy is another."""
    path = copy / changed
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        return [key(stage, tree=SourceTree(copy)) for stage in stages]
    finally:
        path.write_bytes(before)


def test_a_copy_has_the_same_keys(copy: Path) -> None:
    for stage in STAGES.values():
        assert key(stage, tree=SourceTree(copy)) == key(stage)


@pytest.mark.parametrize("changed", files_of("segment", "align", "fit", "bake", "trace", "crop", "pack", "draw"))
def test_a_change_of_what_a_stage_runs_changes_its_key(copy: Path, changed: str) -> None:
    touched = [stage for stage in STAGES.values() if changed in TREE.closure(stage.function, stage.unused).files]
    untouched = [stage for stage in STAGES.values() if stage not in touched]
    assert not {key(stage) for stage in touched} & set(keys_with(copy, changed, *touched))
    assert keys_with(copy, changed, *untouched) == [key(stage) for stage in untouched]


@pytest.mark.parametrize("folder", ["recon/demo_city", "recon/segment/nets", "workers/jobs", "training", "service"])
def test_code_that_no_stage_runs_keeps_every_key(copy: Path, folder: str) -> None:
    if not (copy / folder).is_dir():
        pytest.skip("there is no such folder")
    changed = [path for path in (copy / folder).rglob("*") if path.suffix in (".py", ".json")]
    before = {path: path.read_bytes() for path in changed}
    for path in changed:
        path.write_bytes(before[path] + b"\n")
    try:
        for stage in STAGES.values():
            assert key(stage, tree=SourceTree(copy)) == key(stage)
    finally:
        for path in changed:
            path.write_bytes(before[path])


def test_stages_run_neither_training_nor_the_service() -> None:
    assert not [name for name in files_of(*STAGES) if name.split("/")[0] in ("training", "service")]


def test_what_a_stage_runs_is_what_python_loads() -> None:
    """The closure is read from source; a fresh interpreter that imports the stage must not find more."""
    for role in ("fit", "trace"):
        code = f"import sys, {STAGES[role].function.split(':')[0]}; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        loaded = {name for name in done.stdout.split() if name.split(".")[0] in PACKAGES}
        known = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files_of(role)}
        assert loaded <= known


def test_another_version_of_a_library_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("fit", "trace"):
        stage = STAGES[role]
        before, libraries = key(stage), environment(stage, CPU)["libraries"]
        assert {"numpy", "scipy"} < set(libraries)
        for changed in libraries:

            def other(library: str, changed: str = changed) -> dict[str, str]:
                return {name: "0.0.other" if name == changed else v for name, v in versions_of(library).items()}

            with monkeypatch.context() as patch:
                patch.setattr(stage_key_module, "versions_of", other)
                assert key(stage) != before


def test_the_libraries_are_those_that_the_stage_computes_with() -> None:
    fit, trace = (environment(STAGES[role], CPU)["libraries"] for role in ("fit", "trace"))
    assert {"torch", "numba", "llvmlite", "gsplat"} <= set(fit)
    assert "shapely" in trace
    assert not {"torch", "pydantic"} & set(trace)


def test_every_library_has_the_name_of_a_distribution() -> None:
    for stage in STAGES.values():
        for library in TREE.closure(stage.function).libraries:
            installed = set(versions_of(library).values()) != {ABSENT}
            assert installed == (find_spec(library) is not None), library


def test_every_data_file_is_named_by_a_module() -> None:
    paths = [path for package in ("recon", "vectorize") for path in (ROOT / package).rglob("*") if path.is_file()]
    paths = [path for path in paths if path.suffix not in (".py", ".md") and path.parent.name != "__pycache__"]
    data = {path.relative_to(ROOT).as_posix() for path in paths}
    weights = {name for name in data if name.startswith("recon/segment/nets/")}  # enter by the digest of the net
    page = set(TREE.closure("vectorize.evaluate.page:page").files)
    assert weights
    assert data - weights <= set(files_of(*STAGES)) | page


def test_a_key_holds_files_of_the_project_alone() -> None:
    stages = [*STAGES.values(), *(segment_with(backend) for backend in BACKENDS)]
    files = {name for stage in stages for name in TREE.closure(stage.function, stage.unused).files}
    assert not [name for name in files if name.split("/")[0] not in PACKAGES or not (ROOT / name).is_file()]


def test_stages_import_nothing_by_a_name_that_they_compute() -> None:
    """Such a module would be in no key; nor would one that runs in a process of its own."""
    for name in (name for name in files_of(*STAGES) if name.endswith(".py")):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
                assert isinstance(node.args[0], ast.Constant), (name, node.lineno)
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported = {alias.name for alias in node.names} | {getattr(node, "module", "")}
                assert not imported & {"runpy", "subprocess", "pkgutil"}, (name, node.lineno)


def test_the_renderer_that_auto_becomes_is_in_the_key_of_fit_alone() -> None:
    differ = {role for role, stage in STAGES.items() if key(stage, GPU) != key(stage, CPU)}
    assert differ == {"fit"}
    (fixed,) = (s for s in LabelJob(drive="a", fit=FitConfig(renderer="cpu")).plan() if s.role == "fit")
    assert key(fixed, GPU) == key(fixed, CPU) == key(STAGES["fit"], CPU)
    assert key(STAGES["fit"], Machine(cuda=True, gsplat=False)) == key(STAGES["fit"], CPU)


def segment_with(backend: str, **settings: Any) -> Stage:
    names = {} if backend == "id_images" else {"weights": "x", "class_map": "cityscapes"}
    config = SegmentConfig(backend=backend, **names, **settings)
    return LabelJob(drive="a", segment=config).plan()[1]


def test_the_device_of_a_net_is_in_its_key() -> None:
    net = segment_with("mask2former")
    assert key(net, GPU) != key(net, CPU)
    assert key(segment_with("mask2former", device="cpu"), GPU) == key(net, CPU)
    assert key(segment_with("id_images"), GPU) == key(segment_with("id_images"), CPU)


def test_only_the_back_end_in_use_is_in_the_key(copy: Path) -> None:
    stages = {backend: segment_with(backend) for backend in BACKENDS}
    before = {backend: key(stage) for backend, stage in stages.items()}
    uses = {backend: {backend} for backend in BACKENDS} | {"mask2former": {"mask2former", "mmseg"}}  # it reads its net
    for backend, module in BACKENDS.items():
        changed = keys_with(copy, module.replace(".", "/") + ".py", *stages.values())
        assert {name for name, after in zip(stages, changed, strict=True) if after != before[name]} == uses[backend]
    assert "transformers" in environment(stages["mask2former"], CPU)["libraries"]
    assert not {"transformers", "openvino"} & set(environment(stages["id_images"], CPU)["libraries"])


def test_the_back_ends_are_imported_where_they_are_cut() -> None:
    assert chooser.__name__ == CHOOSER
    source = Path(str(chooser.__file__)).read_text()
    assert all(f"from {module} import" in source for module in BACKENDS.values())


def test_settings_and_parents_are_in_the_key() -> None:
    stage = STAGES["bake"]
    keys = {stage_key(stage, c, p, {}) for c, p in (({}, {}), ({"a": 1}, {}), ({}, {"fit": "1"}), ({}, {"fit": "2"}))}
    assert len(keys) == 4


def test_processes_agree() -> None:
    code = (
        "import json; from workers.jobs.label import LabelJob; from workers.machine import this_machine;"
        "from workers.stage_key import environment;"
        "print(json.dumps([environment(stage, this_machine()) for stage in LabelJob(drive='a').plan()]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout) == [environment(stage, this_machine()) for stage in LabelJob(drive="a").plan()]


def test_a_worker_with_other_code_refuses_the_stage(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[StageTask] = []

    class Here:
        """Runs stages in this process, and keeps the tasks."""

        def run(self, task: StageTask, report: Any, should_stop: Any) -> Any:
            tasks.append(task)
            return execute(StageTask.from_json(task.to_json()), report)

        def machine(self, stage: Stage, should_stop: Any) -> Machine:
            return this_machine()

        def end_job(self) -> None: ...

        def close(self) -> None: ...

    job = ProbeJob(probe=ProbeConfig(salt="code"))
    run(job, store, Here())
    assert all(task.environment for task in tasks)
    other = replace(tasks[0], key="0" * 64, environment={**tasks[0].environment, "code": "of yesterday"})
    error = execute(other, lambda *_: None).error
    assert isinstance(error, CodeChanged)
    assert (error.message, error.where) == ("the worker has another code than the executor", "first")
