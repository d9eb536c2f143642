"""Bars of paint: the stripes of a zebra or of hatching, each by itself though their paint touches.

Every place is looked at in many directions at once, after the orientation scores of Duits and Franken (2010). Stripes
that cross or meet in a corner lie in different layers of such a stack, so that they fall apart there. A layer answers
to paint that is brighter than what lies beside it; a plain area of paint holds no bars.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import find_objects, label

from recon.arrays import F32, F64, I64, Bool
from recon.grid import Grid
from vectorize.trace.crossings.paint_areas import STRIP, TAILS

DIRECTIONS = 18  # in half a turn
ALONG_M = 0.6  # sigma of the kernel along a bar
ACROSS_M = 0.22  # and across it: most sensitive to bars of 0.45 m
RESPONSE = 0.08  # least answer; a lone bar of full paint answers with 0.35 to 0.5
RELATIVE = 0.85  # of the best direction's answer that another one must reach to hold a place as well
HALF = 0.5  # of the best answer of a bar, where it ends
LEAST_M = 1.0  # shortest bar
LEAST_WIDE_M = 0.2  # of its cells, on average
NEAR_M = 1.2  # diameter in which the brightest and the darkest paint are compared
SLIM = 1.5  # times its width that a bar must be long


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bars:
    """Straight bars of paint in world metres."""

    centres: F64  # (N, 2)
    directions: F64  # (N, 2) unit vectors, either way
    halves_m: F64  # (N,) half of the length
    widths_m: F64  # (N,)

    def ends(self) -> F64:
        """Return (N, 2, 2) both ends of every bar."""
        reach = self.halves_m[:, None] * self.directions
        return np.stack([self.centres - reach, self.centres + reach], axis=1)


def _answers(paint: F32, cell_m: float) -> F32:
    """Return (DIRECTIONS, H, W) how much brighter than its surroundings a short line in each direction is."""
    half = int(np.ceil(3 * ALONG_M / cell_m))
    y, x = np.mgrid[-half : half + 1, -half : half + 1] * cell_m
    layers = []
    for angle in np.pi * np.arange(DIRECTIONS) / DIRECTIONS:
        along, across = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
        scaled = (across / ACROSS_M) ** 2
        kernel = (1 - scaled) * np.exp(-scaled / 2 - (along / ALONG_M) ** 2 / 2)
        kernel -= kernel.mean()
        kernel /= np.abs(kernel).sum() / 2
        layers.append(cv2.filter2D(paint, cv2.CV_32F, kernel.astype(np.float32), borderType=cv2.BORDER_CONSTANT))
    return np.stack(layers)


def _labels(strong: Bool) -> I64:
    """Label connected cells of a stack of directions, whose last layer meets its first."""
    labels, count = label(np.concatenate([strong, strong[:1]]), structure=np.ones((3, 3, 3)))
    parent = np.arange(count + 1)
    for one, other in np.unique(np.stack([labels[0], labels[-1]], axis=-1)[strong[0]], axis=0).tolist():
        low, high = sorted((parent[one], parent[other]))
        parent[parent == high] = low
    return parent[labels[:-1]]


def find_bars(paint: F32, grid: Grid, window: tuple[slice, slice]) -> Bars:
    """Return the bars of paint (H, W) in a window of a grid."""
    cell = grid.cell_m
    pad = round(NEAR_M / cell)
    paint = np.pad(paint, pad)
    top, left = window[0].start - pad, window[1].start - pad
    answers = _answers(paint, cell)
    best = answers.max(axis=0)
    size = max(3, round(NEAR_M / cell) | 1)
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    painted = paint > 0.5 * (cv2.dilate(paint, near) + cv2.erode(paint, near))
    labels = _labels(painted & (answers > RESPONSE) & (answers >= RELATIVE * best))
    rows = []
    # The label of a group that was united with another one has no cells.
    for index, part in [(i, p) for i, p in enumerate(find_objects(labels), start=1) if p]:
        inside = labels[part] == index
        value = np.where(inside, answers[part], 0).max(axis=0)
        value = np.where(value >= HALF * value.max(), value, 0)
        r, c = np.nonzero(value)
        if len(r) * cell**2 < LEAST_M * LEAST_WIDE_M:
            continue
        xy = grid.to_m(np.stack([c + part[2].start + left + 0.5, r + part[1].start + top + 0.5], axis=1))
        w = value[r, c]
        centre = np.average(xy, axis=0, weights=w)
        spread, axes = np.linalg.eigh(np.cov((xy - centre).T, aweights=w))
        axis = axes[:, 1]
        along = (xy - centre) @ axis
        low, high = np.quantile(along, TAILS)
        length, width = high - low + cell, float(np.sqrt(STRIP * max(spread[0], 0)))
        if length < LEAST_M or length < SLIM * width:
            continue
        rows.append((*(centre + (low + high) / 2 * axis), *axis, length / 2, width))
    table = np.array(rows).reshape(-1, 6)
    return Bars(centres=table[:, :2], directions=table[:, 2:4], halves_m=table[:, 4], widths_m=table[:, 5])
