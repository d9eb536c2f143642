"""Painted lines as sub-pixel ridges of marking probability."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from skimage.filters import apply_hysteresis_threshold
from skimage.morphology import skeletonize

from recon.arrays import F32, F64, Bool
from vectorize import polyline
from vectorize.evidence import Evidence, smooth_known
from vectorize.trace.lines.skeleton import trace_lines
from vectorize.trace.lines.strand import STEP_M, Strand

SMOOTH_M = 0.12
STRONG, WEAK, FAINT = 0.18, 0.12, 0.03  # of smoothed probability: starts where strong, goes on while weak
STRONG_CURVE, WEAK_CURVE = 0.25, 0.08  # of normalised ridge curvature over height; flat haze and slopes have none
SPUR_M = 0.6
SHORTEST_M = 0.8
CORNER_DEG = 40.0  # paint that turns this much within 2 m is two lines (a stop line that meets a divider)


def find_strands(evidence: Evidence, raster: F32) -> tuple[list[Strand], list[Strand]]:
    """Return the ridges of a probability raster: those with a strong seed, and faint ones that may only link them."""
    cell = evidence.grid.cell_m
    sigma_px = max(SMOOTH_M / cell, 0.7)
    smoothed = smooth_known(raster, evidence.known, sigma_px)
    curvature = _ridge_curvature(smoothed, sigma_px)
    weak = evidence.known & (smoothed > WEAK) & (curvature > WEAK_CURVE * smoothed)
    strong = weak & (smoothed > STRONG) & (curvature > STRONG_CURVE * STRONG)
    clear: Bool = apply_hysteresis_threshold(  # type: ignore[no-untyped-call]
        weak.astype(np.uint8) + strong.astype(np.uint8), 0.5, 1.5
    )
    around = cv2.dilate(clear.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2).astype(bool)
    faint = evidence.known & ~around & (smoothed > FAINT) & (curvature > 2 * WEAK_CURVE * smoothed)
    return _strands(evidence, smoothed, clear, faint=False), _strands(evidence, smoothed, faint, faint=True)


def _strands(evidence: Evidence, smoothed: F32, mask: Bool, *, faint: bool) -> list[Strand]:
    cell = evidence.grid.cell_m
    strands = []
    for line in trace_lines(_crest(mask), spur_px=SPUR_M / cell):
        for xy in _split_at_corners(evidence.grid.to_m(line)):
            if polyline.length_of(xy) < SHORTEST_M - cell:
                continue
            refined = _bright_part(evidence, smoothed, _refine(evidence, smoothed, xy))
            if len(refined) < 3:
                continue
            strands.append(
                Strand(
                    xy_m=refined,
                    paint=evidence.sample(smoothed, refined),
                    bridged=np.zeros(len(refined), dtype=bool),
                    faint=np.full(len(refined), faint),
                    width_m=_width(evidence, smoothed, refined),
                )
            )
    return sorted(strands, key=lambda s: (-s.length_m, *s.xy_m[0].tolist()))


def _bright_part(evidence: Evidence, smoothed: F32, xy_m: F64) -> F64:
    """Cut off ends far darker than the line: there the smear around a dash bends it away from its axis."""
    paint = evidence.sample(smoothed, xy_m)
    bright = np.flatnonzero(paint >= 0.4 * np.quantile(paint, 0.75))
    return xy_m[bright[0] : bright[-1] + 1]


def _split_at_corners(xy_m: F64) -> list[F64]:
    """Cut a raw line where it turns sharply."""
    line = polyline.smooth(polyline.resample(xy_m, STEP_M), 0.2 / STEP_M)
    reach = round(1.0 / STEP_M)
    if len(line) < 2 * reach + 3:
        return [line]
    ahead = line[2 * reach :] - line[reach:-reach]
    behind = line[reach:-reach] - line[: -2 * reach]
    cosine = np.einsum("ij,ij->i", ahead, behind) / np.maximum(
        np.linalg.norm(ahead, axis=1) * np.linalg.norm(behind, axis=1), 1e-9
    )
    sharp = cosine < np.cos(np.radians(CORNER_DEG))
    cuts = [reach + start + int(np.argmin(cosine[start:stop])) for start, stop in polyline.runs(sharp)]
    return [line[a : b + 1] for a, b in zip([0, *cuts], [*cuts, len(line) - 1], strict=True)]


def _ridge_curvature(smoothed: F32, sigma_px: float) -> F32:
    """Return minus the most negative principal curvature; times sigma squared it does not depend on the cell."""
    kernel = np.array([[1.0, -2.0, 1.0]], dtype=np.float32)
    xx = cv2.filter2D(smoothed, -1, kernel)
    yy = cv2.filter2D(smoothed, -1, kernel.T)
    cross = np.array([[0.25, 0, -0.25], [0, 0, 0], [-0.25, 0, 0.25]], dtype=np.float32)
    xy = cv2.filter2D(smoothed, -1, cross)
    spread = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    result: F32 = (-((xx + yy) / 2 - spread) * sigma_px**2).astype(np.float32)
    return result


def _crest(mask: Bool) -> Bool:
    """Return the skeleton, computed only on the rows and columns that hold anything."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    result = np.zeros_like(mask)
    if rows.size:
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        result[window] = skeletonize(mask[window])  # type: ignore[no-untyped-call]
    return result


def _refine(evidence: Evidence, smoothed: F32, xy_m: F64) -> F64:
    """Move vertices perpendicular to the line onto the ridge's maximum and smooth lightly, twice."""
    line = polyline.resample(xy_m, STEP_M)
    line = polyline.smooth(line, 0.3 / STEP_M)
    reach = evidence.grid.cell_m
    for sigma_m in (0.4, 0.3):
        normal = polyline.left_normals(polyline.tangents(line))
        left = evidence.sample(smoothed, line + reach * normal)
        right = evidence.sample(smoothed, line - reach * normal)
        centre = evidence.sample(smoothed, line)
        bend = left - 2 * centre + right
        peak = np.where(bend < -1e-4, 0.5 * (right - left) / np.minimum(bend, -1e-4), 0.0)
        shift = gaussian_filter1d(np.clip(peak, -1.0, 1.0), sigma_m / STEP_M, mode="nearest")
        line = polyline.smooth(line + reach * shift[:, None] * normal, sigma_m / STEP_M)
    return polyline.resample(line, STEP_M)


def _width(evidence: Evidence, smoothed: F32, xy_m: F64) -> float:
    """Return the median full width at half maximum, with the smoothing's own share taken out."""
    normal = polyline.left_normals(polyline.tangents(xy_m))
    steps = np.arange(-1.0, 1.001, 0.05)
    profile = evidence.sample(smoothed, xy_m[:, None] + steps[None, :, None] * normal[:, None])
    half = 0.5 * profile[:, len(steps) // 2]
    above = profile > half[:, None]
    middle = len(steps) // 2
    # Only the run around the centre counts: a neighbouring line is not part of this one's width.
    right = np.argmin(np.c_[above[:, middle:], np.zeros(len(xy_m), bool)], axis=1)
    left = np.argmin(np.c_[above[:, middle::-1], np.zeros(len(xy_m), bool)], axis=1)
    full = float(np.median((left + right - 1) * 0.05))
    blur = 2.355 * SMOOTH_M
    return float(np.sqrt(max(full**2 - blur**2, 0.05**2)))
