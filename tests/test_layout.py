"""Our top-level names are ours: each imports from this repository and no other distribution claims it."""

from __future__ import annotations

import importlib
import importlib.metadata
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_comes_from_this_repository(name: str) -> None:
    module = importlib.import_module(name)
    assert Path(str(module.__file__)).is_relative_to(ROOT)


def test_no_other_distribution_brings_our_names() -> None:
    owners = importlib.metadata.packages_distributions()
    for name in PACKAGES:
        assert set(owners.get(name, ["roadscribe"])) == {"roadscribe"}


def test_every_dependency_is_pinned() -> None:
    pinned = {
        line.split("==")[0].strip().lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["dev"], *extras["openvino"], *extras["backbones"]]
    names = {w.split(">")[0].split("=")[0].split("[")[0].strip().lower() for w in wanted}
    assert names <= pinned


def test_the_oldest_scipy_allowed_has_what_is_called() -> None:
    (scipy,) = (wanted for wanted in PROJECT["project"]["dependencies"] if wanted.startswith("scipy"))
    oldest = tuple(map(int, scipy.removeprefix("scipy>=").split(".")))
    assert oldest >= (1, 15)  # kmeans2(..., rng=), in training/mapper/first_shapes.py


# A shipped net is a checkpoint with its model card.
NET_FILES = {".safetensors", ".md"}
# The reference page of the API: its scripts as npm has them, compressed, with their licence.
PAGE_FILES = {".gz", ".txt"}


def test_packages_hold_code_and_their_data_files_only() -> None:
    for name in PACKAGES:
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (
                    path.suffix
                    in {".py", ".json", ".toml", ".sql", ".html", ".css", ".js", ".mako", ".ini"}
                    | NET_FILES
                    | PAGE_FILES
                ), path
