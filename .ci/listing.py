"""The listing of ARCHITECTURE.md is the tree: every folder of the packages, what it holds, and its modules.

Usage: python .ci/listing.py [--write]; without --write it exits 1 where the listing differs from the tree.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("recon", "vectorize", "training", "workers", "service", "roadscribe")
DOCUMENT = ROOT / "ARCHITECTURE.md"
BEGIN, END = "<!-- listing: make listing writes it -->\n", "<!-- end of the listing -->\n"
WIDTH = 118


def folders(package: Path) -> list[Path]:
    """Return the folder and all below it that hold modules, parents first."""
    found = [package, *(path for path in sorted(package.rglob("*")) if path.is_dir())]
    return [path for path in found if (path / "__init__.py").is_file() and path.name != "__pycache__"]


def entry(folder: Path) -> str:
    """Return one folder of the listing: its name, the first sentence of its docstring, its modules."""
    words = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    modules = sorted(path.stem for path in folder.glob("*.py") if path.name != "__init__.py")
    depth = len(folder.relative_to(ROOT).parts) - 1
    name = f"{'  ' * depth}{folder.name}/"
    indent = " " * 24
    lines = textwrap.wrap(
        words.split("\n\n")[0].replace("\n", " "), WIDTH, initial_indent=f"{name:23} ", subsequent_indent=indent
    )
    lines += textwrap.wrap(" ".join(modules), WIDTH, initial_indent=f"{indent}| ", subsequent_indent=f"{indent}| ")
    return "\n".join(lines)


def listing() -> str:
    """Return the listing of all packages as a code block."""
    packages = [ROOT / name for name in PACKAGES if (ROOT / name / "__init__.py").is_file()]
    blocks = ["\n".join(entry(folder) for folder in folders(package)) for package in packages]
    return "```\n" + "\n\n".join(blocks) + "\n```\n"


def main(write: bool) -> int:
    """Compare the listing with the tree, or write it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    expected = before + BEGIN + listing() + END + after
    if write:
        DOCUMENT.write_text(expected, encoding="utf-8")
    elif text != expected:
        print("The listing of ARCHITECTURE.md is not the tree: run make listing.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
