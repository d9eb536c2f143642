"""The import arrow: recon <- vectorize <- training <- workers <- service <- roadscribe, and no circle anywhere."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A package imports itself and what stands before it.
ARROW = ("recon", "vectorize", "training", "workers", "service", "roadscribe")

# Training is heavy, and most jobs never train: what stands after it imports it inside functions only, but for settings.
LAZY = "training"

# Each framework has its homes: what else imports it is a leak of that framework.
HOMES_OF = {
    "fastapi": {"service"},
    "sqlalchemy": {"service"},
    "ray": {"workers", "training"},
    "transformers": {"recon", "training"},
    "openvino": {"recon"},
    "gsplat": {"recon"},
    "mmcv": {"recon"},
    "mmdet": {"recon"},
    "mmengine": {"recon"},
    "mmseg": {"recon"},
    "torchvision": set(),  # its wheel breaks transformers under a CPU torch
}

HEAVY = ("torch", "ray", "numba", "transformers", "openvino", "cv2")


def imports_of(tree: ast.AST, *, lazy: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield (top-level name, whether inside a function) of every import; a relative one has the name "."."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = str(node.module)
            settings = name.startswith(f"{LAZY}.") and name.endswith(".config")
            yield "." if node.level else name.partition(".")[0], lazy or settings
        else:
            typed = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"  # never runs
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from imports_of(node, lazy=lazy or typed or function)


def offences(package: str, code: str) -> set[str]:
    """Return what imports of a module's code break the arrow."""
    found = set(imports_of(ast.parse(code)))
    names = {name for name, _ in found}
    behind = set(ARROW[: ARROW.index(package) + 1])
    wrong = {f"imports {name}" for name in names & set(ARROW) - behind}
    wrong |= {f"imports {name}" for name in names & set(HOMES_OF) if package not in HOMES_OF[name]}
    wrong |= {"a relative import"} if "." in names else set()
    if ARROW.index(package) > ARROW.index(LAZY) and (LAZY, False) in found:
        wrong.add(f"imports {LAZY} outside a function")
    return wrong


MODULES = [path for package in ARROW for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(ROOT)) for p in MODULES])
def test_imports_follow_the_arrow(path: Path) -> None:
    assert not offences(path.relative_to(ROOT).parts[0], path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("package", "code", "wrong"),
    [
        ("recon", "def f():\n    from training.segmenter import run", {"imports training"}),
        ("vectorize", "import training", {"imports training"}),
        ("training", "import recon, vectorize, transformers, ray", set()),
        ("training", "import workers", {"imports workers"}),
        ("workers", "from training import run", {"imports training outside a function"}),
        ("workers", "from training.mapper.config import MapperConfig", set()),
        ("recon", "from training.mapper.config import MapperConfig", {"imports training"}),
        ("workers", "if True:\n    import training", {"imports training outside a function"}),
        ("roadscribe", "if TYPE_CHECKING:\n    from training import run", set()),
        ("workers", "async def f():\n    from training import run", set()),
        ("workers", "import fastapi", {"imports fastapi"}),
        ("service", "import ray, workers", {"imports ray"}),
        ("roadscribe", "import service, workers, vectorize, recon", set()),
        ("recon", "import torchvision.transforms", {"imports torchvision"}),
        ("recon", "from . import grid", {"a relative import"}),
    ],
)
def test_what_breaks_the_arrow_is_found(package: str, code: str, wrong: set[str]) -> None:
    assert offences(package, code) == wrong


def loaded_by(modules: str) -> set[str]:
    """Return which heavy libraries a fresh interpreter holds after importing modules."""
    code = f"import sys, {modules}; print(*({set(HEAVY)} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.split())


def test_the_api_process_loads_nothing_heavy() -> None:
    assert not loaded_by("service.api")


def test_specs_and_plans_load_nothing_heavy() -> None:
    assert not loaded_by("workers.spec, workers.stage_key")


def test_torchvision_is_not_installed() -> None:
    assert importlib.util.find_spec("torchvision") is None
