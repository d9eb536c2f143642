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
    "recon/swap.img": "beside a module, but named by its absolute path only",
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


def test_data_lie_beside_their_module(root: Path) -> None:
    """ "/" names no data, though the root of a machine is a folder: its files may be anything, and unreadable."""
    before = files(root)
    text = FILES["recon/deep/c.py"]
    for other in ("/", "./", "..", "../", "../deep", str(root / "recon"), str(root / "recon/swap.img"), "~", " "):
        (root / "recon/deep/c.py").write_text(text + f"OTHER = {other!r}\n")
        assert set(files(root)) == set(before), other


def test_hidden_files_are_no_data(root: Path) -> None:
    before = files(root)
    (root / "recon/deep/maps/.m.json.swp").write_text("of an editor")
    assert files(root) == before


def test_an_unreadable_name_is_no_data(root: Path) -> None:
    (root / "recon/deep/c.py").write_text(FILES["recon/deep/c.py"] + f"OTHER = {'x' * 99!r}, 'a\\0b', {'é' * 99!r}\n")
    assert set(files(root)) == EXPECTED


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("recon/a.py", "from . import near"),
        ("recon/a.py", "from .near import name"),
        ("recon/deep/__init__.py", "from ..near import name"),
        ("recon/deep/c.py", "from .. import near"),
        ("recon/a.py", "__import__('recon.near')"),
        ("recon/a.py", "import importlib\nimportlib.import_module(name='recon.near')"),
        ("recon/a.py", "import importlib\nimportlib.import_module('.near', 'recon')"),
    ],
)
def test_other_ways_to_import_are_followed(root: Path, where: str, line: str) -> None:
    (root / "recon/near.py").write_text("")
    assert "recon/near.py" not in files(root)
    (root / where).write_text(FILES[where] + line + "\n")
    assert "recon/near.py" in files(root)
