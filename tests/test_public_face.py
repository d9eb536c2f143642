"""What others see first agrees with the code: version, changelog, citation, forms, hooks, links and notebooks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def sections() -> list[str]:
    return re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_changelog_has_an_unreleased_section_and_one_for_this_version() -> None:
    first, second, *_ = sections()
    assert first == "Unreleased"
    assert re.fullmatch(rf"{re.escape(VERSION)} \(\d{{4}}-\d\d-\d\d\)", second)


def test_the_version_stands_in_one_place_of_the_code() -> None:
    literal = re.compile(rf"[\"']{re.escape(VERSION)}[\"']")
    files = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    named = [
        name for name in files.split() if not name.startswith("tests/") and literal.search((ROOT / name).read_text())
    ]
    assert named == []


def test_the_citation_is_complete_and_of_this_version() -> None:
    citation = read_yaml(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "The Roadscribe maintainers"}]
    assert f"{citation['version']} ({citation['date-released']})" == sections()[1]
    assert citation["license"] == "Apache-2.0"
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year", "url"} <= set(reference)
        assert all({"given-names", "family-names"} == set(author) for author in reference["authors"])
        assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", reference["url"])


@pytest.mark.parametrize("path", [p for p in FORMS if p.name != "config.yml"], ids=lambda p: p.stem)
def test_an_issue_form_is_one(path: Path) -> None:
    form = read_yaml(path)
    assert {"name", "description", "body"} <= set(form)
    ids = [entry["id"] for entry in form["body"] if entry["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    for entry in form["body"]:
        assert entry["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert ("value" if entry["type"] == "markdown" else "label") in entry["attributes"]
        for option in entry["attributes"].get("options", []):
            assert isinstance(option["label"] if entry["type"] == "checkboxes" else option, str)


def test_there_are_forms_for_bugs_features_and_data() -> None:
    assert {path.stem for path in FORMS} == {"bug", "feature", "data", "config"}


def test_hooks_run_programs_of_the_project() -> None:
    config = read_yaml(ROOT / ".pre-commit-config.yaml")
    for repository in config["repos"]:
        for hook in repository["hooks"]:
            assert {"id", "name", "entry", "language"} <= set(hook)
            for word in hook["entry"].split():
                if word.endswith(".py"):
                    assert (ROOT / word).is_file()


@pytest.mark.parametrize(
    ("subject", "status"),
    [("A subject of usual length", 0), ("x" * 72, 0), ("x" * 73, 1), ("# comment\n" + "y" * 80, 1)],
)
def test_the_commit_hook_refuses_a_long_subject(subject: str, status: int, tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_text(subject + "\n\n" + "A body may have longer lines. " * 5 + "\n")
    command = [sys.executable, str(ROOT / ".ci" / "commit_subjects.py"), "--message", str(message)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == status


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_kept_executed_and_small(path: Path) -> None:
    assert path.stat().st_size < 300_000
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert all(output["output_type"] != "error" for output in outputs)
    assert any({"image/jpeg", "image/png"} & set(output.get("data", {})) for output in outputs)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_from_scratch(path: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "examples" / "run.py"), str(path)], check=True)


@pytest.mark.parametrize("path", [ROOT / "README.md", *NOTEBOOKS], ids=lambda p: p.name)
def test_links_lead_to_files(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in target]
    assert targets
    assert [target for target in targets if not (path.parent / target).exists()] == []
