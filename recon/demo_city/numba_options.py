"""How numba compiles the demo city's kernels."""

from __future__ import annotations

from typing import Any

# Division needs no check for zero (rays are tested before), and sums may be contracted; infinities keep their meaning,
# because a ray that meets nothing is infinitely long.
KERNEL: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "arcp", "nsz"},
}
# What a ray or a point asks for, answered in numbers alone. The caller keeps the arrays alive: counting references to
# them, atomically and for every ray, took a quarter of a render's time (and passing them, unless inlined, another).
POINT: dict[str, Any] = KERNEL | {"_nrt": False}
