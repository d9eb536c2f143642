"""The code that a stage function runs: the modules that it imports, transitively, and the data files that they name.

Everything is read from source, nothing is imported. An import counts wherever it stands, in a function as well, except
below `if TYPE_CHECKING`. A module that uses `__file__` names data: each of its strings that is a file beside it
enters, and each that is a folder beside it enters with the files directly in it. What lies deeper is chosen by a
setting, such as the weights of a net, and enters a key with that setting. Every byte of a file counts: a comment too.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("recon", "vectorize", "training", "workers")  # the project's own, all below one folder
PROSE = ".md"
LONGEST_NAME = 100  # of a data file


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """What a function runs: sha256 by path, and the libraries by import name."""

    files: dict[str, str]
    libraries: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Source:
    """What one module names: the modules that it may import, and the strings that may name its data."""

    imports: tuple[str, ...]  # those of its own package with leading dots, as in `from .a import b`
    strings: tuple[str, ...]


@dataclass(slots=True, eq=False)
class SourceTree:
    """The modules below one folder; each file is read once in the life of the tree."""

    root: Path = ROOT
    _found: dict[str, tuple[dict[str, str], tuple[str, ...]]] = field(default_factory=dict)

    def closure(self, function: str, unused: tuple[str, ...] = ()) -> Closure:
        """Return what "module:function" runs; imports in `unused`, as "importer:module", are not followed."""
        start = function.partition(":")[0]
        own = {*PACKAGES, start.partition(".")[0]}
        files: dict[str, str] = {}
        libraries, seen, waiting = set(), set(), [start]
        cut = [(one.partition(":")[0], one.partition(":")[2]) for one in unused]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            top, _, rest = name.partition(".")
            if top not in own:
                libraries.add(top)
                continue
            waiting += [name.rpartition(".")[0]] if rest else []
            if name not in self._found:
                self._found[name] = self._read(name)
            found, imports = self._found[name]
            files |= found
            never = [module for importer, module in cut if importer == name]
            waiting += [one for one in imports if not any(f"{one}.".startswith(f"{module}.") for module in never)]
        return Closure(files=dict(sorted(files.items())), libraries=frozenset(libraries) - _standard())

    def _read(self, name: str) -> tuple[dict[str, str], tuple[str, ...]]:
        """Return sha256 by path of a module and its data, and its imports; nothing for a name that is no module."""
        path = self._path(name)
        if path is None:
            return {}, ()
        source = path.read_bytes()
        parsed = _parsed(source)
        files = {self._label(path): hashlib.sha256(source).hexdigest()}
        for data in _data_files(path, parsed.strings):
            files[self._label(data)] = hashlib.sha256(data.read_bytes()).hexdigest()
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        return files, tuple(resolve_name(one, package) for one in parsed.imports)

    def _path(self, name: str) -> Path | None:
        """Return the source file of a module; a function of a test or a plug-in may lie outside the tree."""
        top, *rest = name.split(".")
        if top in PACKAGES:
            base = self.root / top
        else:
            found = find_spec(top)
            if found is None or found.origin is None:
                return None
            base = Path(found.origin)
            if base.name != "__init__.py":
                return None if rest else base
            base = base.parent
        place = base.joinpath(*rest)
        candidates = (place / "__init__.py", place.with_name(place.name + ".py"))
        return next((path for path in candidates if path.is_file()), None)

    def _label(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name


@cache
def own_tree() -> SourceTree:
    """Return the tree of the running code."""
    return SourceTree()


@cache
def _standard() -> frozenset[str]:
    return sys.stdlib_module_names | {"__future__"}


@lru_cache(maxsize=4096)
def _parsed(source: bytes) -> _Source:
    tree = ast.parse(source)
    imports = tuple(dict.fromkeys(_imports(tree)))
    if b"__file__" not in source:
        return _Source(imports, ())
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return _Source(imports, tuple(value for value in constants if isinstance(value, str)))


def _imports(tree: ast.AST) -> Iterator[str]:
    """Yield every dotted name that a module may import; `from a import b` yields a and a.b."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module
            yield from (f"{module}{'.' if node.module else ''}{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            yield from _by_name(node)
        if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _by_name(node: ast.Call) -> Iterator[str]:
    """Yield the module of `importlib.import_module("name")` and of `__import__("name")`."""
    if _last_name(node.func) in ("import_module", "__import__"):
        given = {word.arg: word.value for word in node.keywords} | dict(
            zip(("name", "package"), node.args, strict=False)
        )
        name, package = _text(given.get("name")), _text(given.get("package"))
        if name:
            yield resolve_name(name, package) if package and name.startswith(".") else name


def _text(node: ast.AST | None) -> str:
    """Return the value of a string that is written out, and "" for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _last_name(node: ast.AST) -> str:
    """Return c of the expression a.b.c, and "" for what is no name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _data_files(module: Path, strings: tuple[str, ...]) -> Iterator[Path]:
    """Yield what strings name beside a module: "/" is a string as well, and the root of every machine is another."""
    for text in sorted(set(strings)):
        named = Path(text)
        inside = named.parts and not named.is_absolute() and ".." not in named.parts
        if not inside or len(text) > LONGEST_NAME or "\n" in text or "\0" in text:
            continue
        path = module.parent / named
        if path.is_file():
            yield path
        elif path.is_dir() and not (path / "__init__.py").exists():
            yield from sorted(one for one in path.iterdir() if _is_data(one))


def _is_data(path: Path) -> bool:
    """Return whether a file beside other data is data too: prose and the hidden files of editors are not."""
    return path.is_file() and path.suffix != PROSE and not path.name.startswith(".")
