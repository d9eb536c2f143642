"""Painted lines as sub-pixel ridges of marking probability."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.ndimage import center_of_mass, find_objects, gaussian_filter1d, label, maximum
from scipy.spatial import cKDTree
from skimage.filters import apply_hysteresis_threshold

from recon.arrays import F32, F64, Bool
from vectorize import polyline
from vectorize.centre_lines import centre_lines
from vectorize.evidence import Evidence, smooth_known
from vectorize.trace.lines.ends import to_paint_ends
from vectorize.trace.lines.skeleton import trace_lines
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace_config import RidgeConfig, TraceConfig

SMOOTH_M = 0.12  # of the raster: about the width of a line, so that its ridge has one crest
LEAST_SMOOTH_PX = 0.7  # below that a Gaussian kernel no longer resembles one
CLEARANCE_CELLS = 2  # around clear paint, where its own slopes would pass for faint ridges
FAINT_CURVES = 2.0  # times the weak curvature that a faint ridge needs, since noise has ridges too
BRIGHT_SHARE, BRIGHT_QUANTILE = 0.4, 0.75  # an end darker than that share of the line's usual paint is smear
CORNER_SMOOTH_M, CORNER_REACH_M = 0.2, 1.0  # a turn is measured between the metre before and the metre after
CREST_SMOOTH_M = 0.3  # of the skeleton's stairs before the crest is searched
CREST_SIGMAS_M = (0.4, 0.3)  # along the line, of the shifts onto the crest in each of two rounds
FLAT = -1e-4  # second difference above which a profile has no crest
PROFILE_M, PROFILE_STEP_M = 1.0, 0.05  # how far across a line its width is read
LEAST_DASH_M = 0.25  # of clear paint; what is shorter than a line counts in a row only
NOWHERE_M = 1e9  # a place away from every site
DOT_M = 0.2  # of a dot: what the smoothing leaves of its size says little
DOT_NEAR_M, DOT_LEVEL = 0.3, 0.5  # a dot is what reaches that share of the brightest place so near
DOT_CLEAR_M = 0.5  # from strands: their ends are crests too
LEAST_VERTICES = 3  # of a strand: its direction and its curvature need as many
FULL_WIDTH = 2.355  # full width at half maximum of a Gaussian, in sigmas


def find_dots(evidence: Evidence, raster: F32, strands: Sequence[Strand], config: TraceConfig) -> list[Strand]:
    """Return paint too short for a ridge, away from strands, as strands of one size in any direction."""
    cell = evidence.grid.cell_m
    smoothed = smooth_known(raster, evidence.known, max(SMOOTH_M / cell, LEAST_SMOOTH_PX))
    around = np.ones((2 * round(DOT_NEAR_M / cell) + 1,) * 2, np.uint8)
    core = evidence.known & (smoothed >= config.row.dot_probability)
    core &= smoothed >= DOT_LEVEL * cv2.dilate(smoothed, around)
    labels, _ = label(core, structure=np.ones((3, 3), dtype=bool))
    most = config.row.dot_m / cell
    boxes = find_objects(labels)
    small = [k for k, (rows, columns) in enumerate(boxes, 1) if max(_extent(rows), _extent(columns)) <= most]
    if not small:
        return []
    xy = evidence.grid.to_m(np.array(center_of_mass(smoothed, labels, small))[:, ::-1] + 0.5)
    level = np.asarray(maximum(smoothed, labels, small))
    lines = [s.xy_m for s in strands]
    away = cKDTree(np.concatenate([np.full((1, 2), NOWHERE_M), *lines])).query(xy)[0]
    dot = np.linspace(-DOT_M / 2, DOT_M / 2, LEAST_VERTICES)[:, None] * np.array([1.0, 0.0])
    nothing = np.zeros(LEAST_VERTICES, dtype=bool)
    return [
        Strand(xy_m=xy[k] + dot, paint=np.full(LEAST_VERTICES, level[k]), bridged=nothing, faint=nothing, width_m=DOT_M)
        for k in np.flatnonzero(away > DOT_CLEAR_M)
    ]


def _extent(span: slice) -> int:
    return int(span.stop - span.start)


def find_strands(evidence: Evidence, raster: F32, config: RidgeConfig) -> list[Strand]:
    """Return the ridges of a probability raster that have a strong seed."""
    smoothed, _, clear = _ridges(evidence, raster, config)
    return _strands(evidence, smoothed, clear, config, faint=False)


def find_clear_and_faint(evidence: Evidence, raster: F32, config: RidgeConfig) -> tuple[list[Strand], list[Strand]]:
    """Return the ridges with a strong seed, and faint ones that may only link them."""
    smoothed, curvature, clear = _ridges(evidence, raster, config)
    around = cv2.dilate(clear.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=CLEARANCE_CELLS).astype(bool)
    faint = evidence.known & ~around & (smoothed > config.faint_probability)
    faint &= curvature > FAINT_CURVES * config.weak_curvature * smoothed
    return (
        _strands(evidence, smoothed, clear, config, faint=False),
        _strands(evidence, smoothed, faint, config, faint=True),
    )


def _ridges(evidence: Evidence, raster: F32, config: RidgeConfig) -> tuple[F32, F32, Bool]:
    """Return (H, W) the smoothed raster, its curvature across ridges, and the cells of clear ridges."""
    sigma_px = max(SMOOTH_M / evidence.grid.cell_m, LEAST_SMOOTH_PX)
    smoothed = smooth_known(raster, evidence.known, sigma_px)
    curvature = _ridge_curvature(smoothed, sigma_px)
    weak = evidence.known & (smoothed > config.weak_probability) & (curvature > config.weak_curvature * smoothed)
    strong = weak & (smoothed > config.strong_probability)
    strong &= curvature > config.strong_curvature * config.strong_probability
    clear: Bool = apply_hysteresis_threshold(  # type: ignore[no-untyped-call]
        weak.astype(np.uint8) + strong.astype(np.uint8), 0.5, 1.5
    )
    return smoothed, curvature, clear


def _strands(evidence: Evidence, smoothed: F32, mask: Bool, config: RidgeConfig, *, faint: bool) -> list[Strand]:
    cell = evidence.grid.cell_m
    lines = []
    for raw in trace_lines(centre_lines(mask), spur_px=config.spur_m / cell):
        for xy in _split_at_corners(evidence.grid.to_m(raw), config.corner_deg):
            refined = _bright_part(evidence, smoothed, _refine(evidence, smoothed, xy))
            if len(refined) >= LEAST_VERTICES:
                lines.append(refined)
    if not faint:
        lines = to_paint_ends(evidence, smoothed, lines)
    strands = [
        Strand(
            xy_m=line,
            paint=evidence.sample(smoothed, line),
            bridged=np.zeros(len(line), dtype=bool),
            faint=np.full(len(line), faint),
            width_m=_width(evidence, smoothed, line),
        )
        for line in lines
        if polyline.length_of(line) >= (config.min_length_m - cell if faint else LEAST_DASH_M)
    ]
    return sorted(strands, key=lambda s: (-s.length_m, *s.xy_m[0].tolist()))


def _bright_part(evidence: Evidence, smoothed: F32, xy_m: F64) -> F64:
    """Cut off ends far darker than the line: there the smear around a dash bends it away from its axis."""
    paint = evidence.sample(smoothed, xy_m)
    bright = np.flatnonzero(paint >= BRIGHT_SHARE * np.quantile(paint, BRIGHT_QUANTILE))
    return xy_m[bright[0] : bright[-1] + 1]


def _split_at_corners(xy_m: F64, corner_deg: float) -> list[F64]:
    """Cut a raw line where it turns sharply."""
    line = polyline.smooth(polyline.resample(xy_m, STEP_M), CORNER_SMOOTH_M / STEP_M)
    reach = round(CORNER_REACH_M / STEP_M)
    if len(line) < 2 * reach + 3:
        return [line]
    ahead = line[2 * reach :] - line[reach:-reach]
    behind = line[reach:-reach] - line[: -2 * reach]
    cosine = np.einsum("ij,ij->i", ahead, behind) / np.maximum(
        np.linalg.norm(ahead, axis=1) * np.linalg.norm(behind, axis=1), 1e-9
    )
    sharp = cosine < np.cos(np.radians(corner_deg))
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


def _refine(evidence: Evidence, smoothed: F32, xy_m: F64) -> F64:
    """Move vertices perpendicular to the line onto the ridge's maximum and smooth lightly, twice."""
    line = polyline.resample(xy_m, STEP_M)
    line = polyline.smooth(line, CREST_SMOOTH_M / STEP_M)
    reach = evidence.grid.cell_m
    for sigma_m in CREST_SIGMAS_M:
        normal = polyline.left_normals(polyline.tangents(line))
        left = evidence.sample(smoothed, line + reach * normal)
        right = evidence.sample(smoothed, line - reach * normal)
        centre = evidence.sample(smoothed, line)
        bend = left - 2 * centre + right
        peak = np.where(bend < FLAT, 0.5 * (right - left) / np.minimum(bend, FLAT), 0.0)
        shift = gaussian_filter1d(np.clip(peak, -1.0, 1.0), sigma_m / STEP_M, mode="nearest")
        line = polyline.smooth(line + reach * shift[:, None] * normal, sigma_m / STEP_M)
    return polyline.resample(line, STEP_M)


def _width(evidence: Evidence, smoothed: F32, xy_m: F64) -> float:
    """Return the median full width at half maximum, with the smoothing's own share taken out."""
    steps = np.arange(-PROFILE_M, PROFILE_M + PROFILE_STEP_M / 50, PROFILE_STEP_M)
    profile = evidence.sample(smoothed, polyline.across(xy_m, steps))
    half = 0.5 * profile[:, len(steps) // 2]
    above = profile > half[:, None]
    middle = len(steps) // 2
    # Only the run around the centre counts: a neighbouring line is not part of this one's width.
    right = np.argmin(np.c_[above[:, middle:], np.zeros(len(xy_m), bool)], axis=1)
    left = np.argmin(np.c_[above[:, middle::-1], np.zeros(len(xy_m), bool)], axis=1)
    full = float(np.median((left + right - 1) * PROFILE_STEP_M))
    blur = FULL_WIDTH * SMOOTH_M
    return float(np.sqrt(max(full**2 - blur**2, PROFILE_STEP_M**2)))
