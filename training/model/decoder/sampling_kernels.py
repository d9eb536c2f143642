"""Numba kernels of deformable sampling: a query's weighted sum of a raster at its places, and its gradients.

`grid_sample` would write the value of every place to memory, of one head's copy of the raster; here a place adds to its
query at once, and the channels of a cell lie side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
# Sums over channels in any order: vector instructions.
_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True)
def _between(x, length):
    """Return the two cells beside a coordinate x of cell centres, their weights, and the slopes of these.

    A cell beyond the raster is moved into it and has weight and slope 0.
    """
    low = np.int64(np.floor(x))
    first, second = (_ONE if low >= 0 else _ZERO), (_ONE if low + 1 < length else _ZERO)
    share = x - np.float32(low)
    return max(low, 0), min(low + 1, length - 1), first * (_ONE - share), second * share, -first, second


@njit(cache=True, nogil=True)
def _outside(x, y, rows, columns):
    """Return whether a place has no cell beside it; one that is not finite has none."""
    return not (-1.0 < x < columns and -1.0 < y < rows)


@njit(cache=True, nogil=True, fastmath=_FAST)
def sample(value, places, shares, rows, columns, out):
    """Add to out (B, T, heads, D) the shares (B, T, heads, K) of value (B, cells, heads, D) at places (..., K, 2)."""
    for b in range(out.shape[0]):
        for t in range(out.shape[1]):
            for h in range(out.shape[2]):
                total = out[b, t, h]
                for k in range(places.shape[3]):
                    x, y = places[b, t, h, k, 0], places[b, t, h, k, 1]
                    if _outside(x, y, rows, columns):
                        continue
                    left, right, wl, wr, _, _ = _between(x, columns)
                    top, bottom, wt, wb, _, _ = _between(y, rows)
                    wt, wb = shares[b, t, h, k] * wt, shares[b, t, h, k] * wb
                    tl, tr = value[b, top * columns + left, h], value[b, top * columns + right, h]
                    bl, br = value[b, bottom * columns + left, h], value[b, bottom * columns + right, h]
                    wtl, wtr, wbl, wbr = wt * wl, wt * wr, wb * wl, wb * wr
                    for d in range(value.shape[3]):
                        total[d] += wtl * tl[d] + wtr * tr[d] + wbl * bl[d] + wbr * br[d]


@njit(cache=True, nogil=True, fastmath=_FAST)
def _add(total, factor, given):
    for d in range(len(given)):
        total[d] += factor * given[d]


@njit(cache=True, nogil=True, fastmath=_FAST)
def sample_gradient(value, places, shares, rows, columns, of_out, of_value, of_places, of_shares):
    """Write the gradients of places and shares, and add that of value, for the gradient of `out` (B, T, heads, D)."""
    for b in range(of_out.shape[0]):
        for t in range(of_out.shape[1]):
            for h in range(of_out.shape[2]):
                given = of_out[b, t, h]
                for k in range(places.shape[3]):
                    x, y = places[b, t, h, k, 0], places[b, t, h, k, 1]
                    if _outside(x, y, rows, columns):
                        continue
                    left, right, wl, wr, sl, sr = _between(x, columns)
                    top, bottom, wt, wb, st, sb = _between(y, rows)
                    share, above, below = shares[b, t, h, k], top * columns, bottom * columns
                    tl, tr = value[b, above + left, h], value[b, above + right, h]
                    bl, br = value[b, below + left, h], value[b, below + right, h]
                    ptl, ptr, pbl, pbr = _ZERO, _ZERO, _ZERO, _ZERO
                    for d in range(value.shape[3]):
                        ptl += given[d] * tl[d]
                        ptr += given[d] * tr[d]
                        pbl += given[d] * bl[d]
                        pbr += given[d] * br[d]
                    of_shares[b, t, h, k] = wt * (wl * ptl + wr * ptr) + wb * (wl * pbl + wr * pbr)
                    of_places[b, t, h, k, 0] = share * (wt * (sl * ptl + sr * ptr) + wb * (sl * pbl + sr * pbr))
                    of_places[b, t, h, k, 1] = share * (st * (wl * ptl + wr * ptr) + sb * (wl * pbl + wr * pbr))
                    _add(of_value[b, above + left, h], share * wt * wl, given)
                    _add(of_value[b, above + right, h], share * wt * wr, given)
                    _add(of_value[b, below + left, h], share * wb * wl, given)
                    _add(of_value[b, below + right, h], share * wb * wr, given)
