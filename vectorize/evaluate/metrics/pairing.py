"""Distances between the predicted and the true elements of one class in one patch or site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial.distance import cdist

from recon.arrays import F64, I64
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics.areas import is_area
from vectorize.evaluate.metrics.frechet import FrechetBatch
from vectorize.evaluate.metrics.raster import PixelSet, iou_matrix, rasterize
from vectorize.evaluate.metrics.sampled_element import SampledElement, sample_element
from vectorize.road_map import Element


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """P predicted and G true elements of one class, and the distance of each pair (inf: out of reach)."""

    scores: F64  # (P,)
    predicted_styles: tuple[str, ...]
    true_styles: tuple[str, ...]
    chamfer: F64  # (P, G) metres
    frechet: F64  # (P, G) metres
    iou: F64  # (P, G) of the drawn elements, 0..1

    def of_style(self, style: str) -> Pairs:
        """Return the part that one style of dividers has on both sides."""
        rows = [i for i, s in enumerate(self.predicted_styles) if s == style]
        columns = [j for j, s in enumerate(self.true_styles) if s == style]
        part = np.ix_(rows, columns)
        return Pairs(
            scores=self.scores[rows],
            predicted_styles=tuple(style for _ in rows),
            true_styles=tuple(style for _ in columns),
            chamfer=self.chamfer[part],
            frechet=self.frechet[part],
            iou=self.iou[part],
        )


class ElementCache:
    """Sample points and pixels of the elements of one patch, each computed once."""

    def __init__(self, config: EvaluateConfig, canvas_m: tuple[float, float] | None) -> None:
        self.config, self.canvas_m = config, canvas_m
        # The element is kept with the result: its id must not pass to another element.
        self._sampled: dict[int, tuple[Element, SampledElement]] = {}
        self._pixels: dict[int, tuple[Element, PixelSet]] = {}

    def sampled(self, element: Element) -> SampledElement:
        """Return an element's samples."""
        if id(element) not in self._sampled:
            self._sampled[id(element)] = element, sample_element(element, self.config)
        return self._sampled[id(element)][1]

    def pixels(self, element: Element) -> PixelSet:
        """Return an element's pixels."""
        if id(element) not in self._pixels:
            drawn = rasterize(element, self.config, canvas_m=self.canvas_m, area=is_area(element))
            self._pixels[id(element)] = element, drawn
        return self._pixels[id(element)][1]


def pair(
    predicted: Sequence[Element],
    true: Sequence[Element],
    config: EvaluateConfig,
    batch: FrechetBatch,
    *,
    canvas_m: tuple[float, float] | None = None,
    cache: ElementCache | None = None,
) -> Pairs:
    """Compare the elements of one class; `frechet` is complete once `batch` is solved.

    `canvas_m` is the size of a patch centred on zero, to which its raster is clipped. A site has no canvas. `cache`
    keeps what was computed for elements that are compared again (those that lie wholly in the observed area).
    """
    shape = (len(predicted), len(true))
    if 0 in shape:
        nothing = np.zeros(shape)
        return _pairs(predicted, true, chamfer=nothing, frechet=nothing, iou=nothing)
    cache = cache if cache is not None else ElementCache(config, canvas_m)
    ours, theirs = [cache.sampled(e) for e in predicted], [cache.sampled(e) for e in true]
    chamfer, hausdorff = _chamfer(ours, theirs, config)
    frechet = np.full(chamfer.shape, np.inf)
    for i, j in np.argwhere(np.isfinite(hausdorff)).tolist():
        a, b = ours[i], theirs[j]
        # The Frechet distance is at least the Hausdorff distance; the slack is the spacing of a ring's coarser points.
        slack = max(a.length_m, b.length_m) / (config.ring_samples - 1) if a.closed or b.closed else 0.0
        if hausdorff[i, j] <= config.reach_m + slack:
            batch.add(frechet, i, j, a, b)
    pixels = [[cache.pixels(e) for e in side] for side in (predicted, true)]
    return _pairs(predicted, true, chamfer=chamfer, frechet=frechet, iou=iou_matrix(*pixels))


def _pairs(predicted: Sequence[Element], true: Sequence[Element], *, chamfer: F64, frechet: F64, iou: F64) -> Pairs:
    return Pairs(
        scores=np.array([e.score for e in predicted], dtype=np.float64),
        predicted_styles=tuple(e.style for e in predicted),
        true_styles=tuple(e.style for e in true),
        chamfer=chamfer,
        frechet=frechet,
        iou=iou,
    )


def _near(ours: Sequence[SampledElement], theirs: Sequence[SampledElement], reach_m: float) -> list[list[int]]:
    """Return pairs whose boxes come within reach. In other pairs no point is within reach, so no mean distance is."""
    low_a, high_a = (np.array([getattr(s, side) for s in ours])[:, None] for side in ("low", "high"))
    low_b, high_b = (np.array([getattr(s, side) for s in theirs])[None] for side in ("low", "high"))
    gap = np.maximum(np.maximum(low_a - high_b, low_b - high_a), 0.0)
    # Slightly more than the reach: sample points are rounded, boxes are not.
    pairs: list[list[int]] = np.argwhere(np.hypot(gap[..., 0], gap[..., 1]) <= reach_m + 1e-9).tolist()
    return pairs


def _chamfer(
    ours: Sequence[SampledElement], theirs: Sequence[SampledElement], config: EvaluateConfig
) -> tuple[F64, F64]:
    """Return Chamfer and Hausdorff distances (P, G); inf where boxes are out of reach.

    Chamfer = (mean_a min_b + mean_b min_a) / 2. MapTR drops pairs whose buffers do not meet. Buffers are computed
    only for pairs within the widest threshold, since other pairs never match.
    """
    chamfer = np.full((len(ours), len(theirs)), np.inf)
    hausdorff = chamfer.copy()
    doubtful: list[tuple[int, int]] = []
    for i, j in _near(ours, theirs, config.reach_m):
        a, b = ours[i], theirs[j]
        apart = cdist(a.line, b.line)
        nearest = apart.argmin(axis=1)
        forth, back = apart[np.arange(len(nearest)), nearest], apart.min(axis=0)
        hausdorff[i, j] = max(forth.max(), back.max())
        distance = 0.5 * (forth.mean() + back.mean())
        if distance <= config.reach_m:
            chamfer[i, j] = distance
            # A point whose nearest sample point is no end lies beside a segment or in a mitred corner: in the buffer.
            beside = (nearest > 0) & (nearest < len(nearest) - 1) & (forth <= config.buffer_m)
            if not (b.gentle and beside.any()):
                doubtful.append((i, j))
    if doubtful:
        rows, columns = np.array(doubtful).T
        meet = shapely.intersects(_buffers(ours, rows, config.buffer_m), _buffers(theirs, columns, config.buffer_m))
        chamfer[rows[~meet], columns[~meet]] = np.inf
    return chamfer, hausdorff


def _buffers(lines: Sequence[SampledElement], wanted: I64, width_m: float) -> npt.NDArray[np.object_]:
    unique, inverse = np.unique(wanted, return_inverse=True)
    drawn = shapely.linestrings([lines[k].line for k in unique.tolist()])
    buffers = shapely.buffer(drawn, width_m, cap_style="flat", join_style="mitre", mitre_limit=5.0)
    result: npt.NDArray[np.object_] = buffers[inverse]
    return result
