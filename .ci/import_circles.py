"""Finds import circles: between modules, and between the folders and modules that stand side by side in one folder.

Imports inside functions count; those under `if TYPE_CHECKING:` do not, since they never run. A circle of folders can
stand without any circle of modules: `fit/rays` imports `heights/grid`, and `heights/solve` imports `fit/losses`.

Usage: python .ci/import_circles.py [ROOT]; exits 1 and prints each circle as a path, with the lines that import.
"""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGES = ("recon", "vectorize", "training", "workers", "service", "roadscribe")

Module = tuple[str, ...]  # ("recon", "fit", "rays")
Graph = dict[Module, dict[Module, str]]  # importing -> imported -> "recon/fit/rays.py:12", the line of one import


def modules_below(root: Path) -> dict[Module, Path]:
    """Return the modules of the packages; a folder's __init__ goes by the name of the folder."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = path.relative_to(root).with_suffix("").parts
            found[name[:-1] if name[-1] == "__init__" else name] = path
    return found


def imports_of(tree: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, candidates) of every import that can run; `from a import b` may mean the module a.b or only a."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, [alias.name]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from ((node.lineno, [f"{node.module}.{alias.name}", node.module]) for alias in node.names)
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            for other in node.orelse:
                yield from imports_of(ast.Module([other], []))
        else:
            yield from imports_of(node)


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def module_graph(root: Path) -> Graph:
    """Return which module imports which, with one place for each."""
    modules = modules_below(root)
    graph: Graph = {module: {} for module in modules}
    for module, path in modules.items():
        for line, candidates in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
            target = next((t for t in (tuple(c.split(".")) for c in candidates) if t in modules), None)
            if target is not None and target != module:
                graph[module].setdefault(target, f"{path.relative_to(root)}:{line}")
    return graph


def folder_graphs(graph: Graph) -> Iterator[Graph]:
    """Yield, for every folder, which of its direct children (folders and modules) imports which."""
    folders = {module[:depth] for module in graph for depth in range(1, len(module))}
    for folder in sorted(folders):
        depth = len(folder) + 1
        children: Graph = {}
        for module, imports in graph.items():
            for target, place in imports.items():
                if module[: depth - 1] == target[: depth - 1] == folder and min(len(module), len(target)) >= depth:
                    one, other = module[:depth], target[:depth]
                    if one != other:
                        children.setdefault(one, {}).setdefault(other, place)
        yield children


def circle_in(graph: Mapping[Module, Mapping[Module, str]]) -> list[Module]:
    """Return one shortest circle of the graph, its first node repeated at the end; empty where there is none."""
    best: list[Module] = []
    for start in sorted(graph):
        paths, seen = [[start]], {start}
        while paths and (not best or len(paths[0]) < len(best) - 1):
            path = paths.pop(0)
            for target in sorted(graph.get(path[-1], {})):
                if target == start:
                    best, paths = [*path, start], []
                    break
                if target not in seen:
                    seen.add(target)
                    paths.append([*path, target])
    return best


def circles(root: Path) -> list[str]:
    """Return one line for each circle found; after the first circle of a graph its first arrow is cut to find more."""
    graph = module_graph(root)
    found: list[str] = []
    for each in (graph, *folder_graphs(graph)):
        rest = {module: dict(imports) for module, imports in each.items()}
        while circle := circle_in(rest):
            line = ".".join(circle[0])
            for one, other in itertools.pairwise(circle):
                line += f" -> {'.'.join(other)} ({each[one][other]})"
            if line not in found:
                found.append(line)
            del rest[circle[0]][circle[1]]
    return found


def main(root: Path) -> int:
    """Print the circles of the packages below a folder."""
    if not modules_below(root):
        print(f"{root.resolve()} has none of the packages {', '.join(PACKAGES)}")
        return 1
    found = circles(root)
    print("\n".join(found) or "no import circle")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
