"""How numba compiles the demo city's kernels."""

from __future__ import annotations

from typing import Any

# Division needs no check for zero (rays are tested before), and sums may be contracted. Infinities must be exact,
# because the distance along a ray without a hit is infinite.
KERNEL: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "arcp", "nsz"},
}
# For kernels of one ray or point, which return numbers only. The caller keeps the arrays alive: atomic reference counts
# for every ray took a quarter of the time of a render, and passing the arrays without inlining another quarter.
POINT: dict[str, Any] = KERNEL | {"_nrt": False}
