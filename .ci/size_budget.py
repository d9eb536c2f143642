"""Checks the size budget of the packages.

Files have at most 400 lines (median 120), functions 80 lines, folders 14 modules. Every module has a docstring, and
every folder of modules an __init__.py, without which the listing of ARCHITECTURE.md would pass over it.

Usage: python .ci/size_budget.py [FOLDER ...]; exits 1 and names every offender.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from pathlib import Path

PACKAGES = ("recon", "vectorize", "training", "workers", "service", "roadscribe")
MAX_FILE, MEDIAN_FILE, MAX_FUNCTION = 400, 120, 80
MAX_MODULES = 14  # in a folder, its __init__.py not counted
# One module for each format or command: these folders grow with what the product offers, not with how it works.
UNLIMITED_FOLDERS = ("vectorize/formats", "service/cli")
MIN_COMMENTS, MAX_COMMENTS = 1.0, 12.0  # per 100 code lines, over a whole package


def offences(path: Path) -> list[str]:
    """Return what one file does against the budget."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    found = [f"{path}: {lines} lines, at most {MAX_FILE}"] if lines > MAX_FILE else []
    tree = ast.parse(text)
    if ast.get_docstring(tree) is None:
        found.append(f"{path}: no module docstring")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION:
                found.append(f"{path}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION}")
    return found


def full_folders(files: list[Path]) -> list[str]:
    """Return the folders that hold more modules than one glance takes in."""
    counts = Counter(path.parent.as_posix() for path in files)
    return [
        f"{folder}: {count} modules, at most {MAX_MODULES}"
        for folder, count in sorted(counts.items())
        if count > MAX_MODULES and folder not in UNLIMITED_FOLDERS
    ]


def naked_folders(files: list[Path]) -> list[str]:
    """Return the folders of modules that have no __init__.py."""
    folders = sorted({path.parent for path in files})
    return [f"{folder}: no __init__.py" for folder in folders if not (folder / "__init__.py").is_file()]


def main(folders: list[str]) -> int:
    """Check all packages and print the summary."""
    every = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    files = [path for path in every if path.name != "__init__.py"]
    found = [line for path in every for line in offences(path)] + full_folders(files) + naked_folders(files)
    lengths = [path.read_text(encoding="utf-8").count("\n") for path in files]
    median = statistics.median(lengths)
    if median > MEDIAN_FILE:
        found.append(f"the median file has {median:.0f} lines, at most {MEDIAN_FILE}")
    for folder in folders:
        text = "\n".join(p.read_text(encoding="utf-8") for p in files if p.parts[0] == folder)
        code = [line for line in text.splitlines() if line.strip()]
        comments = sum(line.lstrip().startswith("#") or "  # " in line for line in code)
        density = 100 * comments / max(len(code), 1)
        print(f"{folder}: {density:.1f} comments per 100 lines")
        if code and not MIN_COMMENTS <= density <= MAX_COMMENTS:
            found.append(f"{folder}: {density:.1f} comments per 100 lines, expected {MIN_COMMENTS} to {MAX_COMMENTS}")
    print(f"{len(files)} files, median {median:.0f}, longest {max(lengths)} lines")
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [name for name in PACKAGES if Path(name).is_dir()]))
