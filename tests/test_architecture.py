"""The import arrow: service -> workers -> vectorize -> recon, and training -> vectorize, recon."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "recon": {"recon"},
    "vectorize": {"vectorize", "recon"},
    "training": {"training", "vectorize", "recon"},
    "workers": {"workers", "vectorize", "recon"},
    "service": {"service", "workers", "vectorize", "recon"},
}

# One framework, one home: what else may import it is a leak of that framework.
HOME_OF = {
    "fastapi": "service",
    "sqlalchemy": "service",
    "ray": "workers",
    "transformers": "recon",
    "openvino": "recon",
    "gsplat": "recon",
}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level:
            names.add("a relative import")
    return names


MODULES = [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(ROOT)) for p in MODULES])
def test_imports_follow_the_arrow(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    names = imports_of(path)
    assert "a relative import" not in names
    assert names & set(MAY_IMPORT) <= MAY_IMPORT[package]
    assert not {framework for framework in names & set(HOME_OF) if HOME_OF[framework] != package}
    assert "torchvision" not in names


def test_the_api_process_never_loads_torch() -> None:
    code = (
        "import sys, service.app; "
        "heavy = {'torch', 'ray', 'numba', 'transformers', 'openvino', 'cv2'} & set(sys.modules); "
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_torchvision_is_not_installed() -> None:
    import importlib.util

    # Its wheel breaks transformers under a CPU torch.
    assert importlib.util.find_spec("torchvision") is None
