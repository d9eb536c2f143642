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
