"""Which files are the code of a function: imports wherever they stand, and the data that modules name."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.closure import SourceTree

FILES = {
    "recon/__init__.py": "",
    "recon/a.py": "import numpy\nfrom recon import b\ndef f():\n    from recon.deep.c import d\n    import scipy\n",
    "recon/b.py": "if TYPE_CHECKING:\n    import recon.typed\nelse:\n    import recon.other\n",
    "recon/deep/__init__.py": "import recon.of_package\n",
    "recon/deep/c.py": "HERE = Path(__file__)\nX = HERE.with_name('x.json'), HERE.parent / 'maps'\n",
    "recon/deep/x.json": "{}",
    "recon/deep/unnamed.json": "{}",
    "recon/deep/maps/m.json": "{}",
    "recon/deep/maps/README.md": "prose",
    "recon/deep/maps/weights/w.bin": "chosen by a setting",
    "recon/of_package.py": "import importlib\nimportlib.import_module('shapely.geometry')\n",
    "recon/other.py": "MAPS = 'deep/maps'  # no module asks where it lies, so this is a string\n",
    "recon/typed.py": "",
    "recon/stranger.py": "import recon.a\n",
    "workers/__init__.py": "",
    "workers/fit.py": "def fit(given):\n    from recon.a import f\n",
}
EXPECTED = {
    "workers/__init__.py",
    "workers/fit.py",
    "recon/__init__.py",
    "recon/a.py",
    "recon/b.py",
    "recon/deep/__init__.py",
    "recon/deep/c.py",
    "recon/deep/x.json",
    "recon/deep/maps/m.json",
    "recon/of_package.py",
    "recon/other.py",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def files(root: Path, *unused: str) -> dict[str, str]:
    return SourceTree(root).closure("workers.fit:fit", unused).files


def test_imports_are_followed_and_named_data_enter(root: Path) -> None:
    closure = SourceTree(root).closure("workers.fit:fit")
    assert set(closure.files) == EXPECTED
    assert closure.libraries == {"numpy", "scipy", "shapely"}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_changed_file_is_seen_exactly_when_it_belongs(root: Path, name: str) -> None:
    before = files(root)
    (root / name).write_text(FILES[name] + "\n")
    assert (files(root) != before) == (name in EXPECTED)


def test_a_new_file_in_a_named_folder_is_seen(root: Path) -> None:
    before = files(root)
    (root / "recon/deep/maps/another.json").write_text("{}")
    assert set(files(root)) - set(before) == {"recon/deep/maps/another.json"}


def test_an_import_that_is_never_reached_is_cut_where_it_stands(root: Path) -> None:
    assert "recon/b.py" not in files(root, "recon.a:recon.b")
    assert "recon/b.py" in files(root, "recon.other:recon.b")
    (root / "recon/of_package.py").write_text("import recon.b\n")  # another way to the same module
    assert "recon/b.py" in files(root, "recon.a:recon.b")


def test_a_circle_of_imports_ends(root: Path) -> None:
    (root / "recon/b.py").write_text("import recon.a\n")
    assert "recon/a.py" in files(root)
