"""Compiled kernels that are older than the code they were compiled from.

numba keeps machine code beside a kernel and compiles anew when the kernel's own file changes. Functions and constants
of other modules are compiled in as well: after a change there, a stage would store what the old code computes under
the key of the new one.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache

from recon.errors import storage_errors
from workers.closure import SourceTree, own_tree

KERNELS = "_kernels.py"


@cache
def forget_stale_kernels(function: str, unused: tuple[str, ...] = (), tree: SourceTree | None = None) -> None:
    """Delete the index of every kernel of a stage function that is older than a file that the kernel imports.

    Call it before the kernels are loaded; a process asks once for each function. Kernels that numba keeps elsewhere,
    because it may not write beside them, belong to an installed package, of which an upgrade replaces every file.
    Raises StorageError when an index cannot be deleted.
    """
    tree = tree or own_tree()
    now = time.time()  # a file from the future would be newer than every kernel, each time
    for name in tree.closure(function, unused).files:
        if not name.endswith(KERNELS):
            continue
        path = tree.root / name
        module = name.removesuffix(".py").replace("/", ".")
        files = [tree.root / one for one in tree.closure(f"{module}:").files]
        changed = [one.stat().st_mtime for one in files if one.is_file()]  # a plug-in lies outside the tree
        newest = max((time_s for time_s in changed if time_s <= now), default=0.0)
        for index in (path.parent / "__pycache__").glob(f"{path.stem}.*.nbi"):
            with storage_errors(str(index)), suppress(FileNotFoundError):  # another worker was faster
                if index.stat().st_mtime < newest:
                    index.unlink()
