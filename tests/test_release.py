"""A release holds all it needs: the built wheel against the files that git knows, and the checks before a build."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["release"] = module
    spec.loader.exec_module(module)
    return module


def test_this_version_is_in_changelog_and_citation(release: ModuleType) -> None:
    version = release.project()["project"]["version"]
    release.check_citation(version, release.release_date(version))


def test_a_version_without_a_dated_section_is_not_released(release: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"CHANGELOG\.md has no section"):
        release.release_date("9.9.9")
    with pytest.raises(SystemExit, match=r"CITATION\.cff lacks"):
        release.check_citation("9.9.9", "2026-11-27")


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(release: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("build")
    wheel, sdist = release.build(tmp_path)
    assert release.missing_files(wheel) == []
    inside = release.members(wheel)
    names = {Path(name).name for name in inside}
    # Data that code reads at run time, each kind by name: a rule of .gitignore or of the build could drop it.
    assert {"drive.schema.json", "page.html", "model.safetensors", "mapillary_vistas_v2_0.json"} <= names
    assert any("migrations/versions/" in name or "migrations/" in name for name in inside)
    folders = {name.split("/")[0] for name in inside if ".dist-info" not in name}
    assert folders == set(release.project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert sdist.stat().st_size > 0
