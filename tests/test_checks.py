"""What `make check` runs of our own finds what it is for."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

CHECKS = Path(__file__).parents[1] / ".ci"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"check_{name}", CHECKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tree(root: Path, **files: str) -> Path:
    """Write modules: recon__fit__rays="..." is recon/fit/rays.py."""
    for name, text in files.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_circle_of_modules_is_a_path_with_its_lines(tmp_path: Path) -> None:
    found = load("import_circles").circles(
        tree(
            tmp_path,
            recon__a="from recon import b",
            recon__b="\ndef f():\n    import recon.c",
            recon__c="from recon.a import name",
        )
    )
    path = "recon.a -> recon.b (recon/a.py:1) -> recon.c (recon/b.py:3) -> recon.a (recon/c.py:1)"
    assert found == [path]


def test_a_circle_of_folders_needs_no_circle_of_modules(tmp_path: Path) -> None:
    found = load("import_circles").circles(
        tree(
            tmp_path,
            recon__fit__rays="from recon.heights import grid",
            recon__fit__losses="",
            recon__heights__grid="",
            recon__heights__solve="from recon.fit.losses import total",
        )
    )
    assert found == ["recon.fit -> recon.heights (recon/fit/rays.py:1) -> recon.fit (recon/heights/solve.py:1)"]


def test_types_alone_make_no_circle(tmp_path: Path) -> None:
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from recon import a\nelse:\n    import recon.c"
    root = tree(tmp_path, recon__a="import recon.b", recon__b=guarded, recon__c="")
    assert load("import_circles").circles(root) == []
    tree(tmp_path, recon__c="import recon.b")
    assert load("import_circles").circles(root) == ["recon.b -> recon.c (recon/b.py:5) -> recon.b (recon/c.py:1)"]


def test_a_folder_of_fifteen_modules_is_too_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    modules = {f"recon__m{number}": '"""A module."""\n' for number in range(15)}
    modules |= {name.replace("recon__", "vectorize__formats__"): text for name, text in modules.items()}
    tree(Path(), recon__fit____init__="", **modules)
    check = load("size_budget")
    files = sorted(path for path in Path().rglob("*.py") if path.name != "__init__.py")
    assert check.full_folders(files) == ["recon: 15 modules, at most 14"]


def test_a_folder_without_init_and_a_long_init_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    module = '"""A module."""\n# why\n'
    tree(Path(), recon__fit__a=module, recon__naked__a=module)
    Path("recon/__init__.py").write_text(module + "x = 1\n" * 400)
    Path("recon/fit/__init__.py").write_text(module)
    assert load("size_budget").main(["recon"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert "recon/__init__.py: 402 lines, at most 400" in printed
    assert [line for line in printed if "no __init__" in line] == [f"{Path('recon/naked')}: no __init__.py"]


def test_a_folder_without_packages_is_not_free_of_circles(tmp_path: Path) -> None:
    check = load("import_circles")
    assert check.main(tmp_path) == 1
    assert check.main(tree(tmp_path, recon__a="")) == 0


def test_subjects_are_not_checked_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert load("commit_subjects").main("0" * 40) == 0
    assert "not checked" in capsys.readouterr().out


def test_a_long_subject_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    check = load("commit_subjects")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "init", "-q"], check=True)
    for subject in ("base " + "x" * 90, "y" * 72, "z" * 73):
        subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", subject], check=True)
    base = check.git("rev-parse", "HEAD~2").stdout.strip()
    assert check.main(f"{base}") == 1
    printed = capsys.readouterr().out
    assert "z" * 73 in printed
    assert "y" * 72 not in printed
    assert check.main("0" * 40) == 0
    assert "not checked" in capsys.readouterr().out


def junit(path: Path, *cases: str) -> Path:
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return path


def case(name: str, inside: str = "", where: str = "tests.test_checks") -> str:
    return f'<testcase classname="{where}" name="{name}">{inside}</testcase>'


def test_the_report_of_ci_counts_each_test_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = load("report")
    skip = '<skipped type="pytest.skip" message="no data at {}; set A"/>'
    junit(tmp_path / "test.xml", case("a", skip.format("/x/1")), case("b", skip.format("/x/2")), case("c"))
    junit(tmp_path / "skipped.xml", case("a"), case("b", skip.format("/x/3")), case("c"))
    (tmp_path / "phases.tsv").write_text("setup\t60\t0\ntest\t150\t0\nskipped\t5\t0\n")
    assert report.table(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["setup", "60", "ok"]
    assert lines[3].split() == ["test", "150", "1", "0", "2", "ok"]
    assert "    1  no data at ...; set A" in lines
    assert lines[-1] == "2 passed, 0 failed, 1 skipped"


def test_the_report_of_ci_fails_with_a_test_or_a_phase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = load("report")
    junit(tmp_path / "test.xml", case("a", "<failure/>"), case("a", "<skipped/>"), case("b"))
    (tmp_path / "phases.tsv").write_text("test\t150\t0\n")
    assert report.table(tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "FAILED tests.test_checks a",
        "1 passed, 1 failed, 0 skipped",
    ]
    junit(tmp_path / "test.xml", case("b"))
    (tmp_path / "phases.tsv").write_text("check\t9\t2\ntest\t150\t0\n")
    assert report.table(tmp_path) == 1
    assert "Phases that failed: check" in capsys.readouterr().out


def test_few_tests_that_pass_alone_are_named_and_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = load("report")
    names = ["a", "b", "c", "d"]
    (tmp_path / "phases.tsv").write_text("test-slow\t150\t2\nalone\t9\t0\n")
    for failed, status in ((3, 0), (4, 1)):
        junit(tmp_path / "test-slow.xml", *(case(name, "<failure/>") for name in names[:failed]), case("e"))
        junit(tmp_path / "alone.xml", *(case(name) for name in names[:failed]))
        assert report.table(tmp_path) == status
        printed = capsys.readouterr().out
        assert "UNSTEADY tests.test_checks a" in printed
        assert ("FAILED tests.test_checks a" in printed) == bool(status)
    junit(tmp_path / "test-slow.xml", case("a", "<failure/>"), case("b", "<failure/>"))
    junit(tmp_path / "alone.xml", case("a"), case("b", "<failure/>"))
    assert report.table(tmp_path) == 1
    assert "FAILED tests.test_checks b" in capsys.readouterr().out
    junit(tmp_path / "test-slow.xml", case("a"))  # the phase failed without a test
    junit(tmp_path / "alone.xml", case("a"))
    assert report.table(tmp_path) == 1


def test_skipped_tests_are_run_again_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(CHECKS.parent)
    whole = case("tests.test_layout", "<skipped/>", where="")
    path = junit(tmp_path / "test.xml", case("a", "<skipped/>"), case("b"), case("c", "", "tests.test_flow"), whole)
    assert load("report").skipped(path) == 0
    assert capsys.readouterr().out == "tests/test_checks.py\ntests/test_layout.py\n"
    # A blank line would be the name of a file: pytest would run everything.
    assert load("report").skipped(junit(path, case("b"))) == 0
    assert load("report").skipped(tmp_path / "none.xml") == 0
    assert capsys.readouterr().out == ""
