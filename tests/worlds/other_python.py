"""Run a piece of code where a library lives that cannot live beside ours (it caps numpy, or brings another OpenCV)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ORACLES = Path(sys.prefix) / "oracles"  # where `make oracles` installs


def run_with(package: str, code: str, *arguments: object, limit_s: float = 120) -> Any:
    """Return the JSON that `code` prints in a Python with `package`; skip the test where there is none.

    That Python is the one that a variable names, ours, or the one that `make oracles` set up.
    """
    variable = f"ROADSCRIBE_{package.upper()}_PYTHON"
    python = os.environ.get(variable, "")
    if not python and importlib.util.find_spec(package) is not None:
        python = sys.executable
    if not python and (ORACLES / package / "ready").exists():
        python = str(ORACLES / package / "bin" / "python")
    if not python:
        pytest.skip(f"{package} is not installed (make oracles, or set {variable} to a Python that has it)")
    call = [python, "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=limit_s)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
