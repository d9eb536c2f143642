"""A kernel is compiled anew when a module that it imports changes, though numba itself would not notice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workers.closure import SourceTree
from workers.kernel_cache import forget_stale_kernels

KERNEL = "from numba import njit\nfrom recon.numbers import FACTOR\n@njit(cache=True)\ndef f():\n    return FACTOR\n"
HOUR_S = 3600.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {"numbers": "FACTOR = 1\n", "a_kernels": KERNEL, "other": "", "stage": "import recon.a_kernels\n"}
    for name, text in {"__init__": "", **files}.items():
        path = tmp_path / "recon" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        set_age(path, 10 * HOUR_S)
    return tmp_path


def set_age(path: Path, age_s: float) -> None:
    os.utime(path, (time.time() - age_s,) * 2)


def result(root: Path) -> str:
    """Return what the kernel computes in a process of its own."""
    code = "from recon.a_kernels import f; print(f())"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")} | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env=environment).stdout.strip()


def test_a_constant_of_another_module_is_compiled_in_anew(root: Path) -> None:
    assert result(root) == "1"
    for index in (root / "recon/__pycache__").glob("*.nb[ic]"):
        set_age(index, HOUR_S)
    (root / "recon/numbers.py").write_text("FACTOR = 2\n")
    forget_stale_kernels("recon.stage:run", tree=SourceTree(root))
    assert result(root) == "2"


@pytest.mark.parametrize(
    ("changed", "age_s", "kept"),
    [
        ("numbers", 0.0, False),
        ("a_kernels", 0.0, False),
        ("other", 0.0, True),  # the kernel does not import it
        ("stage", 0.0, True),  # it imports the kernel
        ("numbers", 2 * HOUR_S, True),
        ("numbers", -HOUR_S, True),  # a clock that was wrong: the kernel would be compiled again each time
    ],
)
def test_only_what_is_older_than_its_code_is_forgotten(root: Path, changed: str, age_s: float, kept: bool) -> None:
    index = root / "recon/__pycache__/a_kernels.f-3.py311.nbi"
    index.parent.mkdir()
    index.write_bytes(b"")
    set_age(index, HOUR_S)
    set_age(root / f"recon/{changed}.py", age_s)
    forget_stale_kernels("recon.stage:run", tree=SourceTree(root))
    assert index.exists() == kept
